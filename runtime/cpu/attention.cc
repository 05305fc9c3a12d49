// Softmax over the last axis and its gradient, the causal mask, and attention over a cache of keys and values.
//
//   softmax:   y = exp(x - max) / sum of exp(x - max);  a row of -inf alone gives zeros, a NaN makes its row NaN
//   backward:  dx = y · (dy - sum of dy · y)
// With `causal` row i of a [rows, columns] matrix is live up to column i + columns - rows; to the right of it y and dx
// are 0
// (-inf for the mask) and nothing is read.
//
// f32 or bf16 elements, all arithmetic in f32. A row is computed by one thread.
#include "runtime/cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "hwy/cache_control.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#include "runtime/cpu/unsupported.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/attention.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// The largest of n elements; NaNs may be passed over.
template <typename T>
HWY_INLINE float LargestOf(const T* x, int64_t n) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  VF m0 = lowest, m1 = lowest;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    m0 = hn::Max(LoadFloats(x + i), m0);
    m1 = hn::Max(LoadFloats(x + i + lanes), m1);
  }
  for (; i + lanes <= n; i += lanes) m0 = hn::Max(LoadFloats(x + i), m0);
  if (i < n) m1 = hn::Max(hn::IfThenElse(hn::FirstN(d, n - i), LoadSome(x + i, n - i), lowest), m1);
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1)));
}

template <typename T>
void SoftmaxRow(const T* x, T* y, int64_t live, int64_t columns) {
  constexpr bool kKeepsExponentials =
      std::is_same_v<T, float>;  // in y, until they are scaled; bf16 would round them twice
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  float largest = LargestOf(x, live);
  // Where everything is -inf, exp(-inf - 0) = 0 makes the sum 0; a NaN makes it NaN.
  if (largest == -std::numeric_limits<float>::infinity()) largest = 0;
  const VF shift = hn::Set(d, largest);
  VF s0 = hn::Zero(d), s1 = s0;
  int64_t i = 0;
  for (; i + 2 * lanes <= live; i += 2 * lanes) {
    const VF e0 = ExpOfNegative(hn::Sub(LoadFloats(x + i), shift)),
             e1 = ExpOfNegative(hn::Sub(LoadFloats(x + i + lanes), shift));
    s0 = hn::Add(s0, e0);
    s1 = hn::Add(s1, e1);
    if constexpr (kKeepsExponentials) {
      StoreFloats(e0, y + i);
      StoreFloats(e1, y + i + lanes);
    }
  }
  for (; i < live; i += lanes) {
    const size_t n = static_cast<size_t>(std::min(lanes, live - i));
    const VF e = hn::IfThenElseZero(hn::FirstN(d, n), ExpOfNegative(hn::Sub(LoadSome(x + i, n), shift)));
    s0 = hn::Add(s0, e);
    if constexpr (kKeepsExponentials) StoreSome(e, y + i, n);
  }
  const float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  const VF scale = hn::Set(d, sum == 0 ? 0 : 1 / sum);
  if constexpr (kKeepsExponentials) {
    MapRow(y, y, live, [&](VF v) HWY_ATTR { return hn::Mul(v, scale); });
  } else {
    MapRow(x, y, live, [&](VF v) HWY_ATTR { return hn::Mul(ExpOfNegative(hn::Sub(v, shift)), scale); });
  }
  std::memset(y + live, 0, sizeof(T) * (columns - live));
}

template <typename T>
void SoftmaxBackwardRow(const T* y, const T* dy, T* dx, int64_t live, int64_t columns) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  VF s0 = hn::Zero(d), s1 = s0;
  int64_t i = 0;
  for (; i + 2 * lanes <= live; i += 2 * lanes) {
    s0 = hn::MulAdd(LoadFloats(y + i), LoadFloats(dy + i), s0);
    s1 = hn::MulAdd(LoadFloats(y + i + lanes), LoadFloats(dy + i + lanes), s1);
  }
  for (; i < live; i += lanes) {
    const size_t n = static_cast<size_t>(std::min(lanes, live - i));
    s0 = hn::MulAdd(LoadSome(y + i, n), LoadSome(dy + i, n), s0);
  }
  const VF dot = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1))));
  MapRow2(y, true, dy, true, dx, live, [&](VF u, VF v) HWY_ATTR { return hn::Mul(u, hn::Sub(v, dot)); });
  std::memset(dx + live, 0, sizeof(T) * (columns - live));
}

