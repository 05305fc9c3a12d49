// flash_attention and flash_attention_backward (flash_attention.h has the mathematics). qkv: [B, T, 3C], q, k and v of
// all heads side by side; y: [B, T, C]; lse: [B, heads, T] f32. f32 or bf16 elements, all arithmetic in f32.
//
// Each task copies its head's k and v (the backward: dk and dv too) to scratch that its core's cache holds, where rows
// stand close together and end on a vector's boundary; the products then need no special case for a row's end. Scores
// are in units of log 2, so that the exponential is 2^x. Reads
// qkv once, writes y once. Parallel over heads and, where these are few, over blocks of queries.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/flash_attention.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
#include "runtime/cpu/philox-inl.h"
#include "runtime/cpu/flash_tile-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_FLASH_ATTENTION_ONCE
#define GPTC_RUNTIME_CPU_FLASH_ATTENTION_ONCE
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ir/base/scalars.h"
#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {

// Pieces of a task's scratch, in order; sizes are multiples of kFlashPad.
class Pieces {
 public:
  explicit Pieces(float* base) : next_(base) {}
  float* Take(int64_t elements) {
    float* piece = next_;
    next_ += elements;
    return piece;
  }

 private:
  float* next_;
};

}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// What dropout multiplies each weight of a tile by, [keys, queries]: 0 or 1 / (1 - rate).
void FillMask(const FlashHead& h, int64_t query, int64_t queries, int64_t key, int64_t keys, float* mask) {
  const FlashDropout& drop = *h.dropout;
  const DF d;
  const DU du;
  const hn::Rebind<int32_t, DF> di;
  const VU flip = hn::Set(du, 0x80000000u), one = hn::Set(du, 1u), three = hn::Set(du, 3u);
  const auto threshold = hn::BitCast(di, hn::Set(du, drop.threshold ^ 0x80000000u));
  const VF kept = hn::Set(d, drop.kept);
  const VU sequence_low = hn::Set(du, static_cast<uint32_t>(drop.sequence)),
           sequence_high = hn::Set(du, static_cast<uint32_t>((drop.sequence >> 32) & 0xffff) << 16),
           step = hn::Set(du, static_cast<uint32_t>(drop.step));
  HWY_ALIGN uint32_t low[kLanes], high[kLanes], place[kLanes];
  for (int64_t lane = 0; lane < queries; lane += kLanes) {
    // A lane's elements are consecutive from key to key, but start at any place within a block of four words: `place`.
    for (int64_t i = 0; i < kLanes; ++i) {
      const uint64_t element = drop.first + static_cast<uint64_t>((query + lane + i) * h.tokens + key);
      low[i] = static_cast<uint32_t>(element >> 2);
      high[i] = static_cast<uint32_t>(element >> 34) & 0xffff;
      place[i] = static_cast<uint32_t>(element & 3);
    }
    VU block_low = hn::Load(du, low), block_high = hn::Load(du, high);
    const VU at = hn::Load(du, place);
    const auto at1 = hn::Eq(at, one), at2 = hn::Eq(at, hn::Set(du, 2u)), at3 = hn::Eq(at, three);
    const bool aligned = hn::AllTrue(du, hn::Eq(at, hn::Zero(du)));
    const auto next = [&]() HWY_ATTR {
      const PhiloxLanes words = PhiloxOf({block_low, sequence_low, step, hn::Or(block_high, sequence_high)}, drop.key);
      block_low = hn::Add(block_low, one);
      const auto carried = hn::Eq(block_low, hn::Zero(du));
      block_high = hn::And(hn::Add(block_high, hn::IfThenElseZero(carried, one)), hn::Set(du, 0xffffu));
      return words;
    };
    const auto put = [&](VU word, int64_t row) HWY_ATTR {
      const auto drops = hn::Lt(hn::BitCast(di, hn::Xor(word, flip)), threshold);
      hn::Store(hn::IfThenZeroElse(hn::RebindMask(d, drops), kept), d, mask + row * kFlashBlock + lane);
    };
    const auto choose = [&](VU w0, VU w1, VU w2, VU w3) HWY_ATTR {
      return hn::IfThenElse(at1, w1, hn::IfThenElse(at2, w2, hn::IfThenElse(at3, w3, w0)));
    };
    PhiloxLanes now = next();
    for (int64_t row = 0; row < keys; row += 4) {  // the tile has rows to a multiple of four
      if (aligned) {
        put(now.v0, row);
        put(now.v1, row + 1);
        put(now.v2, row + 2);
        put(now.v3, row + 3);
        now = next();
        continue;
      }
      const PhiloxLanes then = next();
      put(choose(now.v0, now.v1, now.v2, now.v3), row);
      put(choose(now.v1, now.v2, now.v3, then.v0), row + 1);
      put(choose(now.v2, now.v3, then.v0, then.v1), row + 2);
      put(choose(now.v3, then.v0, then.v1, then.v2), row + 3);
      now = then;
    }
  }
}

