#include "runtime/cpu/gemv.h"

#include <cstring>

#include "hwy/cache_control.h"
#include "ir/base/packing.h"
#include "runtime/cpu/convert.h"
#include "runtime/cpu/parallel.h"

#include "runtime/cpu/simd.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/gemv.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// Bytes ahead of its reads that a stream is prefetched.
constexpr int64_t kAhead = 512;

// y += kStreams rows of w [k, n] by their elements of x: row, row + apart, row + 2 · apart, ...
template <int kStreams, typename T>
HWY_INLINE void AddRows(const float* x, const T* w, float* y, int64_t m, int64_t n, int64_t k, int64_t row,
                        int64_t apart) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  const T* first = w + row * n;
  const auto add = [&](int64_t j, const auto& load, const auto& store) HWY_ATTR {
    VF v[kStreams];
#pragma GCC unroll 8
    for (int64_t s = 0; s < kStreams; ++s) v[s] = load(first + s * apart * n + j);
    for (int64_t i = 0; i < m; ++i) {
      const float* scale = x + i * k + row;
      VF sum = load(y + i * n + j);
#pragma GCC unroll 8
      for (int64_t s = 0; s < kStreams; ++s) sum = hn::MulAdd(hn::Set(d, scale[s * apart]), v[s], sum);
      store(sum, y + i * n + j);
    }
  };
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) {
#pragma GCC unroll 8
    for (int64_t s = 0; s < kStreams; ++s) hwy::Prefetch(first + s * apart * n + j + kAhead / sizeof(T));
    add(
        j, [](const auto* p) HWY_ATTR { return LoadFloats(p); },
        [](VF sum, float* p) HWY_ATTR { StoreFloats(sum, p); });
  }
  if (j == n) return;
  const size_t left = static_cast<size_t>(n - j);
  add(
      j, [=](const auto* p) HWY_ATTR { return LoadSome(p, left); },
      [=](VF sum, float* p) HWY_ATTR { StoreSome(sum, p, left); });
}

// Rows [begin, end) of w [k, n]: y += x · w. The rows are read as streams side by side, each long and without gaps,
// which keeps more of a core's loads in flight than one; y stays in L1. Four streams, as they are often whole pages
// apart, and so share the sets of an L1 of eight ways with y.
template <typename T>
void GemvRun(const float* x, const T* w, float* y, int64_t m, int64_t n, int64_t k, int64_t begin, int64_t end) {
  const int64_t length = (end - begin) / 4;
  for (int64_t row = begin; row < begin + length; ++row) AddRows<4>(x, w, y, m, n, k, row, length);
  for (int64_t row = begin + 4 * length; row < end; ++row) AddRows<1>(x, w, y, m, n, k, row, 0);
}

