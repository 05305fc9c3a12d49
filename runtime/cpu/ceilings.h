// What this machine can do at best, measured: the yardstick of MFU and of predicted times.
#ifndef GPTC_RUNTIME_CPU_CEILINGS_H_
#define GPTC_RUNTIME_CPU_CEILINGS_H_

#include <cstdint>

#include "ir/base/dtype.h"
#include "ir/base/status.h"

namespace gptc {

// The matrix products of one training step of a GPT-2 of this shape.
struct GemmCeilingShape {
  int64_t tokens = 256;
  int64_t width = 768;
  int64_t layers = 12;
  int64_t vocab = 50257;  // 0 leaves the products of the logits out
};

// GFLOP/s of oneDNN with packed weights over every forward, input-gradient and weight-gradient product of the shape,
// each weighted by its operations; the fastest of a few runs of each after one to warm up. `dtype` is f32 or bf16 (f32
// accumulation). Takes about `seconds`, more where one run of each takes longer. Unimplemented where this machine has
// no such products (bf16 without AVX-512), OutOfMemory where the matrices do not fit. Uses OpenMP's threads.
StatusOr<double> MeasureGemmGflops(DType dtype, const GemmCeilingShape& shape, double seconds);

// GB/s (10^9) of all OpenMP threads reading an array of `bytes`, the best of the passes that fit into `seconds`. A
// small array is read again and again, from the caches that hold it.
inline constexpr int64_t kBeyondCaches = int64_t{1} << 28;
StatusOr<double> MeasureReadGBps(double seconds, int64_t bytes = kBeyondCaches);
// The same for a pass that reads four equal parts of the array and writes three of them, as an optimizer does: what is
// read and what is written together. More than reading alone, where the two overlap.
StatusOr<double> MeasureUpdateGBps(double seconds, int64_t bytes = kBeyondCaches);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_CEILINGS_H_
