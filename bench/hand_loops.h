// Loops written by hand for what the benchmark's `fused` rows compute: what the tile machine is measured against.
#ifndef GPTC_BENCH_HAND_LOOPS_H_
#define GPTC_BENCH_HAND_LOOPS_H_

#include <cstdint>

#include "runtime/cpu/simd.h"

namespace gptc {

// All in parallel over rows of `width` elements, with the vectors of this machine.
// y = a·x + b
void HandScaleAdd(const float* x, const float* b, float* y, int64_t rows, int64_t width);
// y = gelu(x + bias)
void HandBiasGelu(const float* x, const float* bias, float* y, int64_t rows, int64_t width);
// y = x + r, and the same in bf16
void HandResidualCast(const float* x, const float* r, float* y, Bf16* narrow, int64_t rows, int64_t width);
// y = softmax(x)
void HandSoftmax(const float* x, float* y, int64_t rows, int64_t width);

inline constexpr float kHandScale = 0.75f;

}  // namespace gptc

#endif  // GPTC_BENCH_HAND_LOOPS_H_
