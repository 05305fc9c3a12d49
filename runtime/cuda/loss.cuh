// Cross-entropy of rows of logits [rows, columns] against targets, over the first `classes` columns.
//
//   lse = log sum exp(logits),  loss = lse - logits[target];  a target below 0: loss 0; one of `classes` or more: NaN
//   dlogits = (exp(logits - lse) - [column is target])·dloss;  0 in the other columns and in rows without a target
//
// f32 or bf16 logits, f32 arithmetic. A block a row, whose maximum and sum are found in one pass (Milakov & Gimelshein
// 2018, "Online normalizer calculation for softmax"). For the gradient a row of whole 16-byte vectors stays in shared
// memory where it fits (on an H100 bf16 rows of 115,000 columns): the logits are read once and written once. Two such
// rows of GPT-2's 50304 columns share a multiprocessor, so that one is read while the other is written.
#ifndef GPTC_RUNTIME_CUDA_LOSS_CUH_
#define GPTC_RUNTIME_CUDA_LOSS_CUH_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

struct CrossEntropyArguments {
  DType dtype = DType::kF32;
  const void* logits = nullptr;
  const int32_t* targets = nullptr;            // [rows]
  const float* dlosses = nullptr;              // [rows]
  const float* given_lse = nullptr;            // [rows], for CrossEntropyBackward
  float *losses = nullptr, *lse = nullptr;     // [rows]
  void* dlogits = nullptr;                     // may be the logits
  int64_t rows = 0, classes = 0, columns = 0;  // columns below 2^31
  size_t most_shared = 0;                      // bytes of shared memory that a block can have
};

void CrossEntropy(cudaStream_t stream, const CrossEntropyArguments& arguments);          // losses, lse
void CrossEntropyBackward(cudaStream_t stream, const CrossEntropyArguments& arguments);  // dlogits
void CrossEntropyGradient(cudaStream_t stream, const CrossEntropyArguments& arguments);  // losses, dlogits

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_LOSS_CUH_
