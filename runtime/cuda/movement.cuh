// Data movement: elements go to another place and keep their bits, so a kernel knows their size alone (1, 2, 4 or 8
// bytes), and moves up to 16 bytes of neighbours at once where both sides allow. No operand lies over a result. All are
// memory bound: one read, one write (broadcast reads less).
//
//   rows        slice, split and concat as copies of rows, all parts in one launch
//   transpose   where the last axis stays, whole runs; where it does not, tiles through shared memory, so that both
//   sides
//               are read and written along their rows; element by element where a tile would be mostly empty
#ifndef GPTC_RUNTIME_CUDA_MOVEMENT_CUH_
#define GPTC_RUNTIME_CUDA_MOVEMENT_CUH_

#include <cuda_runtime.h>

#include <cstdint>
#include <span>

#include "runtime/cuda/nest.h"

namespace gptc::cuda {

// From rows of `bytes` consecutive bytes, strides apart, to others.
struct RowCopy {
  const void* from;
  void* to;
  int64_t from_stride, to_stride, bytes;
};
// `rows` rows of each part.
void CopyRows(cudaStream_t stream, std::span<const RowCopy> parts, int64_t rows);
void CopyBytes(cudaStream_t stream, const void* from, void* to, int64_t bytes);

// Rows of y are `low` bytes of zeros, a row of x, `high` bytes of zeros.
struct RowPad {
  int64_t rows, low, middle, high;
};
void PadRows(cudaStream_t stream, const void* x, void* y, const RowPad& pad);

// y by a nest whose operand 0 is x, of elements of `size` bytes. The second wants MakeTransposeNest's.
void BroadcastElements(cudaStream_t stream, int size, const Nest& nest, const void* x, void* y);
void TransposeElements(cudaStream_t stream, int size, const Nest& nest, const void* x, void* y);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_MOVEMENT_CUH_
