// What activation-inl.h and its callers share, and rows for kernels that apply an activation to what they have
// just computed.
#ifndef GPTC_RUNTIME_CPU_ACTIVATION_H_
#define GPTC_RUNTIME_CPU_ACTIVATION_H_

#include <cstddef>
#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc {

enum class Activation : uint8_t { kGeluTanh, kGeluErf, kRelu, kSigmoid, kSilu };
inline constexpr double kSqrt2OverPi = 0.79788456080286535588;
inline constexpr double kInverseSqrt2Pi = 0.39894228040143267794;
inline constexpr double kCubic = 0.044715;

// y[i] = activation(x[i]). y may be x. f32 or bf16.
void ActivationRow(Activation activation, DType dtype, const void* x, void* y, size_t n);

// du[i] = dy[i]·gelu'(u[i]); sums[i] += du[i], as rounded to du's type. du may be dy. f32 or bf16.
void GeluBackwardRow(bool tanh, DType dtype, const void* u, const void* dy, void* du, float* sums, size_t n);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ACTIVATION_H_
