// Sums and maxima over a warp and over a block, in a fixed order: the same bits in every run.
#ifndef GPTC_RUNTIME_CUDA_BLOCK_CUH_
#define GPTC_RUNTIME_CUDA_BLOCK_CUH_

#include "runtime/cuda/launch.cuh"

namespace gptc::cuda {

inline constexpr int kWarp = 32;

// Over the warp's 32 lanes, all of which take part; every lane has the result.
template <typename T>
__device__ __forceinline__ T WarpSum(T x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}
// A NaN may be passed over.
__device__ __forceinline__ float WarpMax(float x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// Over the block of kThreads threads (blockDim.y = blockDim.z = 1); every thread has the result. Ends behind a barrier
// that lets it be called again.
template <int kThreads, typename T>
__device__ __forceinline__ T BlockSum(T x) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  GPTC_SHARED(T, partial, kThreads / kWarp);
  x = WarpSum(x);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  T sum = partial[0];
#pragma unroll
  for (int i = 1; i < kThreads / kWarp; ++i) sum += partial[i];
  __syncthreads();
  return sum;
}
template <int kThreads>
__device__ __forceinline__ float BlockMax(float x) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  GPTC_SHARED(float, partial, kThreads / kWarp);
  x = WarpMax(x);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  float most = partial[0];
#pragma unroll
  for (int i = 1; i < kThreads / kWarp; ++i) most = fmaxf(most, partial[i]);
  __syncthreads();
  return most;
}

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_BLOCK_CUH_
