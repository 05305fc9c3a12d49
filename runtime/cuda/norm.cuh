// layer_norm, rms_norm, both with a residual addition before, and their gradients, over rows of `width` elements.
//
//   layer_norm: h = (x - mean)·rstd, rstd = 1/sqrt(mean((x - mean)²) + epsilon), y = h·weight + bias
//   rms_norm:   h = x·rstd,          rstd = 1/sqrt(mean(x²) + epsilon),          y = h·weight
//   backward, g = dy·weight: dx = rstd·(g - mean(g) - h·mean(g·h)) [+ dsum], without mean(g) for rms_norm;
//     dweight = Σ rows dy·h, dbias = Σ rows dy
//
// f32 arithmetic. A row is normalized as it is stored: with a residual, after its sum is rounded. Rows of up to 2048
// elements, a multiple of 8, are one warp's and stay in its registers: every operand crosses the memory bus once.
#ifndef GPTC_RUNTIME_CUDA_NORM_CUH_
#define GPTC_RUNTIME_CUDA_NORM_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc::cuda {

// A weight or bias [width], f32 or bf16; null: none.
struct NormWeight {
  const void* data = nullptr;
  bool narrow = false;
};

struct NormForward {
  const void* x = nullptr;         // [rows, width], f32 or bf16
  const void* residual = nullptr;  // the same shape; null: none
  bool residual_narrow = false;    // it is bf16
  void* sum = nullptr;             // of x's type, with a residual; may be x or residual
  NormWeight weight, bias;
  void* y = nullptr;      // of x's type, or bf16; may be x or residual
  float* mean = nullptr;  // [rows]; null: rms_norm
  float* rstd = nullptr;  // [rows]
  int64_t rows = 0, width = 0;
  float epsilon = 0;
};
void Normalize(cudaStream_t stream, DType x, DType y, const NormForward& arguments);

struct NormBackward {
  const void* dy = nullptr;    // [rows, width], f32 or bf16
  const void* x = nullptr;     // f32 or bf16
  const void* dsum = nullptr;  // of x's type; null: none
  NormWeight weight;
  const float* mean = nullptr;  // null: rms_norm
  const float* rstd = nullptr;
  void* dx = nullptr;                          // of x's type; may be dy, x or dsum
  float *dweight = nullptr, *dbias = nullptr;  // [width]; dbias null: rms_norm
  float* parts = nullptr;                      // scratch, f32 [blocks, 2, width]
  int64_t rows = 0, width = 0;
};
// How the rows are shared. By warps, a row's operands are copied into shared memory while the row before is computed,
// each thread keeps the weights' gradients of its columns in registers, and each block leaves one row of them in
// `parts`.
struct NormBackwardPlan {
  int chunks = 0;  // of 256 elements in a row that one warp computes; 0: a row is a block's
  int warps = 8;   // in a block
  int64_t blocks = 1;
  size_t shared_bytes = 0;
};
// For blocks of at most `most_shared` bytes of shared memory. At most 2·multiprocessors blocks.
NormBackwardPlan PlanNormBackward(DType dy, DType x, bool dsum, int64_t rows, int64_t width, size_t most_shared,
                                  int multiprocessors);
void NormalizeBackward(cudaStream_t stream, DType dy, DType x, const NormBackwardPlan& plan,
                       const NormBackward& arguments);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_NORM_CUH_
