// Attention without its [T, T] matrices (Dao et al. 2022, "FlashAttention"; Dao 2023, "FlashAttention-2"), of one head
// of one sequence: what the code for an instruction set gets.
//
//   forward:   s = scale · q·kᵀ;  p = softmax(s) · mask;  y = p·v;  lse = log of the sums of exp(s)
//   backward:  p from s and lse;  dv = pᵀ·dy;  ds = p · (dy·vᵀ · mask - sums of dy · y);  dq = scale · ds·k;
//              dk = scale · dsᵀ·q
//
// Scores come in tiles of kFlashBlock keys by kFlashBlock queries, key by key with the queries side by side, so that
// maxima and sums over keys are vertical. Tiles that `causal` hides are skipped, and of those on the diagonal the
// hidden half, to the grain of a few rows; so are tiles whose segments cannot meet.
//
// The queries' blocks (and, in the backward, the keys' blocks) are dealt out to `parts` tasks. Each block's numbers are
// made by one task in one order: the bits do not depend on how many parts or threads there are.
#ifndef GPTC_RUNTIME_CPU_FLASH_ATTENTION_H_
#define GPTC_RUNTIME_CPU_FLASH_ATTENTION_H_

#include <cstdint>

#include "ir/base/philox.h"

namespace gptc {

inline constexpr int64_t kFlashBlock = 64;
// Columns of what is copied to scratch come in multiples of this: a multiple of every vector's length.
inline constexpr int64_t kFlashPad = 16;
constexpr int64_t RoundUp(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// What becomes of the result of a product.
enum class Into { kNew, kSum, kScaledSum };

// The part of a product on the diagonal's tile that counts, by row r and column c of the result.
enum class Live {
  kAll,
  kColumnsFromRow,  // columns >= r (to the grain of a vector)
  kInnerToRow,      // inner index <= r (to the grain of the register tile's rows)
  kInnerToColumn,   // inner index <= c (to the grain of the register tile's columns)
  kInnerFromRow,    // inner index >= r
};

// The mask of ir/base/philox.h for one head: entry (query, key) is element first + query · tokens + key of a sequence.
struct FlashDropout {
  PhiloxKey key = {};
  uint64_t first = 0, sequence = 0, step = 0;
  uint32_t threshold = 0;
  float kept = 1;  // what a kept weight is multiplied by
};

// A block of queries and one of keys.
struct FlashTile {
  int64_t query = 0, queries = 0, key = 0, keys = 0;
  bool diagonal = false;  // keys behind a query are hidden from it
};

// Row t of q, k, v, dq, dk and dv starts t · 3·width elements behind the pointer, of y and dy t · width.
struct FlashHead {
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  const void* dy = nullptr;                          // backward
  void* y = nullptr;                                 // backward: read
  float* lse = nullptr;                              // [tokens]; backward: read
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;  // backward
  int64_t tokens = 0, width = 0, head_size = 0;
  float scale = 1;
  bool causal = false;
  const FlashDropout* dropout = nullptr;
  const int32_t* segments = nullptr;  // [tokens]: only tokens of one segment see each other; null: all do
  int64_t part = 0, parts = 1;
  float* scratch = nullptr;  // FlashForwardScratch or FlashBackwardScratch elements, 64-byte aligned
};

// Pieces of a task's scratch, in order.
class FlashPieces {
 public:
  explicit FlashPieces(float* base) : next_(base) {}
  // 64-byte aligned. REQUIRES: elements is a multiple of kFlashPad, of those of two bytes of twice that.
  template <typename T = float>
  T* Take(int64_t elements) {
    float* piece = next_;
    next_ += elements * static_cast<int64_t>(sizeof(T)) / static_cast<int64_t>(sizeof(float));
    return reinterpret_cast<T*>(piece);
  }

 private:
  float* next_;
};

// Floats of scratch that a task needs.
int64_t FlashForwardScratch(int64_t tokens, int64_t head_size);
int64_t FlashBackwardScratch(int64_t tokens, int64_t head_size);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_FLASH_ATTENTION_H_
