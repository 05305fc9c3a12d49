// What activation-inl.h and its callers share.
#ifndef GPTC_RUNTIME_CPU_ACTIVATION_H_
#define GPTC_RUNTIME_CPU_ACTIVATION_H_

#include <cstdint>

namespace gptc {

enum class Activation : uint8_t { kGeluTanh, kGeluErf, kRelu, kSigmoid, kSilu };
inline constexpr double kSqrt2OverPi = 0.79788456080286535588;
inline constexpr double kInverseSqrt2Pi = 0.39894228040143267794;
inline constexpr double kCubic = 0.044715;

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ACTIVATION_H_
