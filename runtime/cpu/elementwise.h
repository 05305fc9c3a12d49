// What elementwise-inl.h and its callers share.
#ifndef GPTC_RUNTIME_CPU_ELEMENTWISE_H_
#define GPTC_RUNTIME_CPU_ELEMENTWISE_H_

#include <cstdint>

namespace gptc {
enum class Binary : uint8_t { kAdd, kSub, kMul, kDiv, kMax };
enum class Unary : uint8_t { kNeg, kExp, kLog, kTanh, kErf, kSqrt, kRsqrt };
}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ELEMENTWISE_H_