// One tile of queries of one head over one sequence's cache: the streaming softmax of flash attention
// (https://arxiv.org/abs/2205.14135). Scores lie key by key with the queries of the tile side by side, so that maxima
// and sums over keys are vertical.
template <typename T>
void AttendTile(const AttentionTile& tile) {
  constexpr int64_t kQueries = kAttentionQueries, kKeys = 64, kGroup = 8, kKeysAhead = 16;
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t head = tile.head_size, padded = (head + 15) / 16 * 16;
  HWY_ALIGN float queries[kAttentionMaxHead * kQueries];  // [head, kQueries], scaled
  HWY_ALIGN float scores[kKeys * kQueries];               // [kKeys, kQueries], later exp(score - max)
  HWY_ALIGN float out[kQueries * kAttentionMaxHead];      // [kQueries, padded], not yet divided by the sums
  HWY_ALIGN float largest[kQueries], sums[kQueries], factors[kQueries], last[kQueries];
  const auto* q = static_cast<const T*>(tile.q);
  const auto* keys = static_cast<const T*>(tile.k);
  const auto* values = static_cast<const T*>(tile.v);
  auto* y = static_cast<T*>(tile.y);

  std::memset(queries, 0, sizeof(float) * head * kQueries);
  std::memset(out, 0, sizeof(float) * padded * kQueries);
  for (int64_t i = 0; i < kQueries; ++i) {
    largest[i] = -std::numeric_limits<float>::infinity();
    sums[i] = 0;
    // Below 2^24 an index is exact in f32; a query that is not there sees no key.
    last[i] = i < tile.count ? static_cast<float>(std::min(tile.first_position + i, tile.keys - 1)) : -1.0f;
    if (i >= tile.count) continue;
    for (int64_t c = 0; c < head; ++c) queries[c * kQueries + i] = tile.scale * ToFloat(q[i * tile.width + c]);
  }
  const int64_t end = std::min(tile.first_position + tile.count, tile.keys);
  const int64_t groups = (tile.count + kGroup - 1) / kGroup;

  for (int64_t first = 0; first < end; first += kKeys) {
    const int64_t count = std::min(kKeys, end - first);
    const T* block = keys + first * tile.width;
    if (tile.count == 1) {
      for (int64_t j = 0; j < count; ++j) {
        const T* key = block + j * tile.width;
        // A head's part of a row is too short for the hardware to see what comes next: keys some rows ahead, and this
        // key's value.
        for (int64_t c = 0; c < head; c += 64 / sizeof(T)) {
          hwy::Prefetch(key + kKeysAhead * tile.width + c);
          hwy::Prefetch(values + (first + j) * tile.width + c);
        }
        // `queries` has a stride, so the lone query is read where it came from.
        VF dot = hn::Zero(d);
        int64_t c = 0;
        for (; c + lanes <= head; c += lanes) dot = hn::MulAdd(LoadFloats(q + c), LoadFloats(key + c), dot);
        if (c < head) dot = hn::MulAdd(LoadSome(q + c, head - c), LoadSome(key + c, head - c), dot);
        float* row = scores + j * kQueries;
        std::memset(row, 0, sizeof(float) * kQueries);
        row[0] = hn::GetLane(hn::SumOfLanes(d, dot)) * tile.scale;
      }
    } else {
      for (int64_t j = 0; j < count; j += kGroup) {
        const T* key[kGroup];
        for (int64_t r = 0; r < kGroup; ++r) key[r] = block + std::min(j + r, count - 1) * tile.width;
        for (int64_t lane = 0; lane < kQueries; lane += lanes) {
          VF s[kGroup];
#pragma GCC unroll 8
          for (int64_t r = 0; r < kGroup; ++r) s[r] = hn::Zero(d);
          for (int64_t c = 0; c < head; ++c) {
            const VF qv = hn::Load(d, queries + c * kQueries + lane);
#pragma GCC unroll 8
            for (int64_t r = 0; r < kGroup; ++r) s[r] = hn::MulAdd(qv, hn::Set(d, ToFloat(key[r][c])), s[r]);
          }
          // Rows past the block's end hold copies of the last key's scores; nothing reads them.
#pragma GCC unroll 8
          for (int64_t r = 0; r < kGroup; ++r) hn::Store(s[r], d, scores + (j + r) * kQueries + lane);
        }
      }
    }
    // Maxima, exponentials and sums of the block, for `lanes` queries at a time.
    for (int64_t lane = 0; lane < kQueries; lane += lanes) {
      const VF infinity = hn::Set(d, -std::numeric_limits<float>::infinity());
      const VF limit = hn::Load(d, last + lane);
      const VF before = hn::Load(d, largest + lane);
      VF top = before;
      for (int64_t j = 0; j < count; ++j) {
        float* row = scores + j * kQueries + lane;
        const auto live = hn::Le(hn::Set(d, static_cast<float>(first + j)), limit);
        const VF s = hn::IfThenElse(live, hn::Load(d, row), infinity);
        hn::Store(s, d, row);
        top = hn::Max(s, top);
      }
      const VF shift = hn::IfThenElse(hn::Eq(top, infinity), hn::Zero(d), top);
      const VF factor = ExpOfNegative(hn::Sub(before, shift));
      VF sum = hn::Mul(hn::Load(d, sums + lane), factor);
      for (int64_t j = 0; j < count; ++j) {
        float* row = scores + j * kQueries + lane;
        const VF e = ExpOfNegative(hn::Sub(hn::Load(d, row), shift));
        hn::Store(e, d, row);
        sum = hn::Add(sum, e);
      }
      hn::Store(top, d, largest + lane);
      hn::Store(sum, d, sums + lane);
      hn::Store(factor, d, factors + lane);
    }
    // out = out · factor + exponentials · values.
    const T* rows = values + first * tile.width;
    for (int64_t c = 0; c < head; c += lanes) {
      const size_t n = static_cast<size_t>(std::min(lanes, head - c));
      const bool whole = n == static_cast<size_t>(lanes);
      const auto load = [&](const T* p) HWY_ATTR { return whole ? LoadFloats(p) : LoadSome(p, n); };
      if (tile.count == 1) {
        VF a = hn::Mul(hn::Load(d, out + c), hn::Set(d, factors[0]));
        for (int64_t j = 0; j < count; ++j) {
          a = hn::MulAdd(hn::Set(d, scores[j * kQueries]), load(rows + j * tile.width + c), a);
        }
        hn::Store(a, d, out + c);
        continue;
      }
      for (int64_t group = 0; group < groups; ++group) {
        const int64_t i = group * kGroup;
        VF a[kGroup];
#pragma GCC unroll 8
        for (int64_t r = 0; r < kGroup; ++r) {
          a[r] = hn::Mul(hn::Load(d, out + (i + r) * padded + c), hn::Set(d, factors[i + r]));
        }
        for (int64_t j = 0; j < count; ++j) {
          const VF v = load(rows + j * tile.width + c);
          const float* e = scores + j * kQueries + i;
#pragma GCC unroll 8
          for (int64_t r = 0; r < kGroup; ++r) a[r] = hn::MulAdd(hn::Set(d, e[r]), v, a[r]);
        }
#pragma GCC unroll 8
        for (int64_t r = 0; r < kGroup; ++r) hn::Store(a[r], d, out + (i + r) * padded + c);
      }
    }
  }
  for (int64_t i = 0; i < tile.count; ++i) {
    const VF inverse = hn::Set(d, sums[i] == 0 ? 0 : 1 / sums[i]);
    MapRow(out + i * padded, y + i * tile.width, head, [&](VF v) HWY_ATTR { return hn::Mul(v, inverse); });
  }
}

