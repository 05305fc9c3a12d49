#include <cmath>

#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> NormCases() {
  std::vector<OpCase> cases;
  const Attributes epsilon = {{"epsilon", 1e-5}}, narrow = {{"epsilon", 1e-5}, {"narrow", true}};
  // The kernel normalizes the sum as it is stored, the reference as it is.
  const auto exact_in_bf16 = [](std::vector<HostTensor>& inputs) {
    for (HostTensor* addend : {&inputs[0], &inputs[1]}) {
      for (double& x : addend->data) x = std::round(8 * x) / 8;
    }
  };
  for (const Shape& shape : {Shape{1, 2}, Shape{2, 3, 4}, Shape{7, 33}, Shape{1, 768}, Shape{70, 768}, Shape{3, 1031},
                             Shape{700, 5}, Shape{300, 264}, Shape{3, 1600}}) {
    const Shape row = {shape.back()}, rows(shape.begin(), shape.end() - 1);
    const std::string label = ShapeText(shape);
    cases.push_back({label, Op::kLayerNorm, {F32(shape), F32(row), F32(row)}, epsilon});
    cases.push_back({label + " no bias", Op::kLayerNorm, {F32(shape), F32(row)}, epsilon});
    cases.push_back({label + " bf16", Op::kLayerNorm, {BF16(shape), BF16(row), BF16(row)}, epsilon});
    cases.push_back({label + " bf16, f32 weights", Op::kLayerNorm, {BF16(shape), F32(row), F32(row)}, epsilon});
    cases.push_back({label + " narrow", Op::kLayerNorm, {F32(shape), F32(row), F32(row)}, narrow});
    cases.push_back({label, Op::kRmsNorm, {F32(shape), F32(row)}, epsilon});
    cases.push_back({label + " narrow", Op::kRmsNorm, {F32(shape), F32(row)}, narrow});
    cases.push_back({label + " bf16", Op::kRmsNorm, {BF16(shape), BF16(row)}, epsilon});

    cases.push_back({label, Op::kResidualLayerNorm, {F32(shape), F32(shape), F32(row), F32(row)}, epsilon});
    cases.push_back({label + " no bias, bf16 r", Op::kResidualLayerNorm, {F32(shape), BF16(shape), F32(row)}, epsilon});
    cases.push_back(
        {label + " narrow, bf16 r", Op::kResidualLayerNorm, {F32(shape), BF16(shape), F32(row), F32(row)}, narrow});
    cases.push_back({label + " bf16",
                     Op::kResidualLayerNorm,
                     {BF16(shape), BF16(shape), F32(row)},
                     epsilon,
                     1,
                     false,
                     exact_in_bf16});
    cases.push_back({label + " narrow", Op::kResidualRmsNorm, {F32(shape), F32(shape), F32(row)}, narrow});
    cases.push_back({label, Op::kResidualRmsNorm, {F32(shape), F32(shape), F32(row)}, epsilon});
    cases.push_back({label + " bf16 r", Op::kResidualRmsNorm, {F32(shape), BF16(shape), F32(row)}, epsilon});

    const double amplitude = 3 * std::sqrt(static_cast<double>(ElementCount(rows)));
    cases.push_back({label,
                     Op::kLayerNormBackward,
                     {F32(shape), F32(shape), F32(row), F32(rows), F32(rows, Fill::kPositive)},
                     {},
                     amplitude});
    cases.push_back({label + " bf16",
                     Op::kLayerNormBackward,
                     {BF16(shape), BF16(shape), BF16(row), F32(rows), F32(rows, Fill::kPositive)},
                     {},
                     amplitude});
    cases.push_back({label + " bf16 dy",
                     Op::kLayerNormBackward,
                     {BF16(shape), F32(shape), F32(row), F32(rows), F32(rows, Fill::kPositive)},
                     {},
                     amplitude});
    cases.push_back({label + " dsum",
                     Op::kLayerNormBackward,
                     {F32(shape), F32(shape), F32(row), F32(rows), F32(rows, Fill::kPositive), F32(shape)},
                     {},
                     amplitude});
    cases.push_back({label + " dsum, bf16 dy",
                     Op::kLayerNormBackward,
                     {BF16(shape), F32(shape), F32(row), F32(rows), F32(rows, Fill::kPositive), F32(shape)},
                     {},
                     amplitude});
    cases.push_back({label + " dsum bf16",
                     Op::kRmsNormBackward,
                     {BF16(shape), BF16(shape), F32(row), F32(rows, Fill::kPositive), BF16(shape)},
                     {},
                     amplitude});
    cases.push_back(
        {label, Op::kRmsNormBackward, {F32(shape), F32(shape), F32(row), F32(rows, Fill::kPositive)}, {}, amplitude});
    cases.push_back({label + " bf16",
                     Op::kRmsNormBackward,
                     {BF16(shape), BF16(shape), BF16(row), F32(rows, Fill::kPositive)},
                     {},
                     amplitude});
    cases.push_back({label + " bf16 dy",
                     Op::kRmsNormBackward,
                     {BF16(shape), F32(shape), F32(row), F32(rows, Fill::kPositive)},
                     {},
                     amplitude});
  }
  // The variance is small beside the mean: a sum of squares less the square of the sum would lose it.
  const auto far_from_zero = [](std::vector<HostTensor>& inputs) {
    for (double& x : inputs[0].data) x += 1000;
  };
  cases.push_back(
      {"a large mean", Op::kLayerNorm, {F32({5, 300}), F32({300}), F32({300})}, epsilon, 1000, false, far_from_zero});
  cases.push_back({"large values", Op::kRmsNorm, {F32({5, 300}), F32({300})}, epsilon, 1, false, far_from_zero});
  const auto constant_rows = [](std::vector<HostTensor>& inputs) {
    for (double& x : inputs[0].data) x = 3;
  };
  cases.push_back(
      {"constant rows", Op::kLayerNorm, {F32({5, 64}), F32({64}), F32({64})}, epsilon, 1, false, constant_rows});
  return cases;
}

}  // namespace gptc
