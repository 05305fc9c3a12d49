#include <cmath>

#include "ir/base/packing.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> LinearCases() {
  std::vector<OpCase> cases;
  const std::vector<std::array<int64_t, 3>> sizes = {{1, 1, 1},      {3, 4, 5},      {9, 33, 65},   {2, 768, 770},
                                                     {65, 130, 257}, {33, 520, 515}, {300, 40, 130}};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool packed : {false, true}) {
      for (const auto& [rows, in, out] : sizes) {
        const std::string label = Cat(rows, " rows, ", in, " to ", out, ", ", packed ? "packed " : "", NameOf(dtype));
        // Between the product and gelu lies a value of the type: in bf16 off by 2^-8 of itself, 2000 times f32's
        // tolerance.
        const double amplitude = std::sqrt(static_cast<double>(in)) * (dtype == DType::kBF16 ? 2000 : 1);
        // A bias gradient sums the rows too, of values rounded twice.
        const double sums = 4 * std::sqrt(static_cast<double>(rows));
        const auto add = [&](std::string more, Op op, std::vector<CaseInput> inputs, Attributes attributes,
                             bool transposed = false) {
          inputs.insert(inputs.begin(), {{{dtype, {rows, in}}},
                                         {packed       ? PackedType(dtype, in, out)
                                          : transposed ? Type{dtype, {out, in}}
                                                       : Type{dtype, {in, out}}}});
          if (packed) attributes.Set("columns", out);
          OpCase test{.label = label + more,
                      .op = op,
                      .inputs = std::move(inputs),
                      .attributes = std::move(attributes),
                      .amplitude = op == Op::kLinearGeluBackward ? amplitude * sums : amplitude,
                      .differentiable = false};
          if (packed) {
            test.prepare = [in, out](std::vector<HostTensor>& all) { ClearPadding(all[1], in, out); };
          }
          cases.push_back(std::move(test));
        };
        const CaseInput activations{{dtype, {rows, out}}};
        add("", Op::kLinearResidual, {activations}, {});
        add(", f32 residual, bias", Op::kLinearResidual, {F32({rows, out}), F32({out})}, {});
        add("", Op::kLinearRelu, {F32({out})}, {});
        add(", no bias", Op::kLinearRelu, {}, {});
        for (const bool tanh : {true, false}) {
          const std::string form = tanh ? ", tanh" : ", erf";
          add(form, Op::kLinearGelu, {F32({out})}, {{"tanh", tanh}});
          add(form, Op::kLinearGeluSaved, {F32({out})}, {{"tanh", tanh}});
          add(form, Op::kLinearGeluBackward, {activations}, {{"tanh", tanh}}, true);
        }
        add(", no bias", Op::kLinearGeluSaved, {}, {});
        if (packed) continue;
        const double terms = std::sqrt(static_cast<double>(rows));
        const Type x{dtype, {rows, in}}, dy{dtype, {rows, out}};
        cases.push_back({.label = label,
                         .op = Op::kLinearWeightGradient,
                         .inputs = {{x}, {dy}},
                         .amplitude = terms,
                         .differentiable = false});
        cases.push_back({.label = label + ", added",
                         .op = Op::kLinearWeightGradient,
                         .inputs = {{x}, {dy}, F32({in, out})},
                         .amplitude = terms,
                         .differentiable = false});
      }
    }
  }
  return cases;
}

}  // namespace gptc
