// What attention does to its tiles of scores besides products: masks, softmax and its gradient; once per instruction
// set. Include it after hwy/foreach_target.h; everything is in HWY_NAMESPACE.
//
// A tile has a key's scores in a row of kFlashBlock, the queries side by side. Scores are in units of log 2, so that
// the exponential is 2^x.
#if defined(GPTC_RUNTIME_CPU_FLASH_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_FLASH_SOFTMAX_INL_H_
#undef GPTC_RUNTIME_CPU_FLASH_SOFTMAX_INL_H_
#else
#define GPTC_RUNTIME_CPU_FLASH_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/flash_tile-inl.h"
#include "runtime/cpu/philox-inl.h"
#include "runtime/cpu/simd-inl.h"

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

// Weights times what dropout multiplies them by.
void MaskTile(const float* mask, int64_t queries, int64_t keys, bool diagonal, float* weights) {
  const DF d;
  for (int64_t lane = 0; lane < queries; lane += kLanes) {
    for (int64_t row = 0; row < KeysOf(diagonal, lane, keys); ++row) {
      float* p = weights + row * kFlashBlock + lane;
      hn::Store(hn::Mul(hn::Load(d, p), hn::Load(d, mask + row * kFlashBlock + lane)), d, p);
    }
  }
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

// sums[i] = the sum over c of dy[i, c] · y[i, c], rows being `stride` apart in both.
template <typename T>
void RowProducts(const T* dy, const T* y, int64_t stride, int64_t rows, int64_t columns, float* sums) {
  const DF d;
  for (int64_t i = 0; i < rows; ++i, dy += stride, y += stride) {
    VF sum = hn::Zero(d);
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) sum = hn::MulAdd(LoadFloats(dy + c), LoadFloats(y + c), sum);
    if (const size_t left = static_cast<size_t>(columns - c); left > 0) {
      sum = hn::MulAdd(LoadSome(dy + c, left), LoadSome(y + c, left), sum);
    }
    sums[i] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
