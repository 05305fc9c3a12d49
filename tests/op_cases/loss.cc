#include <cmath>
#include <limits>

#include "ir/reference.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {
namespace {

// lse (inputs[2]) is what the forward op gives for these logits and targets.
std::function<void(std::vector<HostTensor>&)> WithLse(int64_t classes) {
  return [classes](std::vector<HostTensor>& inputs) {
    RoundToType(inputs[0]);
    const std::vector<const HostTensor*> operands = {&inputs[0], &inputs[1]};
    const std::vector<Type> types = {inputs[2].type, inputs[2].type};
    inputs[2].data = EvaluateOp(Op::kCrossEntropy, operands, {{"classes", classes}}, types, Rounding::kRounded)[1].data;
  };
}

}  // namespace

std::vector<OpCase> LossCases() {
  std::vector<OpCase> cases;
  struct Sizes {
    Shape rows;
    int64_t columns, classes;
  };
  for (const auto& [rows, columns, classes] : std::vector<Sizes>{{{1}, 1, 1},
                                                                 {{3}, 5, 5},
                                                                 {{2, 3}, 7, 4},
                                                                 {{9}, 1031, 1031},
                                                                 {{2, 17}, 1040, 1027},
                                                                 {{3}, 50304, 50257},
                                                                 {{}, 9, 9}}) {
    Shape logits = rows;
    logits.push_back(columns);
    const Attributes attributes = {{"classes", classes}};
    for (const Fill fill : {Fill::kIds, Fill::kIgnored}) {
      const std::string label =
          Cat(ShapeText(logits), ", ", classes, " classes", fill == Fill::kIgnored ? ", some ignored" : "");
      const CaseInput targets = I32(rows, fill, classes);
      const auto lse = WithLse(classes);
      cases.push_back({label, Op::kCrossEntropy, {F32(logits), targets}, attributes, 4});
      cases.push_back({label + " bf16", Op::kCrossEntropy, {BF16(logits), targets}, attributes, 4});
      cases.push_back(
          {label, Op::kCrossEntropyBackward, {F32(logits), targets, F32(rows), F32(rows)}, attributes, 1, false, lse});
      cases.push_back({label + " bf16",
                       Op::kCrossEntropyBackward,
                       {BF16(logits), targets, F32(rows), F32(rows)},
                       attributes,
                       1,
                       false,
                       lse});
      cases.push_back({label, Op::kCrossEntropyGradient, {F32(logits), targets, F32(rows)}, attributes, 4});
      cases.push_back({label + " bf16", Op::kCrossEntropyGradient, {BF16(logits), targets, F32(rows)}, attributes, 4});
    }
  }
  const Attributes forty = {{"classes", int64_t{40}}};
  cases.push_back({"large logits",
                   Op::kCrossEntropy,
                   {F32({30, 41}), I32({30}, Fill::kIds, 40)},
                   forty,
                   3000,
                   false,
                   [](std::vector<HostTensor>& inputs) {
                     for (double& x : inputs[0].data) x *= 1000;
                   }});
  // What stands past the classes is padding and must not be read.
  const auto padding = [](std::vector<HostTensor>& inputs) {
    for (size_t i = 40; i < inputs[0].data.size(); i += 41)
      inputs[0].data[i] = std::numeric_limits<double>::quiet_NaN();
  };
  cases.push_back({"NaN past the classes",
                   Op::kCrossEntropy,
                   {F32({30, 41}), I32({30}, Fill::kIds, 40)},
                   forty,
                   4,
                   false,
                   padding});
  cases.push_back({"NaN past the classes",
                   Op::kCrossEntropyBackward,
                   {F32({30, 41}), I32({30}, Fill::kIds, 40), F32({30}), F32({30})},
                   forty,
                   1,
                   false,
                   [padding](std::vector<HostTensor>& inputs) {
                     padding(inputs);
                     WithLse(40)(inputs);
                   }});
  cases.push_back({"NaN past the classes",
                   Op::kCrossEntropyGradient,
                   {F32({30, 41}), I32({30}, Fill::kIds, 40), F32({30})},
                   forty,
                   4,
                   false,
                   padding});
  cases.push_back({"-inf in places",
                   Op::kCrossEntropyGradient,
                   {F32({3, 5000}), I32({3}, Fill::kIds, 1000), F32({3})},
                   {{"classes", int64_t{5000}}},
                   4,
                   false,
                   [](std::vector<HostTensor>& inputs) {
                     for (size_t i = 0; i < inputs[0].data.size(); ++i) {
                       if (i % 5000 >= 1000) inputs[0].data[i] = -std::numeric_limits<double>::infinity();
                     }
                   }});
  return cases;
}

}  // namespace gptc