#define GPTC_ROWS(suffix, T)                                                                                     \
  void Softmax##suffix(const void* x, void* y, int64_t live, int64_t columns) {                                  \
    SoftmaxRow(static_cast<const T*>(x), static_cast<T*>(y), live, columns);                                     \
  }                                                                                                              \
  void SoftmaxBackward##suffix(const void* y, const void* dy, void* dx, int64_t live, int64_t columns) {         \
    SoftmaxBackwardRow(static_cast<const T*>(y), static_cast<const T*>(dy), static_cast<T*>(dx), live, columns); \
  }                                                                                                              \
  void Attend##suffix(const AttentionTile& tile) { AttendTile<T>(tile); }
GPTC_ROWS(F32, float)
GPTC_ROWS(Bf16, Bf16)
#undef GPTC_ROWS

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(SoftmaxF32);
HWY_EXPORT(SoftmaxBf16);
HWY_EXPORT(SoftmaxBackwardF32);
HWY_EXPORT(SoftmaxBackwardBf16);
HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBf16);

bool IsF32(const TensorView& view) { return view.type.dtype == DType::kF32; }
bool HasKernel(const TensorView& view) { return IsF32(view) || view.type.dtype == DType::kBF16; }

// The rows of a tensor [..., rows, columns] and how much of each is live.
struct RowSpace {
  int64_t count = 0, rows = 1, columns = 0;
  bool causal = false;

