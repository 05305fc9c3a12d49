// Sums, means and maxima. Every result is computed in one fixed order.
#ifndef GPTC_RUNTIME_CUDA_REDUCTION_CUH_
#define GPTC_RUNTIME_CUDA_REDUCTION_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

// sums[j] = part 0 [j] + part 1 [j] + ..., j below `columns`; `parts` rows of f32, `stride` apart. sums: f32 or bf16.
void AddParts(cudaStream_t stream, const float* from, int64_t parts, int64_t stride, DType dtype, void* sums,
              int64_t columns);

// y[j] = the sum over rows of x[row, j]; x [rows, columns] f32 or bf16, y f32 or bf16, sums in f32. `parts`: scratch,
// f32 [ColumnParts, columns]. Reads x once.
int64_t ColumnParts(int64_t rows, int64_t columns, int multiprocessors);
void SumColumns(cudaStream_t stream, DType x_dtype, const void* x, DType y_dtype, void* y, int64_t rows,
                int64_t columns, float* parts, int64_t part_count);

enum class Reduction { kSum, kMean, kMax };

// Axes of x, the kept ones first, each with its size and the elements from one index to the next.
struct ReductionShape {
  static constexpr int kMostAxes = 8;
  int kept = 0, reduced = 0;
  int64_t sizes[kMostAxes], strides[kMostAxes];
  int64_t results = 1, terms = 1;  // products of the kept and of the reduced sizes
};

// y[i] = the reduction of x over the reduced axes, i counting the kept ones. f32 and bf16 (in f32), f64, i32 (sums
// wrap). A block a result where there are many terms, else a thread.
void Reduce(cudaStream_t stream, Reduction reduction, DType x_dtype, const void* x, DType y_dtype, void* y,
            const ReductionShape& shape);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_REDUCTION_CUH_
