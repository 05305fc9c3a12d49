// What one call of the attention kernel works on.
#ifndef GPTC_RUNTIME_CPU_ATTENTION_H_
#define GPTC_RUNTIME_CPU_ATTENTION_H_

#include <cstdint>

#include "runtime/cpu/convert.h"

namespace gptc {

inline constexpr int64_t kAttentionQueries = 16;          // in one tile
inline constexpr int64_t kAttentionMaxHead = 256;         // elements of a head; tiles live on the stack
inline constexpr int64_t kAttentionMaxContext = 1 << 24;  // key indices are compared as f32

// Up to kAttentionQueries queries of one head of one sequence. Rows of q, k, v and y are `width` elements apart.
struct AttentionTile {
  const void *q = nullptr, *k = nullptr, *v = nullptr;  // the head's first element in the first row
  void* y = nullptr;
  int64_t count = 0;           // queries
  int64_t first_position = 0;  // of the first query: it sees the keys 0 .. first_position; may be negative (no keys)
  int64_t keys = 0;            // rows of k and v
  int64_t width = 0, head_size = 0;
  float scale = 1;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ATTENTION_H_
