#include "ir/base/scalars.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> DropoutCases() {
  std::vector<OpCase> cases;
  for (const Shape& shape : {Shape{1}, Shape{3, 5}, Shape{2, 3, 7}, Shape{5, 1031}, Shape{2, 4097}, Shape{3, 9, 800},
                             Shape{70}, Shape{0, 3}}) {
    for (const double rate : {0.0, 0.1, 0.5, 0.99}) {
      const Attributes attributes = {{"rate", rate}, {"key", int64_t{0x7edcba9876543210}}};
      const std::string label = Cat(ShapeText(shape), " rate ", ShortestDouble(rate));
      cases.push_back({label, Op::kDropout, {F32(shape), ScalarsInput()}, attributes, 0});
      cases.push_back({label + " bf16", Op::kDropout, {BF16(shape), ScalarsInput()}, attributes, 0});
    }
  }
  const Attributes half = {{"rate", 0.5}, {"key", int64_t{7}}};
  cases.push_back({"f64", Op::kDropout, {F64({3, 50}), ScalarsInput()}, half, 0});
  cases.push_back({"great counters",
                   Op::kDropout,
                   {F32({3, 5001}), ScalarsInput()},
                   half,
                   0,
                   true,
                   [](std::vector<HostTensor>& inputs) {
                     inputs[1].data[kStep] = 5e9;
                     inputs[1].data[kFirstSequence] = 4294967295;
                     inputs[1].data[kSeed] = 9007199254740991;
                   }});
  cases.push_back(
      {"infinities and NaN dropped", Op::kDropout, {F32({3, 500}, Fill::kSpecial), ScalarsInput()}, half, 0, false});
  return cases;
}

}  // namespace gptc