// Columns [begin, end) of y += x · w for w [k, n]. Eight rows of w are read side by side, each a long run that the
// hardware prefetches, and every element read serves all rows of x; the columns of y stay in L1.
template <typename T>
void GemvColumns(const float* x, const T* w, float* y, int64_t m, int64_t n, int64_t k, int64_t begin, int64_t end) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  constexpr int64_t kTile = 1024;
  for (int64_t tile = begin; tile < end; tile += kTile) {
    const int64_t stop = HWY_MIN(end, tile + kTile);
    int64_t row = 0;
    for (; row + 8 <= k; row += 8) {
      const T* w0 = w + row * n;
      int64_t j = tile;
      for (; j + lanes <= stop; j += lanes) {
        const VF v0 = LoadFloats(w0 + j), v1 = LoadFloats(w0 + n + j);
        const VF v2 = LoadFloats(w0 + 2 * n + j), v3 = LoadFloats(w0 + 3 * n + j);
        const VF v4 = LoadFloats(w0 + 4 * n + j), v5 = LoadFloats(w0 + 5 * n + j);
        const VF v6 = LoadFloats(w0 + 6 * n + j), v7 = LoadFloats(w0 + 7 * n + j);
        // The next eight rows: each run is too short for the hardware to see it in time.
#pragma GCC unroll 8
        for (int64_t r = 8; r < 16; ++r) hwy::Prefetch(w0 + r * n + j);
        for (int64_t i = 0; i < m; ++i) {
          const float* xi = x + i * k + row;
          VF sum = hn::LoadU(d, y + i * n + j);
          sum = hn::MulAdd(hn::Set(d, xi[0]), v0, sum);
          sum = hn::MulAdd(hn::Set(d, xi[1]), v1, sum);
          sum = hn::MulAdd(hn::Set(d, xi[2]), v2, sum);
          sum = hn::MulAdd(hn::Set(d, xi[3]), v3, sum);
          sum = hn::MulAdd(hn::Set(d, xi[4]), v4, sum);
          sum = hn::MulAdd(hn::Set(d, xi[5]), v5, sum);
          sum = hn::MulAdd(hn::Set(d, xi[6]), v6, sum);
          sum = hn::MulAdd(hn::Set(d, xi[7]), v7, sum);
          hn::StoreU(sum, d, y + i * n + j);
        }
      }
      if (j < stop) {
        const size_t left = static_cast<size_t>(stop - j);
        for (int64_t r = 0; r < 8; ++r) {
          const VF v = LoadSome(w0 + r * n + j, left);
          for (int64_t i = 0; i < m; ++i) {
            StoreSome(hn::MulAdd(hn::Set(d, x[i * k + row + r]), v, LoadSome(y + i * n + j, left)), y + i * n + j,
                      left);
          }
        }
      }
    }
    for (; row < k; ++row) {
      const T* wr = w + row * n;
      for (int64_t i = 0; i < m; ++i) {
        float* yi = y + i * n;
        const VF scale = hn::Set(d, x[i * k + row]);
        int64_t j = tile;
        for (; j + lanes <= stop; j += lanes)
          StoreFloats(hn::MulAdd(scale, LoadFloats(wr + j), LoadFloats(yi + j)), yi + j);
        if (j < stop) {
          const size_t left = static_cast<size_t>(stop - j);
          StoreSome(hn::MulAdd(scale, LoadSome(wr + j, left), LoadSome(yi + j, left)), yi + j, left);
        }
      }
    }
  }
}

// y[s · apart] += x [k] · row s · apart of w, for kStreams rows.
template <int kStreams, typename T>
HWY_INLINE void Dots(const float* x, const T* w, int64_t apart, int64_t k, float* y) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  VF sums[kStreams];
#pragma GCC unroll 8
  for (int64_t s = 0; s < kStreams; ++s) sums[s] = hn::Zero(d);
  int64_t j = 0;
  for (; j + lanes <= k; j += lanes) {
    const VF v = LoadFloats(x + j);
#pragma GCC unroll 8
    for (int64_t s = 0; s < kStreams; ++s) {
      const T* at = w + s * apart * k + j;
      hwy::Prefetch(at + kAhead / sizeof(T));
      sums[s] = hn::MulAdd(v, LoadFloats(at), sums[s]);
    }
  }
  if (j < k) {
    const size_t left = static_cast<size_t>(k - j);
    const VF v = LoadSome(x + j, left);
    for (int64_t s = 0; s < kStreams; ++s) sums[s] = hn::MulAdd(v, LoadSome(w + s * apart * k + j, left), sums[s]);
  }
  for (int64_t s = 0; s < kStreams; ++s) y[s * apart] += hn::GetLane(hn::SumOfLanes(d, sums[s]));
}