// The keys of a tile that the queries lane .. lane + kLanes - 1 may see: on the diagonal those up to the last query.
HWY_INLINE int64_t KeysOf(bool diagonal, int64_t lane, int64_t keys) {
  return diagonal ? std::min(keys, lane + kLanes) : keys;
}
// Which of the queries from `lane` on may not see key `row` of a tile on the diagonal.
HWY_INLINE hn::Mask<DF> Hidden(int64_t lane, int64_t row) {
  const DF d;
  return hn::Lt(hn::Iota(d, static_cast<float>(lane)), hn::Set(d, static_cast<float>(row)));
}

// Segments of a block of tokens.
struct Segments {
  HWY_ALIGN int32_t ids[kFlashBlock];
  int32_t least, most;

  Segments(const int32_t* from, int64_t count) {
    std::fill(std::copy_n(from, count, ids), ids + kFlashBlock, from[0]);
    const auto [low, high] = std::minmax_element(ids, ids + count);
    least = *low;
    most = *high;
  }
  bool MayMeet(const Segments& other) const { return least <= other.most && other.least <= most; }
  bool AreOne(const Segments& other) const { return least == other.most && most == other.least; }
};

// Scores of tokens of different segments become -inf.
void HideOtherSegments(const Segments& of_queries, const Segments& of_keys, int64_t queries, int64_t keys,
                       float* scores) {
  if (of_queries.AreOne(of_keys)) return;
  const DF d;
  const hn::Rebind<int32_t, DF> di;
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64_t lane = 0; lane < queries; lane += kLanes) {
    const auto ids = hn::Load(di, of_queries.ids + lane);
    for (int64_t row = 0; row < keys; ++row) {
      float* p = scores + row * kFlashBlock + lane;
      const auto same = hn::RebindMask(d, hn::Eq(ids, hn::Set(di, of_keys.ids[row])));
      hn::Store(hn::IfThenElse(same, hn::Load(d, p), lowest), d, p);
    }
  }
}

// One tile of the streaming softmax: scores become exponentials over their largest so far; `largest` and `sums` are
// brought up to date, and `factors` says by what older numbers must be multiplied.
void SoftmaxTile(float* scores, int64_t queries, int64_t keys, bool diagonal, bool first, float* largest, float* sums,
                 float* factors) {
  const DF d;
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64_t lane = 0; lane < queries; lane += kLanes) {
    float* column = scores + lane;
    const int64_t live = KeysOf(diagonal, lane, keys);
    for (int64_t row = diagonal ? lane : live; row < live; ++row) {
      float* p = column + row * kFlashBlock;
      hn::Store(hn::IfThenElse(Hidden(lane, row), lowest, hn::Load(d, p)), d, p);
    }
    const VF before = first ? lowest : hn::Load(d, largest + lane);
    VF m0 = before, m1 = before;
    int64_t row = 0;
    for (; row + 2 <= live; row += 2) {
      m0 = hn::Max(hn::Load(d, column + row * kFlashBlock), m0);
      m1 = hn::Max(hn::Load(d, column + (row + 1) * kFlashBlock), m1);
    }
    if (row < live) m0 = hn::Max(hn::Load(d, column + row * kFlashBlock), m0);
    const VF top = hn::Max(m0, m1);
    // A query that has seen nothing yet must not compute -inf + inf.
    const VF shift = hn::IfThenZeroElse(hn::Eq(top, lowest), top);
    const VF factor = first ? hn::Zero(d) : Exp2Of(hn::Sub(before, shift));
    VF s0 = first ? factor : hn::Mul(hn::Load(d, sums + lane), factor), s1 = hn::Zero(d);
    for (row = 0; row + 2 <= live; row += 2) {
      float* p = column + row * kFlashBlock;
      const VF e0 = Exp2Of(hn::Sub(hn::Load(d, p), shift)), e1 = Exp2Of(hn::Sub(hn::Load(d, p + kFlashBlock), shift));
      s0 = hn::Add(s0, e0);
      s1 = hn::Add(s1, e1);
      hn::Store(e0, d, p);
      hn::Store(e1, d, p + kFlashBlock);
    }
    if (row < live) {
      float* p = column + row * kFlashBlock;
      const VF e = Exp2Of(hn::Sub(hn::Load(d, p), shift));
      s0 = hn::Add(s0, e);
      hn::Store(e, d, p);
    }
    hn::Store(top, d, largest + lane);
    hn::Store(hn::Add(s0, s1), d, sums + lane);
    hn::Store(factor, d, factors + lane);
  }
}

