// flash_attention and its backward, without a [T, T] matrix.
//
// qkv [B, T, 3C]: q, k and v of all heads side by side, C = heads · head_size; y, dy [B, T, C]: the heads merged;
// lse f32 [B, heads, T]; sums f32 [B, heads, T]. With s = scale · q·kᵀ where a query sees a key, and -inf elsewhere:
//
//   lse = log Σ eˢ    p = e^(s - lse)    y = (p · mask)·v
//   sums = Σ dy·y over a head's elements
//   dv = (p · mask)ᵀ·dy    ds = p · ((dy·vᵀ) · mask - sums)    dq = scale · ds·k    dk = scale · dsᵀ·q
//
// mask is 0 or 1 / (1 - rate), as ir/base/philox.h defines it. After Dao, "FlashAttention-2", 2023.
//
// There are two implementations. The tensor cores' is for bf16 with heads of 8, 16, .. 128 elements and a scale above
// 0: products of bf16 with f32 sums, p and ds rounded to bf16 before theirs (a relative error of up to 2^-8 of each
// term); on Hopper by warpgroups where they serve. The plain one takes f32 and bf16, heads of up to kFlashPlainHead
// elements, and has f32 arithmetic throughout. None has atomics: the same bits in every run.
#ifndef GPTC_RUNTIME_CUDA_FLASH_ATTENTION_CUH_
#define GPTC_RUNTIME_CUDA_FLASH_ATTENTION_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace gptc::cuda {

struct bf16;

struct FlashArguments {
  const void* qkv;
  const double* scalars;    // of the run; null: no dropout
  const int32_t* segments;  // [B, T]; null: all tokens are of one
  int batch, tokens, heads, head_size;
  bool causal;
  float scale;
  int64_t op_key;
  uint32_t threshold;  // of dropout: DropoutThreshold(rate)
  float kept;          // 1 / (1 - rate)
};

inline constexpr int kFlashPlainHead = 400;

// Whether the tensor cores' kernels take such heads of bf16. They count a sequence's elements by 32 bits.
inline bool FlashOnTensorCores(int64_t tokens, int64_t heads, int64_t head_size, double scale) {
  return head_size % 8 == 0 && head_size <= 128 && scale > 0 &&
         3 * heads * head_size * (tokens + 512) < int64_t{1} << 32;
}

// Write y and lse. Read qkv: 6BTC bytes, once if k and v of the heads in flight stay in the L2 cache; write 2BTC.
void FlashForward(cudaStream_t stream, const FlashArguments& args, bf16* y, float* lse);
// For what FlashOnTensorCores() allows with heads of up to 64 elements and neither dropout nor segments, on GPUs of
// compute capability 9.0, where the program has code for sm_90a (flash_attention_hopper.cu).
void FlashForwardHopper(cudaStream_t stream, const FlashArguments& args, bf16* y, float* lse);
template <typename T>
void FlashForwardPlain(cudaStream_t stream, const FlashArguments& args, T* y, float* lse);

// Write dqkv, and sums on the way.
void FlashBackward(cudaStream_t stream, const FlashArguments& args, const bf16* dy, const bf16* y, const float* lse,
                   float* sums, bf16* dqkv);
void FlashBackwardHopper(cudaStream_t stream, const FlashArguments& args, const bf16* dy, const bf16* y,
                         const float* lse, float* sums, bf16* dqkv);
template <typename T>
void FlashBackwardPlain(cudaStream_t stream, const FlashArguments& args, const T* dy, const T* y, const float* lse,
                        float* sums, T* dqkv);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_FLASH_ATTENTION_CUH_
