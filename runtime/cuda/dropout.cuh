// y = x · mask / (1 - rate); the mask is that of ir/base/philox.h, computed anew from seed, step, sequence, op key and
// element. x, y: [sequences, elements], f32, bf16 or f64; y may be x. scalars: the run-time scalars in device memory.
// f32 arithmetic for bf16. A thread makes the words of eight neighbours at a time; reads 1, writes 1.
#ifndef GPTC_RUNTIME_CUDA_DROPOUT_CUH_
#define GPTC_RUNTIME_CUDA_DROPOUT_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

struct DropoutShape {
  int64_t sequences, elements;  // elements of a sequence
};

// dtype: f32, bf16 or f64.
void Dropout(cudaStream_t stream, DType dtype, const void* x, const double* scalars, void* y, const DropoutShape& shape,
             double rate, int64_t key);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_DROPOUT_CUH_