  RowSpace(const TensorView& x, bool is_causal)
      : count(x.dim(-1) == 0 ? 0 : x.count() / x.dim(-1)),
        rows(x.rank() > 1 ? x.dim(-2) : 1),
        columns(x.dim(-1)),
        causal(is_causal) {}
  int64_t Live(int64_t row) const {
    return causal ? std::clamp<int64_t>(row % rows + columns - rows + 1, 0, columns) : columns;
  }
  // An exponential is some ten operations.
  int64_t Grain(int64_t operations) const { return GrainFor(columns * operations); }
};

}  // namespace

StatusOr<BoundKernel> BindCpuCausalMask(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  if (!ConvertsToFloat(x.type.dtype)) return Unsupported("causal_mask", args, "f32, bf16 and f16");
  const RowSpace space(x, true);
  const int64_t size = SizeOf(x.type.dtype);
  return BoundKernel([=] {
    ParallelFor(space.count, space.Grain(1), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t live = space.Live(row), offset = row * space.columns;
        char* out = y.as<char>() + offset * size;
        if (x.data != y.data) std::memcpy(out, x.as<char>() + offset * size, live * size);
        if (IsF32(y)) {
          std::fill(y.as<float>() + offset + live, y.as<float>() + offset + space.columns,
                    -std::numeric_limits<float>::infinity());
        } else {
          const uint16_t bits = y.type.dtype == DType::kBF16 ? 0xff80 : 0xfc00;
          std::fill(y.as<uint16_t>() + offset + live, y.as<uint16_t>() + offset + space.columns, bits);
        }
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuSoftmax(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  if (!HasKernel(x)) return Unsupported("softmax", args, "f32 and bf16");
  const RowSpace space(x, args.attributes.Bool("causal"));
  const int64_t size = SizeOf(x.type.dtype) * space.columns;
  const auto kernel = IsF32(x) ? HWY_DYNAMIC_DISPATCH(SoftmaxF32) : HWY_DYNAMIC_DISPATCH(SoftmaxBf16);
  return BoundKernel([=] {
    ParallelFor(space.count, space.Grain(8), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernel(x.as<char>() + row * size, y.as<char>() + row * size, space.Live(row), space.columns);
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuSoftmaxBackward(const KernelArgs& args) {
  const TensorView &y = args.input(0), &dy = args.input(1), &dx = args.result();
  if (!HasKernel(y)) return Unsupported("softmax_backward", args, "f32 and bf16");
  const RowSpace space(y, args.attributes.Bool("causal"));
  const int64_t size = SizeOf(y.type.dtype) * space.columns;
  const auto kernel = IsF32(y) ? HWY_DYNAMIC_DISPATCH(SoftmaxBackwardF32) : HWY_DYNAMIC_DISPATCH(SoftmaxBackwardBf16);
  return BoundKernel([=] {
    ParallelFor(space.count, space.Grain(2), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernel(y.as<char>() + row * size, dy.as<char>() + row * size, dx.as<char>() + row * size, space.Live(row),
               space.columns);
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuCacheUpdate(const KernelArgs& args) {
  const TensorView &cache = args.input(0), &x = args.input(1), &positions = args.input(2), &slots = args.input(3);
  const TensorView& y = args.result();
  const int64_t row_bytes = SizeOf(x.type.dtype) * x.dim(2);
  return BoundKernel([=] {
    if (y.data != cache.data) std::memcpy(y.data, cache.data, cache.bytes());
    // Sequences in order, as two may name one slot.
    for (int64_t b = 0; b < x.dim(0); ++b) {
      const int64_t slot = slots.as<int32_t>()[b], position = positions.as<int32_t>()[b];
      if (slot < 0 || slot >= cache.dim(0)) continue;
      const int64_t from = std::max<int64_t>(0, -position);
      const int64_t to = std::min(x.dim(1), cache.dim(1) - position);
      if (from >= to) continue;
      char* rows = y.as<char>() + (slot * cache.dim(1) + position + from) * row_bytes;
      ParallelFor(to - from, GrainFor(x.dim(2)), [&](int64_t begin, int64_t end) {
        std::memcpy(rows + begin * row_bytes, x.as<char>() + (b * x.dim(1) + from + begin) * row_bytes,
                    (end - begin) * row_bytes);
      });
    }
  });
}

StatusOr<BoundKernel> BindCpuCachedAttention(const KernelArgs& args) {
  const TensorView &q = args.input(0), &k = args.input(1), &v = args.input(2), &positions = args.input(3),
                   &slots = args.input(4);
  const TensorView& y = args.result();
  if (!HasKernel(q)) return Unsupported("cached_attention", args, "f32 and bf16");
  const int64_t heads = args.attributes.Int("heads"), width = q.dim(2), head_size = width / heads;
  if (head_size > kAttentionMaxHead || k.dim(1) > kAttentionMaxContext) {
    return Unsupported(
        "cached_attention", args,
        Cat("heads of up to ", kAttentionMaxHead, " elements, contexts of up to ", Grouped(kAttentionMaxContext)));
  }
  const int64_t element = SizeOf(q.type.dtype), context = k.dim(1);
  const int64_t tiles = ChunkCount(q.dim(1), kAttentionQueries);
  const float scale = static_cast<float>(args.attributes.Double("scale"));
  const auto kernel = IsF32(q) ? HWY_DYNAMIC_DISPATCH(AttendF32) : HWY_DYNAMIC_DISPATCH(AttendBf16);
  return BoundKernel([=] {
    ParallelForUneven(q.dim(0) * heads * tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t b = item / (heads * tiles), head = item / tiles % heads, first = item % tiles * kAttentionQueries;
        const int64_t slot = slots.as<int32_t>()[b], position = positions.as<int32_t>()[b];
        const bool there = slot >= 0 && slot < k.dim(0);
        const int64_t row = (b * q.dim(1) + first) * width + head * head_size;
        const int64_t entry = there ? slot * context * width + head * head_size : 0;
        AttentionTile tile;
        tile.q = q.as<char>() + row * element;
        tile.k = k.as<char>() + entry * element;
        tile.v = v.as<char>() + entry * element;
        tile.y = y.as<char>() + row * element;
        tile.count = std::min(kAttentionQueries, q.dim(1) - first);
        tile.first_position = position + first;
        tile.keys = there ? context : 0;  // without keys the result is 0
        tile.width = width;
        tile.head_size = head_size;
        tile.scale = scale;
        kernel(tile);
      }
    });
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
