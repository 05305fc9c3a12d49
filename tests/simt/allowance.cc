#include "tests/simt/allowance.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/cuda/flash_attention.cuh"

namespace gptc {
namespace {

// A product of two of the inputs, in double: [rows, columns].
HostTensor ExactProduct(Op op, std::vector<const HostTensor*> operands, const Attributes& attributes, Shape shape) {
  const Type type{DType::kF32, std::move(shape)};
  return std::move(EvaluateOp(op, operands, attributes, std::span(&type, 1), Rounding::kExact)[0]);
}

// The sum of k products of numbers of size 1, in the library's order: one after another, each sum rounded to f32,
// √(k²/2) roundings of 2^-25.8 each, in the mean; five standard deviations or six.
double SumAllowance(DType dtype, int64_t k) { return dtype == DType::kF64 ? 0 : 6 * 0x1p-26 * static_cast<double>(k); }

}  // namespace

Allowance AllowanceOnCuda(const OpCase& op_case, const Attributes& attributes, const std::vector<Type>& results) {
  const bool attention = op_case.op == Op::kFlashAttention || op_case.op == Op::kFlashAttentionBackward;
  if (!attention) return Allowance(results.size());
  const Shape& qkv = op_case.inputs[op_case.op == Op::kFlashAttention ? 0 : 1].type.shape;
  const int64_t heads = attributes.Int("heads"), head_size = qkv.back() / 3 / heads;
  return cuda::FlashOnTensorCores(qkv[qkv.size() - 2], heads, head_size, attributes.Double("scale"))
             ? AllowanceOfBf16Attention(op_case, results)
             : Allowance(results.size());
}

bool IsLibraryProduct(Op op) {
  const std::string_view family = InfoOf(op).family;
  return family == "matmul" || family == "linear";
}

Allowance AllowanceOfProducts(const OpCase& op_case, const Attributes& attributes,
                              const std::vector<HostTensor>& inputs, const std::vector<Type>& results) {
  const Op op = op_case.op;
  const Shape& first = inputs[0].type.shape;
  const bool transposed = op == Op::kMatMul && attributes.Bool("transpose_a");
  const int64_t inner = op == Op::kLinearWeightGradient ? ElementCount(first) / std::max<int64_t>(1, first.back())
                                                        : first[first.size() - (transposed ? 2 : 1)];
  const double sum = SumAllowance(results[0].dtype, inner);
  Allowance allowance;
  for (const Type& type : results) allowance.emplace_back(static_cast<size_t>(ElementCount(type.shape)), sum);

  // Some of the library's kernels round the product to bf16 before they add to it: it is off by up to 2^-8 of itself.
  if (inputs.size() > 2 && op != Op::kLinearGeluBackward && results[0].dtype == DType::kBF16) {
    const bool transposed_b = op == Op::kMatMul && attributes.Bool("transpose_b");
    const HostTensor product =
        ExactProduct(Op::kMatMul, {&inputs[0], &inputs[1]},
                     {{"transpose_a", transposed}, {"transpose_b", transposed_b}, {"widen", false}}, results[0].shape);
    for (std::vector<double>& of_result : allowance) {
      if (of_result.size() != product.data.size()) continue;
      for (size_t i = 0; i < of_result.size(); ++i) of_result[i] += 0x1p-8 * std::abs(product.data[i]);
    }
  }

  // A bias is read in the result's type: rounded to bf16 it is off by up to 2^-8 of itself.
  const size_t bias_at = op == Op::kLinearResidual ? 3 : 2;
  const bool has_bias =
      op != Op::kMatMul && op != Op::kLinearGeluBackward && op != Op::kLinearWeightGradient && bias_at < inputs.size();
  if (has_bias && inputs[bias_at].type.dtype == DType::kF32 && results[0].dtype == DType::kBF16) {
    const std::vector<double>& bias = inputs[bias_at].data;
    for (std::vector<double>& of_result : allowance) {
      for (size_t i = 0; i < of_result.size(); ++i) of_result[i] += 0x1p-8 * std::abs(bias[i % bias.size()]);
    }
  }

  const bool gelu = op == Op::kLinearGelu || op == Op::kLinearGeluSaved;
  if ((!gelu && op != Op::kLinearGeluBackward) || !attributes.Bool("tanh")) return allowance;
  // The library's tanh is approximate, in f32 as in bf16; how far is not documented, results are within 2^-8 of u.
  if (gelu) {
    // What u is off by comes times gelu', 1.13 at most.
    for (double& of_element : allowance[0]) of_element *= 1.13;
    std::vector<const HostTensor*> operands;
    for (const HostTensor& input : inputs) operands.push_back(&input);
    const HostTensor u =
        ExactProduct(Op::kLinear, operands, {{"widen", false}, {"columns", int64_t{0}}}, results[0].shape);
    for (size_t i = 0; i < u.data.size(); ++i) allowance[0][i] += 0x1p-8 * std::max(std::abs(u.data[i]), 1.0);
    return allowance;
  }
  const HostTensor product =
      ExactProduct(Op::kMatMul, {&inputs[0], &inputs[1]},
                   {{"transpose_a", false}, {"transpose_b", true}, {"widen", false}}, results[0].shape);
  // gelu' = (1 + t)/2 + u/2·(1 - t²)·√(2/π)·(1 + 3·0.044715·u²), where the GPU's instruction gives t to 2^-11.
  const std::vector<double>& u = inputs[2].data;
  const auto slope = [](double x) { return 0x1p-11 * (0.5 + 0.798 * std::abs(x) * (1 + 0.134145 * x * x)); };
  std::vector<double>& bias_gradient = allowance[1];
  std::vector<double> squares(bias_gradient.size());
  for (size_t i = 0; i < product.data.size(); ++i) {
    allowance[0][i] += slope(u[i]) * std::abs(product.data[i]);
    squares[i % squares.size()] += allowance[0][i] * allowance[0][i];
  }
  // Errors of many rows are independent of each other: three or four standard deviations of their sum.
  for (size_t j = 0; j < squares.size(); ++j) bias_gradient[j] = 2 * std::sqrt(squares[j]);
  return allowance;
}

}  // namespace gptc