template <typename T>
void Forward(const FlashHead& h) {
  const DF d;
  const int64_t size = h.head_size, padded = RoundUp(size, kFlashPad), all = RoundUp(h.tokens, kFlashPad);
  Pieces pieces(h.scratch);
  float* const k = pieces.Take(all * padded);
  float* const v = pieces.Take(all * padded);
  float* const q = pieces.Take(kFlashBlock * padded);
  float* const queries_across = pieces.Take(padded * kFlashBlock);
  float* const out = pieces.Take(kFlashBlock * padded);
  float* const scores = pieces.Take(kFlashBlock * kFlashBlock);
  float* const mask = pieces.Take(kFlashBlock * kFlashBlock);
  float* const largest = pieces.Take(kFlashBlock);
  float* const sums = pieces.Take(kFlashBlock);
  float* const factors = pieces.Take(kFlashBlock);

  const int64_t stride = 3 * h.width, blocks = (h.tokens + kFlashBlock - 1) / kFlashBlock;
  PackRows(static_cast<const T*>(h.k), stride, h.tokens, size, padded, 1, k);
  PackRows(static_cast<const T*>(h.v), stride, h.tokens, size, padded, 1, v);
  for (int64_t i = h.part; i < blocks; i += h.parts) {
    const int64_t query = i * kFlashBlock, queries = std::min(kFlashBlock, h.tokens - query);
    const int64_t query_lanes = RoundUp(queries, kLanes);
    PackRows(static_cast<const T*>(h.q) + query * stride, stride, queries, size, padded, h.scale * kLog2E, q);
    PackTransposed(q, queries, size, padded, 1, queries_across);
    std::optional<Segments> of_queries, of_keys;
    if (h.segments != nullptr) of_queries.emplace(h.segments + query, queries);
    bool first = true;
    for (int64_t j = 0; j < (h.causal ? i + 1 : blocks); ++j) {
      const int64_t key = j * kFlashBlock, keys = std::min(kFlashBlock, h.tokens - key);
      const bool diagonal = h.causal && i == j;
      if (h.segments != nullptr && !of_keys.emplace(h.segments + key, keys).MayMeet(*of_queries)) continue;
      Multiply<false, Into::kNew>(diagonal ? Live::kColumnsFromRow : Live::kAll, k + key * padded, padded,
                                  queries_across, kFlashBlock, keys, size, query_lanes, scores, kFlashBlock);
      if (h.segments != nullptr) HideOtherSegments(*of_queries, *of_keys, queries, keys, scores);
      SoftmaxTile(scores, queries, keys, diagonal, first, largest, sums, factors);
      if (h.dropout != nullptr) {
        FillMask(h, query, queries, key, keys, mask);
        for (int64_t lane = 0; lane < queries; lane += kLanes) {
          for (int64_t row = 0; row < KeysOf(diagonal, lane, keys); ++row) {
            float* p = scores + row * kFlashBlock + lane;
            hn::Store(hn::Mul(hn::Load(d, p), hn::Load(d, mask + row * kFlashBlock + lane)), d, p);
          }
        }
      }
      const Live live = diagonal ? Live::kInnerToRow : Live::kAll;
      if (first) {
        Multiply<true, Into::kNew>(live, scores, kFlashBlock, v + key * padded, padded, queries, keys, padded, out,
                                   padded);
      } else {
        Multiply<true, Into::kScaledSum>(live, scores, kFlashBlock, v + key * padded, padded, queries, keys, padded,
                                         out, padded, factors);
      }
      first = false;
    }
    for (int64_t lane = 0; lane < queries; lane += kLanes) {
      const VF sum = hn::Load(d, sums + lane);
      const VF lse = hn::MulAdd(hn::Load(d, largest + lane), hn::Set(d, kLn2), LogOf(sum));
      hn::Store(lse, d, largest + lane);
      hn::Store(hn::Div(hn::Set(d, 1.0f), sum), d, sums + lane);
    }
    std::memcpy(h.lse + query, largest, sizeof(float) * queries);
    UnpackRows(out, padded, queries, size, sums, false, static_cast<T*>(h.y) + query * h.width, h.width);
  }
}

