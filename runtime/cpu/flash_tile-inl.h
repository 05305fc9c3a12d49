// Products of the small matrices that attention is tiled into, and the copies that bring rows of tensors into scratch
// and back; once per instruction set. Include it after hwy/foreach_target.h; everything is in HWY_NAMESPACE.
//
// Matrices in scratch are 64-byte aligned with rows of a multiple of kFlashPad elements.
#if defined(GPTC_RUNTIME_CPU_FLASH_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_FLASH_TILE_INL_H_
#undef GPTC_RUNTIME_CPU_FLASH_TILE_INL_H_
#else
#define GPTC_RUNTIME_CPU_FLASH_TILE_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));
// Rows of the register tile: with two vectors a row its sums keep two multiply-add units busy. They divide a vector's
// lanes, which the triangles of the diagonal rely on.
constexpr int64_t kRows = kLanes >= 16 ? 8 : kLanes >= 4 ? 4 : 1;
static_assert(kLanes % kRows == 0 && kFlashBlock % kFlashPad == 0 && kFlashPad % kLanes == 0);

// c[r, :] = a[r, :]·b [+ c[r, :] [· factors[r]]] for kRows rows and kVectors vectors of columns. Element (r, i) of a is
// a[r + i · stride] where kRowsAdjacent, else a[r · stride + i].
template <int kVectors, bool kRowsAdjacent, Into kInto>
HWY_INLINE void Tile(const float* HWY_RESTRICT a, int64_t stride_a, const float* HWY_RESTRICT b, int64_t stride_b,
                     int64_t inner, float* HWY_RESTRICT c, int64_t stride_c, const float* factors) {
  const DF d;
  VF sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kInto == Into::kNew) {
        sums[r][v] = hn::Zero(d);
      } else {
        sums[r][v] = hn::Load(d, c + r * stride_c + v * kLanes);
        if constexpr (kInto == Into::kScaledSum) sums[r][v] = hn::Mul(sums[r][v], hn::Set(d, factors[r]));
      }
    }
  }
  for (int64_t i = 0; i < inner; ++i) {
    VF column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = hn::Load(d, b + v * kLanes);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) {
      const VF element = hn::Set(d, kRowsAdjacent ? a[r] : a[r * stride_a]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(element, column[v], sums[r][v]);
    }
    a += kRowsAdjacent ? stride_a : 1;
    b += stride_b;
  }
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) hn::Store(sums[r][v], d, c + r * stride_c + v * kLanes);
  }
}

// The whole product, `rows` rounded up to kRows: a and c have rows to that.
template <bool kRowsAdjacent, Into kInto>
HWY_NOINLINE void Multiply(Live live, const float* a, int64_t stride_a, const float* b, int64_t stride_b, int64_t rows,
                           int64_t inner, int64_t columns, float* c, int64_t stride_c, const float* factors = nullptr) {
  for (int64_t row = 0; row < rows; row += kRows) {
    const int64_t first = live == Live::kColumnsFromRow ? row / kLanes * kLanes : 0;
    const int64_t from = live == Live::kInnerFromRow ? row : 0;
    const int64_t to = live == Live::kInnerToRow ? std::min(inner, row + kRows) : inner;
    const float* a_row = kRowsAdjacent ? a + row + from * stride_a : a + row * stride_a + from;
    const float* b_row = b + from * stride_b;
    float* c_row = c + row * stride_c;
    const float* factor = kInto == Into::kScaledSum ? factors + row : nullptr;
    int64_t column = first;
    for (; column + kLanes < columns; column += 2 * kLanes) {
      Tile<2, kRowsAdjacent, kInto>(a_row, stride_a, b_row + column, stride_b, to - from, c_row + column, stride_c,
                                    factor);
    }
    if (column < columns) {
      Tile<1, kRowsAdjacent, kInto>(a_row, stride_a, b_row + column, stride_b, to - from, c_row + column, stride_c,
                                    factor);
    }
  }
}

// y[i, :] = factor · x[i, :], with zeros up to `padded` columns and a multiple of kFlashPad rows.
template <typename T>
void PackRows(const T* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, float factor, float* y) {
  const DF d;
  const VF times = hn::Set(d, factor);
  for (int64_t i = 0; i < rows; ++i, x += stride, y += padded) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) hn::Store(hn::Mul(LoadFloats(x + c), times), d, y + c);
    if (c < columns) {
      hn::Store(hn::Mul(LoadSome(x + c, static_cast<size_t>(columns - c)), times), d, y + c);
      c += kLanes;
    }
    for (; c < padded; c += kLanes) hn::Store(hn::Zero(d), d, y + c);
  }
  std::memset(y, 0, sizeof(float) * (RoundUp(rows, kFlashPad) - rows) * padded);
}

// y[c · kFlashBlock + i] = factor · x[i · padded + c] for `columns` c and a multiple of kFlashPad rows i.
void PackTransposed(const float* x, int64_t rows, int64_t columns, int64_t padded, float factor, float* y) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < RoundUp(rows, kFlashPad); ++i) {
    for (int64_t c = 0; c < columns; ++c) y[c * kFlashBlock + i] = factor * x[i * padded + c];
  }
#else
  const hn::FixedTag<float, 4> d;
  const auto times = hn::Set(d, factor);
  const auto load = [&](const float* p) HWY_ATTR { return hn::Mul(hn::Load(d, p), times); };
  for (int64_t i = 0; i < RoundUp(rows, kFlashPad); i += 4) {
    for (int64_t c = 0; c < columns; c += 4) {
      const float* from = x + i * padded + c;
      const auto r0 = load(from), r1 = load(from + padded), r2 = load(from + 2 * padded), r3 = load(from + 3 * padded);
      const auto t0 = hn::InterleaveLower(d, r0, r2), t1 = hn::InterleaveLower(d, r1, r3);
      const auto t2 = hn::InterleaveUpper(d, r0, r2), t3 = hn::InterleaveUpper(d, r1, r3);
      float* to = y + c * kFlashBlock + i;
      hn::Store(hn::InterleaveLower(d, t0, t1), d, to);
      hn::Store(hn::InterleaveUpper(d, t0, t1), d, to + kFlashBlock);
      hn::Store(hn::InterleaveLower(d, t2, t3), d, to + 2 * kFlashBlock);
      hn::Store(hn::InterleaveUpper(d, t2, t3), d, to + 3 * kFlashBlock);
    }
  }
#endif
}

// y[i, :] = factors[i] · x[i, :] from scratch to a tensor.
template <typename T>
void UnpackRows(const float* x, int64_t padded, int64_t rows, int64_t columns, const float* factors, bool one_factor,
                T* y, int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) {
    const VF times = hn::Set(DF(), factors[one_factor ? 0 : i]);
    MapRow(x + i * padded, y + i * stride, static_cast<size_t>(columns),
           [&](VF v) HWY_ATTR { return hn::Mul(v, times); });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