// The same for w [n, k]: dot products of rows. The order of a sum does not depend on where a row stands among its
// neighbours.
template <typename T>
void GemvRows(const float* x, const T* w, float* y, int64_t m, int64_t n, int64_t k, int64_t begin, int64_t end) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  // As many rows of x side by side as the registers hold sums for: 32 registers with AVX-512, else 16.
  constexpr int64_t kRowsAtOnce = HWY_TARGET == HWY_AVX3 ? 4 : 2;
  if (m == 1) {
    // Streams side by side, as in GemvRun: eight, as nothing else needs the cache.
    const int64_t length = (end - begin) / 8;
    for (int64_t row = begin; row < begin + length; ++row) Dots<8>(x, w + row * k, length, k, y + row);
    for (int64_t row = begin + 8 * length; row < end; ++row) Dots<1>(x, w + row * k, 0, k, y + row);
    return;
  }
  for (int64_t row = begin; row < end; row += 4) {
    // Past the end the last row is read again, and not stored.
    const int64_t count = HWY_MIN(int64_t{4}, end - row);
    const T* w0 = w + row * k;
    const T* w1 = w + (row + HWY_MIN(count - 1, int64_t{1})) * k;
    const T* w2 = w + (row + HWY_MIN(count - 1, int64_t{2})) * k;
    const T* w3 = w + (row + count - 1) * k;
    int64_t i = 0;
    for (; i + kRowsAtOnce <= m; i += kRowsAtOnce) {
      VF sums[kRowsAtOnce][4];
#pragma GCC unroll 4
      for (int64_t r = 0; r < kRowsAtOnce; ++r) sums[r][0] = sums[r][1] = sums[r][2] = sums[r][3] = hn::Zero(d);
      const auto add = [&](VF v0, VF v1, VF v2, VF v3, const auto& load) HWY_ATTR {
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRowsAtOnce; ++r) {
          const VF u = load(x + (i + r) * k);
          sums[r][0] = hn::MulAdd(u, v0, sums[r][0]);
          sums[r][1] = hn::MulAdd(u, v1, sums[r][1]);
          sums[r][2] = hn::MulAdd(u, v2, sums[r][2]);
          sums[r][3] = hn::MulAdd(u, v3, sums[r][3]);
        }
      };
      int64_t j = 0;
      for (; j + lanes <= k; j += lanes) {
        add(LoadFloats(w0 + j), LoadFloats(w1 + j), LoadFloats(w2 + j), LoadFloats(w3 + j),
            [&](const float* xi) HWY_ATTR { return LoadFloats(xi + j); });
      }
      if (j < k) {
        const size_t left = static_cast<size_t>(k - j);
        add(LoadSome(w0 + j, left), LoadSome(w1 + j, left), LoadSome(w2 + j, left), LoadSome(w3 + j, left),
            [&](const float* xi) HWY_ATTR { return LoadSome(xi + j, left); });
      }
      for (int64_t r = 0; r < kRowsAtOnce; ++r) {
        float* yi = y + (i + r) * n + row;
        for (int64_t c = 0; c < count; ++c) yi[c] += hn::GetLane(hn::SumOfLanes(d, sums[r][c]));
      }
    }
    for (; i < m; ++i) {
      for (int64_t c = 0; c < count; ++c) Dots<1>(x + i * k, w + (row + c) * k, 0, k, y + i * n + row + c);
    }
  }
}

// add(step) for every step of 4 · kPanelColumns bytes in a panel at w: as four streams side by side, which are enough
// where each step is four cache lines.
template <typename F>
HWY_INLINE void ForPanelSteps(const void* w, int64_t steps, const F& add) {
  constexpr int64_t kLine = 64, kStep = 4 * kPanelColumns;
  const int64_t length = steps / 4;
  for (int64_t first = 0; first < length; ++first) {
#pragma GCC unroll 4
    for (int64_t step = first; step < 4 * length; step += length) {
      const char* at = static_cast<const char*>(w) + step * kStep;
      for (int64_t line = 0; line < kStep; line += kLine) hwy::Prefetch(at + kAhead + line);
      add(step);
    }
  }
  for (int64_t step = 4 * length; step < steps; ++step) add(step);
}

