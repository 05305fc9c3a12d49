// What reduction-inl.h and its callers share.
#ifndef GPTC_RUNTIME_CPU_REDUCTION_H_
#define GPTC_RUNTIME_CPU_REDUCTION_H_

#include <cstddef>
#include <cstdint>

namespace gptc {
enum class Reduction : uint8_t { kSum, kMean, kMax };
inline constexpr size_t kReductionBlock = 4096;  // elements summed in f32 before f64 takes over
}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_REDUCTION_H_
