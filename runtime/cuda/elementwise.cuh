// Elementwise arithmetic. Operands broadcast as in NumPy; a result may lie over an operand of its own type.
//
//   add sub mul div max           f32, bf16 (computed in f32), f64; all but div also i32 (wrapping)
//   neg                           the same
//   exp log tanh erf sqrt rsqrt   f32, bf16, f64
//
// max gives NaN where either operand is NaN. The functions of f32 are those of CUDA's math library, within 2 units in
// the last place. Reads each operand once, writes the result once, 16 bytes at a time where shapes are equal or rows
// are whole vectors.
#ifndef GPTC_RUNTIME_CUDA_ELEMENTWISE_CUH_
#define GPTC_RUNTIME_CUDA_ELEMENTWISE_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"
#include "runtime/cuda/nest.h"

namespace gptc::cuda {

enum class Binary : uint8_t { kAdd, kSub, kMul, kDiv, kMax };
enum class Unary : uint8_t { kNeg, kExp, kLog, kTanh, kErf, kSqrt, kRsqrt };

// All tensors have this dtype. REQUIRES: one of those above.
void ApplyBinary(cudaStream_t stream, Binary op, DType dtype, const Nest& nest, const void* a, const void* b, void* y);
void ApplyUnary(cudaStream_t stream, Unary op, DType dtype, const void* x, void* y, int64_t count);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_ELEMENTWISE_CUH_