// kRows rows of x [k] by one panel of a packed w: sums [kRows, 64].
template <int kRows>
void PanelSums(const float* x, int64_t k, const float* w, float* sums) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t column = 0; column < kPanelColumns; column += 4 * lanes) {
    VF sum[kRows][4];
    for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = hn::Zero(d);
    ForPanelSteps(w, k, [&](int64_t p) HWY_ATTR {
      const float* at = w + p * kPanelColumns + column;
      const VF w0 = hn::Load(d, at), w1 = hn::Load(d, at + lanes), w2 = hn::Load(d, at + 2 * lanes),
               w3 = hn::Load(d, at + 3 * lanes);
      for (int r = 0; r < kRows; ++r) {
        const VF u = hn::Set(d, x[r * k + p]);
        sum[r][0] = hn::MulAdd(u, w0, sum[r][0]);
        sum[r][1] = hn::MulAdd(u, w1, sum[r][1]);
        sum[r][2] = hn::MulAdd(u, w2, sum[r][2]);
        sum[r][3] = hn::MulAdd(u, w3, sum[r][3]);
      }
    });
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < 4; ++c) hn::StoreU(sum[r][c], d, sums + r * kPanelColumns + column + c * lanes);
    }
  }
}

template <int kRows>
void PanelSums(const float* x, int64_t k, const Bf16* w, float* sums) {
  const DF d;
  const hn::Rebind<uint32_t, DF> du32;
  const int64_t lanes = hn::Lanes(d);
  const auto* pairs = reinterpret_cast<const uint32_t*>(w);
  const auto upper = hn::Set(du32, 0xffff0000u);
  for (int64_t column = 0; column < kPanelColumns; column += 4 * lanes) {
    VF sum[kRows][4];
    for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = hn::Zero(d);
    ForPanelSteps(w, (k + 1) / 2, [&](int64_t step) HWY_ATTR {
      const uint32_t* at = pairs + step * kPanelColumns + column;
      const int64_t p = 2 * step;
      for (int c = 0; c < 4; ++c) {
        const auto pair = hn::Load(du32, at + c * lanes);
        const VF even = hn::BitCast(d, hn::ShiftLeft<16>(pair)), odd = hn::BitCast(d, hn::And(pair, upper));
        for (int r = 0; r < kRows; ++r) {
          const float second = p + 1 < k ? x[r * k + p + 1] : 0;
          sum[r][c] = hn::MulAdd(hn::Set(d, x[r * k + p]), even, sum[r][c]);
          sum[r][c] = hn::MulAdd(hn::Set(d, second), odd, sum[r][c]);
        }
      }
    });
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < 4; ++c) hn::StoreU(sum[r][c], d, sums + r * kPanelColumns + column + c * lanes);
    }
  }
}

template <typename T>
void GemvPanel(const float* x, const T* w, float* y, int64_t m, int64_t n, int64_t k, int64_t columns) {
  HWY_ALIGN float sums[4 * kPanelColumns];
  for (int64_t row = 0; row < m;) {
    const float* rows = x + row * k;
    int64_t count = HWY_MIN(m - row, int64_t{4});
    if (count == 4) {
      PanelSums<4>(rows, k, w, sums);
    } else if (count >= 2) {
      PanelSums<2>(rows, k, w, sums);
      count = 2;
    } else {
      PanelSums<1>(rows, k, w, sums);
    }
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t c = 0; c < columns; ++c) y[(row + r) * n + c] += sums[r * kPanelColumns + c];
    }
    row += count;
  }
}

void GemvPanelF32(const float* x, const void* w, float* y, int64_t m, int64_t n, int64_t k, int64_t columns) {
  GemvPanel(x, static_cast<const float*>(w), y, m, n, k, columns);
}
void GemvPanelBf16(const float* x, const void* w, float* y, int64_t m, int64_t n, int64_t k, int64_t columns) {
  GemvPanel(x, static_cast<const Bf16*>(w), y, m, n, k, columns);
}

#define GPTC_GEMV(name, function, T)                                                                                \
  void name(const float* x, const void* w, float* y, int64_t m, int64_t n, int64_t k, int64_t begin, int64_t end) { \
    function(x, static_cast<const T*>(w), y, m, n, k, begin, end);                                                  \
  }