// sums[i] = the sum over c of dy[i, c] · y[i, c]; dy in scratch.
template <typename T>
void RowProducts(const float* dy, int64_t padded, const T* y, int64_t stride, int64_t rows, int64_t columns,
                 float* sums) {
  const DF d;
  for (int64_t i = 0; i < rows; ++i, dy += padded, y += stride) {
    VF sum = hn::Zero(d);
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) sum = hn::MulAdd(hn::Load(d, dy + c), LoadFloats(y + c), sum);
    if (c < columns) {
      sum = hn::MulAdd(hn::Load(d, dy + c), LoadSome(y + c, static_cast<size_t>(columns - c)), sum);
    }
    sums[i] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

// Scores become weights (with the mask of dropout, where there is one), and the gradients of these, dy·vᵀ, those of the
// scores.
template <bool kDropout>
void SoftmaxBackwardTile(float* scores, float* gradients, const float* mask, int64_t queries, int64_t keys,
                         bool diagonal, const float* lse, const float* sums) {
  const DF d;
  for (int64_t lane = 0; lane < queries; lane += kLanes) {
    const VF shift = hn::Load(d, lse + lane), dot = hn::Load(d, sums + lane);
    const auto at = [&](int64_t row) HWY_ATTR {
      float* s = scores + row * kFlashBlock + lane;
      float* g = gradients + row * kFlashBlock + lane;
      VF p = Exp2Of(hn::Sub(hn::Load(d, s), shift)), dp = hn::Load(d, g);
      if (diagonal && row >= lane) p = hn::IfThenZeroElse(Hidden(lane, row), p);
      VF dropped = p;
      if constexpr (kDropout) {
        const VF m = hn::Load(d, mask + row * kFlashBlock + lane);
        dropped = hn::Mul(p, m);
        dp = hn::Mul(dp, m);
      }
      hn::Store(dropped, d, s);
      hn::Store(hn::Mul(p, hn::Sub(dp, dot)), d, g);
    };
    for (int64_t row = 0; row < KeysOf(diagonal, lane, keys); ++row) at(row);
  }
}

template <typename T>
void Backward(const FlashHead& h) {
  const int64_t size = h.head_size, padded = RoundUp(size, kFlashPad), all = RoundUp(h.tokens, kFlashPad);
  Pieces pieces(h.scratch);
  float* const k = pieces.Take(all * padded);
  float* const v = pieces.Take(all * padded);
  float* const dk = pieces.Take(all * padded);
  float* const dv = pieces.Take(all * padded);
  float* const q = pieces.Take(kFlashBlock * padded);
  float* const dy = pieces.Take(kFlashBlock * padded);
  float* const dq = pieces.Take(kFlashBlock * padded);
  float* const queries_across = pieces.Take(padded * kFlashBlock);
  float* const dy_across = pieces.Take(padded * kFlashBlock);
  float* const scores = pieces.Take(kFlashBlock * kFlashBlock);
  float* const gradients = pieces.Take(kFlashBlock * kFlashBlock);
  float* const mask = pieces.Take(kFlashBlock * kFlashBlock);
  float* const lse = pieces.Take(kFlashBlock);
  float* const sums = pieces.Take(kFlashBlock);

  const int64_t stride = 3 * h.width, blocks = (h.tokens + kFlashBlock - 1) / kFlashBlock;
  const float one = 1;
  // Which block of queries is the first to meet one of keys depends on the segments.
  if (h.segments != nullptr) std::memset(dk, 0, sizeof(float) * 2 * all * padded);
  PackRows(static_cast<const T*>(h.k), stride, h.tokens, size, padded, 1, k);
  PackRows(static_cast<const T*>(h.v), stride, h.tokens, size, padded, 1, v);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t query = i * kFlashBlock, queries = std::min(kFlashBlock, h.tokens - query);
    const int64_t query_lanes = RoundUp(queries, kLanes);
    const bool own_queries = i % h.parts == h.part;
    if (!own_queries && h.causal && i < h.part) continue;  // all keys that it sees belong to others
    // q carries the scale that dk needs; that of base 2 comes on top in the scores.
    PackRows(static_cast<const T*>(h.q) + query * stride, stride, queries, size, padded, h.scale, q);
    PackTransposed(q, queries, size, padded, kLog2E, queries_across);
    PackRows(static_cast<const T*>(h.dy) + query * h.width, h.width, queries, size, padded, 1, dy);
    PackTransposed(dy, queries, size, padded, 1, dy_across);
    RowProducts(dy, padded, static_cast<const T*>(h.y) + query * h.width, h.width, queries, size, sums);
    std::fill(sums + queries, sums + query_lanes, 0.0f);
    std::memset(lse, 0, sizeof(float) * kFlashBlock);
    for (int64_t r = 0; r < queries; ++r) lse[r] = h.lse[query + r] * kLog2E;
    std::optional<Segments> of_queries, of_keys;
    if (h.segments != nullptr) of_queries.emplace(h.segments + query, queries);
    bool first = true;

    for (int64_t j = 0; j < (h.causal ? i + 1 : blocks); ++j) {
      const bool own_keys = j % h.parts == h.part;
      if (!own_queries && !own_keys) continue;
      const int64_t key = j * kFlashBlock, keys = std::min(kFlashBlock, h.tokens - key);
      const bool diagonal = h.causal && i == j;
      if (h.segments != nullptr && !of_keys.emplace(h.segments + key, keys).MayMeet(*of_queries)) continue;
      const Live columns = diagonal ? Live::kColumnsFromRow : Live::kAll;
      Multiply<false, Into::kNew>(columns, k + key * padded, padded, queries_across, kFlashBlock, keys, size,
                                  query_lanes, scores, kFlashBlock);
      Multiply<false, Into::kNew>(columns, v + key * padded, padded, dy_across, kFlashBlock, keys, size, query_lanes,
                                  gradients, kFlashBlock);
      if (h.segments != nullptr) HideOtherSegments(*of_queries, *of_keys, queries, keys, scores);
      if (h.dropout != nullptr) {
        FillMask(h, query, queries, key, keys, mask);
        SoftmaxBackwardTile<true>(scores, gradients, mask, queries, keys, diagonal, lse, sums);
      } else {
        SoftmaxBackwardTile<false>(scores, gradients, mask, queries, keys, diagonal, lse, sums);
      }
      if (own_keys) {
        const Live live = diagonal ? Live::kInnerFromRow : Live::kAll;
        float *const to_v = dv + key * padded, *const to_k = dk + key * padded;
        if (h.segments == nullptr && i == (h.causal ? j : 0)) {
          Multiply<false, Into::kNew>(live, scores, kFlashBlock, dy, padded, keys, queries, padded, to_v, padded);
          Multiply<false, Into::kNew>(live, gradients, kFlashBlock, q, padded, keys, queries, padded, to_k, padded);
        } else {
          Multiply<false, Into::kSum>(live, scores, kFlashBlock, dy, padded, keys, queries, padded, to_v, padded);
          Multiply<false, Into::kSum>(live, gradients, kFlashBlock, q, padded, keys, queries, padded, to_k, padded);
        }
      }
      if (own_queries) {
        const Live live = diagonal ? Live::kInnerToRow : Live::kAll;
        if (first) {
          Multiply<true, Into::kNew>(live, gradients, kFlashBlock, k + key * padded, padded, queries, keys, padded, dq,
                                     padded);
        } else {
          Multiply<true, Into::kSum>(live, gradients, kFlashBlock, k + key * padded, padded, queries, keys, padded, dq,
                                     padded);
        }
        first = false;
      }
    }
    if (own_queries) {
      UnpackRows(dq, padded, queries, size, &h.scale, true, static_cast<T*>(h.dq) + query * stride, stride);
    }
  }
  for (int64_t j = h.part; j < blocks; j += h.parts) {
    const int64_t key = j * kFlashBlock, keys = std::min(kFlashBlock, h.tokens - key);
    UnpackRows(dk + key * padded, padded, keys, size, &one, true, static_cast<T*>(h.dk) + key * stride, stride);
    UnpackRows(dv + key * padded, padded, keys, size, &one, true, static_cast<T*>(h.dv) + key * stride, stride);
  }
}

