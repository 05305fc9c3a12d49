// Softmax over the last axis and its gradient, the causal mask, and attention over a cache of keys and values.
//
//   softmax            y = exp(x - max) / sum of exp(x - max); a row of -inf alone gives zeros, a NaN makes its row NaN
//   softmax_backward   dx = y · (dy - sum of dy · y)
//     With `causal` row i of a [rows, columns] matrix is live up to column i + columns - rows; to the right of it y and
//     dx are 0 (-inf for the mask) and nothing is read. y may be x, dx may be y or dy. Up to 1024 columns a warp keeps
//     a row in registers: one read, one write. Beyond, a block goes over a row twice.
//   cache_update       row t of x[b] goes to row positions[b] + t of slot slots[b], where there is such a row; of two
//   for
//     one place the later sequence's stays. y may be the cache: then only those rows are touched.
//   cached_attention   query (b, t) attends the keys 0 .. positions[b] + t of its slot; 0 where it has none. A
//   streaming
//     softmax (https://arxiv.org/abs/2205.14135): as many lanes as hold a key's elements in 16-byte pieces are a stream
//     that goes over every n-th key by itself, keys and values read once for up to four queries; a block's streams are
//     merged in a fixed order. Reads the live keys and values once per tile of queries. Where there are fewer blocks
//     than the chip holds, the keys of a query are divided over several (CachedAttentionSplits) and their parts merged
//     by a second kernel.
//
// f32 or bf16 elements, all arithmetic in f32, sums in an order that the shapes decide.
#ifndef GPTC_RUNTIME_CUDA_ATTENTION_CUH_
#define GPTC_RUNTIME_CUDA_ATTENTION_CUH_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

namespace gptc::cuda {

struct bf16;  // numeric.cuh

// A tensor [.., rows, columns] of `count` rows in all.
struct SoftmaxShape {
  int64_t count, rows, columns;
  bool causal;
};

// T: float or bf16.
template <typename T>
void CausalMask(cudaStream_t stream, const T* x, T* y, const SoftmaxShape& shape);
template <typename T>
void Softmax(cudaStream_t stream, const T* x, T* y, const SoftmaxShape& shape);
template <typename T>
void SoftmaxBackward(cudaStream_t stream, const T* y, const T* dy, T* dx, const SoftmaxShape& shape);

struct CacheShape {
  int64_t batch, tokens;   // of x or q
  int64_t slots, context;  // of the cache
  int64_t row_bytes;       // of either
};
// y: the cache, or a copy of it that is there already.
void CacheUpdate(cudaStream_t stream, const void* x, const int32_t* positions, const int32_t* slots, void* y,
                 const CacheShape& shape);

inline constexpr int kMostHeadSize = 256;

struct CachedAttentionShape {
  int64_t batch, tokens, heads, head_size;  // of q
  int64_t slots, context;                   // of the caches
  float scale;
};
// Queries of one block.
inline int64_t CachedAttentionTile(int64_t tokens) { return tokens > 1 ? 4 : 1; }
// Blocks that share the keys of one tile of queries.
inline int64_t CachedAttentionSplits(int64_t batch, int64_t tokens, int64_t heads, int64_t context) {
  constexpr int64_t kBlocks = 128, kLeastKeys = 1024, kMost = 32;
  const int64_t tile = CachedAttentionTile(tokens);
  const int64_t blocks = std::max<int64_t>(1, batch * heads * ((tokens + tile - 1) / tile));
  return std::max<int64_t>(1, std::min({kBlocks / blocks, (context + kLeastKeys - 1) / kLeastKeys, kMost}));
}
// Of the parts; 0 where keys are not divided.
inline int64_t CachedAttentionWorkspace(int64_t batch, int64_t tokens, int64_t heads, int64_t head_size,
                                        int64_t context) {
  const int64_t splits = CachedAttentionSplits(batch, tokens, heads, context);
  return splits == 1 ? 0 : batch * tokens * heads * splits * (head_size + 2) * 4;
}
// REQUIRES: head_size <= kMostHeadSize.
template <typename T>
void CachedAttention(cudaStream_t stream, const T* q, const T* k, const T* v, const int32_t* positions,
                     const int32_t* slots, T* y, const CachedAttentionShape& shape, void* workspace);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_ATTENTION_CUH_
