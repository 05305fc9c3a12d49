#include "runtime/cpu/bf16_tile.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "ir/base/target.h"

// GCC 12 takes the operand that its own intrinsics leave undefined on purpose for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace gptc {
namespace {

constexpr int64_t kLanes = 16, kRows = 8;

// kRows rows by kVectors vectors of c; `pairs` of the inner index.
template <int kVectors, Into kInto>
inline void Tile(const PairProduct& p, const Bf16* __restrict a, const uint32_t* __restrict b, int64_t pairs,
                 float* __restrict c, const float* factors) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kInto == Into::kNew) {
        sums[r][v] = _mm512_setzero_ps();
      } else {
        sums[r][v] = _mm512_load_ps(c + r * p.stride_c + v * kLanes);
        if constexpr (kInto == Into::kScaledSum) {
          sums[r][v] = _mm512_mul_ps(sums[r][v], _mm512_load_ps(factors + v * kLanes));
        }
      }
    }
  }
  for (int64_t i = 0; i < pairs; ++i, b += p.stride_b) {
    __m512bh column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = (__m512bh)_mm512_load_si512(b + v * kLanes);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * p.stride_a + 2 * i, sizeof pair);
      const __m512bh element = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], element, column[v]);
    }
  }
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kInto == Into::kNew) sums[r][v] = _mm512_mul_ps(sums[r][v], _mm512_set1_ps(p.factor));
      _mm512_store_ps(c + r * p.stride_c + v * kLanes, sums[r][v]);
    }
  }
}

template <Into kInto>
void Multiply(const PairProduct& p) {
  const int64_t inner = RoundUp(p.inner, 2);
  for (int64_t row = 0; row < p.rows; row += kRows) {
    const int64_t first = p.live == Live::kColumnsFromRow ? row / kLanes * kLanes : 0;
    const int64_t from = p.live == Live::kInnerFromRow ? row : 0;
    const Bf16* a = p.a + row * p.stride_a + from;
    for (int64_t column = first; column < p.columns; column += 2 * kLanes) {
      const bool two = column + kLanes < p.columns;
      const int64_t to = p.live == Live::kInnerToColumn ? std::min(inner, column + (two ? 2 : 1) * kLanes) : inner;
      const uint32_t* b = p.b + from / 2 * p.stride_b + column;
      float* c = p.c + row * p.stride_c + column;
      const float* factors = kInto == Into::kScaledSum ? p.factors + column : nullptr;
      if (two) {
        Tile<2, kInto>(p, a, b, (to - from) / 2, c, factors);
      } else {
        Tile<1, kInto>(p, a, b, (to - from) / 2, c, factors);
      }
    }
  }
}

// Words of which an element each of `even` and `odd` is the lower and the upper half.
inline __m512i Paired(__m256i even, __m256i odd) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}
inline __m256i Load(const Bf16* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline void Store(Bf16* to, __m256i v) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), v); }
inline __m128i LoadFour(const uint32_t* from) { return _mm_load_si128(reinterpret_cast<const __m128i*>(from)); }
inline void StoreFour(uint32_t* to, __m128i v) { _mm_store_si128(reinterpret_cast<__m128i*>(to), v); }
inline __m256i RoundedOrZero(const float* from, bool zero) {
  return zero ? _mm256_setzero_si256() : (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from));
}

}  // namespace

void MultiplyPairs(const PairProduct& p) {
  switch (p.into) {
    case Into::kNew:
      return Multiply<Into::kNew>(p);
    case Into::kSum:
      return Multiply<Into::kSum>(p);
    case Into::kScaledSum:
      return Multiply<Into::kScaledSum>(p);
  }
}

void RoundTile(const float* tile, int64_t stride, int64_t rows, int64_t columns, bool upper, Bf16* left,
               uint32_t* right) {
  for (int64_t lane = 0; lane < columns; lane += kLanes) {
    const int64_t live = upper ? std::min(rows, lane + kLanes) : rows;
    for (int64_t row = 0; row < RoundUp(rows, kRows); row += 2) {
      const float* from = tile + row * stride + lane;
      const __m256i even = RoundedOrZero(from, row >= live), odd = RoundedOrZero(from + stride, row + 1 >= live);
      if (left != nullptr) {
        Store(left + row * kFlashBlock + lane, even);
        Store(left + (row + 1) * kFlashBlock + lane, odd);
      }
      if (right != nullptr) _mm512_store_si512(right + row / 2 * kFlashBlock + lane, Paired(even, odd));
    }
  }
}

void RoundRows(const float* x, int64_t stride, int64_t rows, int64_t columns, Bf16* y, int64_t stride_y) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; j += kLanes) Store(y + i * stride_y + j, RoundedOrZero(x + i * stride + j, false));
  }
}

void CopyRows(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, Bf16* y) {
  for (int64_t i = 0; i < rows; ++i, x += stride, y += padded) {
    std::memcpy(y, x, sizeof(Bf16) * columns);
    std::memset(y + columns, 0, sizeof(Bf16) * (padded - columns));
  }
  std::memset(y, 0, sizeof(Bf16) * (RoundUp(rows, kFlashPad) - rows) * padded);
}

void PairRows(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, uint32_t* y, int64_t stride_y) {
  for (int64_t i = 0; i < rows; i += 2, x += 2 * stride, y += stride_y) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      _mm512_store_si512(y + j, Paired(Load(x + j), Load(x + stride + j)));
    }
  }
}

void TransposeWords(const uint32_t* x, int64_t stride, int64_t rows, int64_t columns, uint32_t* y, int64_t stride_y) {
  for (int64_t i = 0; i < rows; i += 4) {
    for (int64_t j = 0; j < columns; j += 4) {
      const uint32_t* from = x + i * stride + j;
      const __m128i r0 = LoadFour(from), r1 = LoadFour(from + stride);
      const __m128i r2 = LoadFour(from + 2 * stride), r3 = LoadFour(from + 3 * stride);
      const __m128i t0 = _mm_unpacklo_epi32(r0, r1), t1 = _mm_unpackhi_epi32(r0, r1);
      const __m128i t2 = _mm_unpacklo_epi32(r2, r3), t3 = _mm_unpackhi_epi32(r2, r3);
      uint32_t* to = y + j * stride_y + i;
      StoreFour(to, _mm_unpacklo_epi64(t0, t2));
      StoreFour(to + stride_y, _mm_unpackhi_epi64(t0, t2));
      StoreFour(to + 2 * stride_y, _mm_unpacklo_epi64(t1, t3));
      StoreFour(to + 3 * stride_y, _mm_unpackhi_epi64(t1, t3));
    }
  }
}

}  // namespace gptc
#pragma GCC pop_options

namespace gptc {
bool HasBf16Tiles() {
  static const bool has = NativeTarget() == "cpu:avx512_bf16";
  return has;
}
}  // namespace gptc
