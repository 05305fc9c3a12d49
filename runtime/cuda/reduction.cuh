// Sums, means and maxima. Every result is computed in one fixed order: the same bits in every run on one kind of GPU.
//
// f32 and bf16 in f32, f64, i32 (sums wrap; no means). A maximum is NaN where any element is. Nothing to reduce gives
// 0 (sum), NaN (mean), -inf (maximum; of i32 the least integer).
#ifndef GPTC_RUNTIME_CUDA_REDUCTION_CUH_
#define GPTC_RUNTIME_CUDA_REDUCTION_CUH_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

// first[j] = part 0 [j] + part 1 [j] + ..., j below `columns`; where `second` is not null, second[j] the same of what
// stands `columns` behind. `parts` rows of f32, `stride` apart.
void AddParts(cudaStream_t stream, const float* from, int64_t parts, int64_t stride, float* first, float* second,
              int64_t columns);

enum class Reduction { kSum, kMean, kMax };

// Axes of x, the kept ones first, each with its size and the elements from one index to the next. Neighbours that are
// both kept or both reduced are one.
struct ReductionShape {
  static constexpr int kMostAxes = 8;
  int kept = 0, reduced = 0;
  int64_t sizes[kMostAxes], strides[kMostAxes];
  int64_t results = 1, terms = 1;  // products of the kept and of the reduced sizes
};

// What is launched, by the form of the shape.
struct ReductionPlan {
  enum class Form : uint8_t {
    kThreads,  // a thread a result
    kBlocks,   // a block a result
    kRows,     // of x [results, terms]: a warp a result, or a block, or a block a piece of it
    kColumns,  // sums of x [terms, results], which is read once in whole cache lines: of groups of rows, then of these
  };
  Form form = Form::kThreads;
  int64_t parts = 1;         // of a result, that meet in scratch
  int64_t piece = 0;         // terms of a part, of rows
  size_t scratch_bytes = 0;  // of 4·parts·results (f64: 8), where there are parts to meet
};
ReductionPlan PlanReduction(Reduction reduction, DType x, const ReductionShape& shape, int multiprocessors);

// y[i] = the reduction of x over the reduced axes, i counting the kept ones. y has x's type, or is f32 for x of bf16.
void Reduce(cudaStream_t stream, Reduction reduction, DType x_dtype, const void* x, DType y_dtype, void* y,
            const ReductionShape& shape, const ReductionPlan& plan, void* scratch);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_REDUCTION_CUH_
