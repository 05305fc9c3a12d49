#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> ActivationCases() {
  std::vector<OpCase> cases;
  const auto forward = [&](Op op, std::string_view form, const Attributes& attributes) {
    const auto add = [&](std::string_view label, CaseInput x, double amplitude, bool differentiable) {
      cases.push_back({Cat(form, label), op, {std::move(x)}, attributes, amplitude, differentiable});
    };
    add("scalar", F32({}), 1, true);
    add("odd width", F32({7, 5}, Fill::kAway), 1, true);
    add("large rows", F32({3, 4099}), 1, true);
    add("bf16", BF16({3, 1031}), 1, true);
    add("f64", F64({5, 3}), 1, true);
    // Nothing is lost in the tails: what is not relative to the result is a thousandth of what the default allows.
    add("wide", F32({5000}, Fill::kWide), 1e-3, false);
    add("large values", F32({900}, Fill::kLarge), 1e-3, false);
    add("large values bf16", BF16({900}, Fill::kLarge), 1e-3, false);
    add("special values", F32({30, 41}, Fill::kSpecial), 1, false);
  };
  forward(Op::kGelu, "tanh form, ", {{"tanh", true}});
  forward(Op::kGelu, "exact, ", {{"tanh", false}});
  forward(Op::kRelu, "", {});
  forward(Op::kSigmoid, "", {});
  forward(Op::kSilu, "", {});
  for (const bool tanh : {true, false}) {
    const std::string form = tanh ? "tanh form, " : "exact, ";
    const auto add = [&](std::string_view label, CaseInput x, CaseInput dy) {
      cases.push_back({Cat(form, label), Op::kGeluBackward, {std::move(x), std::move(dy)}, {{"tanh", tanh}}, 2});
    };
    add("one element", F32({1}), F32({1}));
    add("large rows", F32({3, 4099}), F32({3, 4099}));
    add("bf16", BF16({3, 1031}), BF16({3, 1031}));
    add("f64", F64({31}), F64({31}));
    add("wide", F32({5000}, Fill::kWide), F32({5000}));
    add("large values", F32({900}, Fill::kLarge), F32({900}));
  }
  return cases;
}

}  // namespace gptc