void FlashForwardF32(const FlashHead& head) { Forward<float>(head); }
void FlashForwardBf16(const FlashHead& head) { Forward<Bf16>(head); }
void FlashBackwardF32(const FlashHead& head) { Backward<float>(head); }
void FlashBackwardBf16(const FlashHead& head) { Backward<Bf16>(head); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {

namespace {
// What both have: k, v, q, q across, a result's block, two tiles, three rows of statistics.
int64_t CommonScratch(int64_t tokens, int64_t padded) {
  return 2 * RoundUp(tokens, kFlashPad) * padded + 3 * kFlashBlock * padded + 2 * kFlashBlock * kFlashBlock +
         3 * kFlashBlock;
}
}  // namespace

int64_t FlashForwardScratch(int64_t tokens, int64_t head_size) {
  return CommonScratch(tokens, RoundUp(head_size, kFlashPad));
}
int64_t FlashBackwardScratch(int64_t tokens, int64_t head_size) {
  const int64_t padded = RoundUp(head_size, kFlashPad);
  return CommonScratch(tokens, padded) + 2 * RoundUp(tokens, kFlashPad) * padded + 2 * kFlashBlock * padded +
         kFlashBlock * kFlashBlock;
}

namespace {

HWY_EXPORT(FlashForwardF32);
HWY_EXPORT(FlashForwardBf16);
HWY_EXPORT(FlashBackwardF32);
HWY_EXPORT(FlashBackwardBf16);

// Runs `kernel` for every head of every sequence; `fill` sets the pointers of one, given its sequence, its head and the
// byte offsets of its first element in qkv and in y. The optional operands begin at `options`.
template <typename Fill>
BoundKernel HeadLoop(const KernelArgs& args, const TensorView& qkv, size_t options, void (*kernel)(const FlashHead&),
                     int64_t scratch_elements, int64_t products, Fill fill) {
  const int64_t batch = qkv.dim(0), tokens = qkv.dim(1), width = qkv.dim(2) / 3;
  const int64_t heads = args.attributes.Int("heads"), head_size = width / heads;
  const double rate = args.attributes.Double("rate");
  FlashHead common;
  common.tokens = tokens;
  common.width = width;
  common.head_size = head_size;
  common.scale = static_cast<float>(args.attributes.Double("scale"));
  common.causal = args.attributes.Bool("causal");
  // Some tasks to each thread; a head in one piece reads and copies k and v once.
  const int64_t threads = omp_get_max_threads(), blocks = ChunkCount(tokens, kFlashBlock);
  const int64_t count = batch * heads;
  const int64_t parts = count == 0 || count >= 4 * threads || threads == 1
                            ? 1
                            : std::clamp<int64_t>(ChunkCount(4 * threads, count), 1, std::max<int64_t>(1, blocks));
  common.parts = parts;
  args.scratch.Request(sizeof(float) * static_cast<size_t>(threads * scratch_elements), threads);
  const int64_t element = SizeOf(qkv.type.dtype);
  const int64_t grain = GrainFor(products * tokens * tokens * head_size / (32 * parts));
  const double* scalars = rate > 0 ? args.input(options++).as<const double>() : nullptr;
  const int32_t* segments = args.has(options) ? args.input(options).as<const int32_t>() : nullptr;
  return [=, op_key = args.attributes.Int("key"), scratch = &args.scratch] {
    FlashDropout dropout;
    if (rate > 0) {
      const auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(scalars[which])); };
      dropout.key = DropoutKey(scalar(kSeed), op_key);
      dropout.sequence = scalar(kFirstSequence);
      dropout.step = scalar(kStep);
      dropout.threshold = DropoutThreshold(rate);
      dropout.kept = static_cast<float>(1 / (1 - rate));
    }
    ParallelForUneven(count * parts, grain, [&](int64_t begin, int64_t end) {
      float* own = static_cast<float*>(scratch->data()) + omp_get_thread_num() * scratch_elements;
      for (int64_t item = begin; item < end; ++item) {
        const int64_t b = item / parts / heads, head = item / parts % heads;
        FlashHead h = common;
        h.part = item % parts;
        h.scratch = own;
        FlashDropout mask = dropout;
        mask.sequence += static_cast<uint64_t>(b);
        mask.first = static_cast<uint64_t>(head) * static_cast<uint64_t>(tokens) * static_cast<uint64_t>(tokens);
        if (rate > 0) h.dropout = &mask;
        if (segments != nullptr) h.segments = segments + b * tokens;
        const int64_t packed = (b * tokens * 3 * width + head * head_size) * element;
        h.q = qkv.as<char>() + packed;
        h.k = qkv.as<char>() + packed + width * element;
        h.v = qkv.as<char>() + packed + 2 * width * element;
        fill(h, (b * heads + head) * tokens, packed, (b * tokens * width + head * head_size) * element,
             width * element);
        kernel(h);
      }
    });
  };
}

bool HasKernel(const TensorView& qkv) { return qkv.type.dtype == DType::kF32 || qkv.type.dtype == DType::kBF16; }

}  // namespace

