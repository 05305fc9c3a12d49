// Activations and GELU's backward, element by element; a large |x| gives the limit, -∞ and NaN give NaN.
//
//   gelu, tanh form   x·σ(2u), u = √(2/π)(x + 0.044715 x³)   (Hendrycks & Gimpel 2016; 0.5(1 + tanh u) = σ(2u))
//   gelu, exact       x·Φ(x), Φ(x) = erfc(-x/√2)/2, whose left tail does not cancel
//   silu              x·σ(x)
//
// f32, bf16 (computed in f32) and f64; a result may lie over an operand.
#ifndef GPTC_RUNTIME_CUDA_ACTIVATION_CUH_
#define GPTC_RUNTIME_CUDA_ACTIVATION_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

enum class Activation : uint8_t { kGeluTanh, kGeluErf, kRelu, kSigmoid, kSilu };

void Activate(cudaStream_t stream, Activation activation, DType dtype, const void* x, void* y, int64_t count);
// dx = dy·gelu'(x).
void GeluBackward(cudaStream_t stream, bool tanh, DType dtype, const void* x, const void* dy, void* dx, int64_t count);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_ACTIVATION_CUH_
