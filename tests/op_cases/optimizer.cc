#include <limits>

#include "ir/base/scalars.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> OptimizerCases() {
  std::vector<OpCase> cases;
  cases.push_back({"one element", Op::kGlobalNorm, {F32({})}, {}, 0});
  cases.push_back({"some shapes", Op::kGlobalNorm, {F32({3, 5}), F32({7}), F32({1031, 33})}, {}, 0});
  cases.push_back({"many chunks", Op::kGlobalNorm, {F32({300, 1031}), F32({2}), F32({70000})}, {}, 0});
  cases.push_back({"bf16", Op::kGlobalNorm, {BF16({300, 31}), BF16({2}), F32({5})}, {}, 0});
  cases.push_back({"squares past f32's range", Op::kGlobalNorm, {F32({33}, Fill::kLarge)}, {}, 0});
  cases.push_back({"an empty gradient", Op::kGlobalNorm, {F32({0, 3}), F32({2})}, {}, 0});
  cases.push_back({"infinities and NaN", Op::kGlobalNorm, {F32({100}, Fill::kSpecial)}, {}, 0});

  const auto adamw = [&](const std::string& label, const Shape& shape, bool decay,
                         std::function<void(std::vector<HostTensor>&)> prepare = nullptr) {
    cases.push_back(
        {label,
         Op::kAdamW,
         {F32(shape), F32(shape), F32(shape), F32(shape, Fill::kPositive), F32({}, Fill::kPositive), ScalarsInput()},
         {{"decay", decay}},
         1e-3,
         false,
         std::move(prepare)});
  };
  for (const bool decay : {false, true}) {
    const std::string suffix = decay ? ", decay" : "";
    adamw(Cat("one element", suffix), {}, decay);
    adamw(Cat("odd", suffix), {7, 33}, decay);
    adamw(Cat("large", suffix), {70, 1031}, decay);
    adamw(Cat("first step from zero moments", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      for (size_t i : {2, 3}) std::fill(inputs[i].data.begin(), inputs[i].data.end(), 0);
      inputs[5].data[kStep] = 1;
    });
    adamw(Cat("clipped", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) { inputs[4].data[0] = 5000; });
    adamw(Cat("no clipping", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      inputs[4].data[0] = 5000;
      inputs[5].data[kClip] = 0;
    });
    adamw(Cat("loss scale", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      for (double& g : inputs[1].data) g *= 1024;
      inputs[5].data[kLossScale] = 1024;
    });
    for (const double norm : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
      adamw(Cat("skipped, the norm is ", ShortestDouble(norm), suffix), {3, 3001}, decay,
            [norm](std::vector<HostTensor>& inputs) { inputs[4].data[0] = norm; });
    }
  }
  return cases;
}

}  // namespace gptc