StatusOr<BoundKernel> BindCpuFlashAttention(const KernelArgs& args) {
  const TensorView &qkv = args.input(0), &y = args.result(0), &lse = args.result(1);
  if (!HasKernel(qkv)) return Unsupported("flash_attention", args, "f32 and bf16");
  const auto kernel =
      qkv.type.dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(FlashForwardF32) : HWY_DYNAMIC_DISPATCH(FlashForwardBf16);
  const int64_t scratch = FlashForwardScratch(qkv.dim(1), qkv.dim(2) / 3 / args.attributes.Int("heads"));
  return HeadLoop(args, qkv, 1, kernel, scratch, 2, [=](FlashHead& h, int64_t row, int64_t, int64_t at, int64_t) {
    h.y = y.as<char>() + at;
    h.lse = lse.as<float>() + row;
  });
}

StatusOr<BoundKernel> BindCpuFlashAttentionBackward(const KernelArgs& args) {
  const TensorView &dy = args.input(0), &qkv = args.input(1), &y = args.input(2), &lse = args.input(3);
  const TensorView& dqkv = args.result();
  if (!HasKernel(qkv)) return Unsupported("flash_attention_backward", args, "f32 and bf16");
  const auto kernel =
      qkv.type.dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(FlashBackwardF32) : HWY_DYNAMIC_DISPATCH(FlashBackwardBf16);
  const int64_t scratch = FlashBackwardScratch(qkv.dim(1), qkv.dim(2) / 3 / args.attributes.Int("heads"));
  return HeadLoop(args, qkv, 4, kernel, scratch, 5,
                  [=](FlashHead& h, int64_t row, int64_t packed, int64_t at, int64_t width) {
                    h.dy = dy.as<char>() + at;
                    h.y = y.as<char>() + at;
                    h.lse = lse.as<float>() + row;
                    h.dq = dqkv.as<char>() + packed;
                    h.dk = dqkv.as<char>() + packed + width;
                    h.dv = dqkv.as<char>() + packed + 2 * width;
                  });
}

}  // namespace gptc
#endif  // HWY_ONCE
