#include "tests/simt/allowance.h"

#include "runtime/cuda/flash_attention.cuh"

namespace gptc {

Allowance AllowanceOnCuda(const OpCase& op_case, const Attributes& attributes, const std::vector<Type>& results) {
  Allowance allowance(results.size());
  if (op_case.op != Op::kFlashAttention && op_case.op != Op::kFlashAttentionBackward) return allowance;
  const Type& qkv = op_case.inputs[op_case.op == Op::kFlashAttention ? 0 : 1].type;
  const int64_t heads = attributes.Int("heads"), head_size = qkv.shape.back() / 3 / heads;
  if (qkv.dtype != DType::kBF16 ||
      !cuda::FlashOnTensorCores(qkv.shape[qkv.shape.size() - 2], heads, head_size, attributes.Double("scale"))) {
    return allowance;
  }
  // p and ds are rounded to bf16 before their products: each term is off by up to 2^-8 of itself, 2^-9 in the mean.
  allowance[0].assign(static_cast<size_t>(ElementCount(results[0].shape)), 0x1p-9 * op_case.amplitude);
  return allowance;
}

}  // namespace gptc
