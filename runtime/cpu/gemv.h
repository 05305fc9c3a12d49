// Products of a few rows with a matrix, bound by reading the matrix once: the linear layers and the logits of a
// decoding step.
#ifndef GPTC_RUNTIME_CPU_GEMV_H_
#define GPTC_RUNTIME_CPU_GEMV_H_

#include <cstddef>
#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc {

// Rows of x up to which this beats a matrix product that packs its operands.
inline constexpr int64_t kGemvRows = 8;

// y += x · w: x f32[m, k], y f32[m, n] (its initial values count), w [k, n] of f32 or bf16, or [n, k] where
// `transposed`. Sums run over k in one fixed order for every element, so the bits do not depend on the number of
// threads.
// `scratch`: GemvScratchBytes of the shape, aligned to 64 bytes.
void Gemv(const float* x, DType dtype, const void* w, bool transposed, float* y, int64_t m, int64_t n, int64_t k,
          void* scratch);
size_t GemvScratchBytes(bool transposed, int64_t m, int64_t n, int64_t k);

// Sums that runs of rows are gathered in: what fits L1 beside the rows. Wider products are cut into columns.
inline constexpr int64_t kMostRunSums = 6144;

// The same for a packed w (ir/base/packing.h).
void GemvPacked(const float* x, DType dtype, const void* w, float* y, int64_t m, int64_t n, int64_t k);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_GEMV_H_