GPTC_GEMV(GemvColumnsF32, GemvColumns, float)
GPTC_GEMV(GemvColumnsBf16, GemvColumns, Bf16)
GPTC_GEMV(GemvRunF32, GemvRun, float)
GPTC_GEMV(GemvRunBf16, GemvRun, Bf16)
GPTC_GEMV(GemvRowsF32, GemvRows, float)
GPTC_GEMV(GemvRowsBf16, GemvRows, Bf16)
#undef GPTC_GEMV

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {

HWY_EXPORT(GemvColumnsF32);
HWY_EXPORT(GemvColumnsBf16);
HWY_EXPORT(GemvRunF32);
HWY_EXPORT(GemvRunBf16);
HWY_EXPORT(GemvRowsF32);
HWY_EXPORT(GemvRowsBf16);
HWY_EXPORT(GemvPanelF32);
HWY_EXPORT(GemvPanelBf16);

namespace {

// w is cut into runs of whole rows, each with a sum of its own; as many whatever the number of threads. A run of fewer
// rows is streams too short to be read at full speed.
constexpr int64_t kMostRuns = 16, kLeastRunRows = 96;

int64_t RunRows(int64_t k) { return std::max(kLeastRunRows, (k + kMostRuns - 1) / kMostRuns); }

bool InRuns(bool transposed, int64_t m, int64_t n, int64_t k) {
  return !transposed && m * n <= kMostRunSums && k >= 256;
}

}  // namespace

size_t GemvScratchBytes(bool transposed, int64_t m, int64_t n, int64_t k) {
  return InRuns(transposed, m, n, k) ? sizeof(float) * ChunkCount(k, RunRows(k)) * m * n : 0;
}

void Gemv(const float* x, DType dtype, const void* w, bool transposed, float* y, int64_t m, int64_t n, int64_t k,
          void* scratch) {
  if (InRuns(transposed, m, n, k)) {
    const auto run = dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(GemvRunF32) : HWY_DYNAMIC_DISPATCH(GemvRunBf16);
    const int64_t rows = RunRows(k), runs = ChunkCount(k, rows);
    float* sums = static_cast<float*>(scratch);
    ParallelFor(k, rows, [&](int64_t begin, int64_t end) {
      float* own = sums + begin / rows * m * n;
      std::memset(own, 0, sizeof(float) * m * n);
      run(x, w, own, m, n, k, begin, end);
    });
    for (int64_t i = 0; i < runs; ++i) AddToRows(DType::kF32, sums + i * m * n, y, 1, m * n);
    return;
  }
  const bool f32 = dtype == DType::kF32;
  const auto kernel = transposed ? (f32 ? HWY_DYNAMIC_DISPATCH(GemvRowsF32) : HWY_DYNAMIC_DISPATCH(GemvRowsBf16))
                                 : (f32 ? HWY_DYNAMIC_DISPATCH(GemvColumnsF32) : HWY_DYNAMIC_DISPATCH(GemvColumnsBf16));
  // An element's sum does not depend on the chunk it is in, so here the chunks may follow the number of threads: the
  // longest runs of memory to each. Multiples of 64 keep threads off each other's cache lines.
  const int64_t share = (n + omp_get_max_threads() - 1) / omp_get_max_threads();
  const int64_t grain = std::max({int64_t{64}, GrainFor(m * k), (share + 63) / 64 * 64});
  ParallelFor(n, grain, [&](int64_t begin, int64_t end) { kernel(x, w, y, m, n, k, begin, end); });
}

void GemvPacked(const float* x, DType dtype, const void* w, float* y, int64_t m, int64_t n, int64_t k) {
  const auto kernel = dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(GemvPanelF32) : HWY_DYNAMIC_DISPATCH(GemvPanelBf16);
  const int64_t panel_bytes = PackedRows(dtype, k) * kPanelColumns * SizeOf(dtype);
  const int64_t panels = (n + kPanelColumns - 1) / kPanelColumns;
  ParallelFor(panels, GrainFor(m * k * kPanelColumns), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t column = panel * kPanelColumns;
      kernel(x, static_cast<const char*>(w) + panel * panel_bytes, y + column, m, n, k,
             std::min(n - column, kPanelColumns));
    }
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
