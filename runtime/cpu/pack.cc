// pack: w f32[rows, columns], or its transpose, into panels of 64 columns (ir/base/packing.h), rounded to bf16 where
// that is asked for. Parallel over blocks of a panel's rows; reads and writes each element once.
#include "runtime/cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "ir/base/packing.h"
#include "runtime/cpu/bf16_tile.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/pack.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

#ifndef GPTC_RUNTIME_CPU_PACK_ONCE_
#define GPTC_RUNTIME_CPU_PACK_ONCE_
namespace gptc {
namespace {
// Rows of a panel that are packed at once; both types' rows are padded to a multiple.
constexpr int64_t kBlockRows = 16;

// A block of the matrix: element [row, column] stands at w[row * row_step + column * column_step]; one of the steps
// is 1.
struct Block {
  const float* w;
  int64_t row_step, column_step;
  int64_t rows, columns;  // at most kBlockRows and kPanelColumns; what is missing becomes 0
};
}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// The block as a dense tile [kBlockRows, kPanelColumns].
HWY_INLINE void LoadTile(const Block& block, float* tile) {
  if (block.rows < kBlockRows || block.columns < kPanelColumns) {
    std::memset(tile, 0, sizeof(float) * kBlockRows * kPanelColumns);
  }
  if (block.column_step == 1) {
    for (int64_t row = 0; row < block.rows; ++row) {
      std::memcpy(tile + row * kPanelColumns, block.w + row * block.row_step, sizeof(float) * block.columns);
    }
    return;
  }
  // Columns of the tile lie in rows of w: four of them at a time, where the tile is full.
  const hn::CappedTag<float, kBlockRows> d;
  const int64_t lanes = hn::Lanes(d), fours = block.rows == kBlockRows ? block.columns / 4 * 4 : 0;
  HWY_ALIGN float turned[4 * kBlockRows];
  for (int64_t column = 0; column < fours; column += 4) {
    const float* from = block.w + column * block.column_step;
    for (int64_t row = 0; row < kBlockRows; row += lanes) {
      hn::StoreInterleaved4(hn::LoadU(d, from + row), hn::LoadU(d, from + block.column_step + row),
                            hn::LoadU(d, from + 2 * block.column_step + row),
                            hn::LoadU(d, from + 3 * block.column_step + row), d, turned);
      for (int64_t r = 0; r < lanes; ++r) {
        std::memcpy(tile + (row + r) * kPanelColumns + column, turned + 4 * r, 4 * sizeof(float));
      }
    }
  }
  for (int64_t column = fours; column < block.columns; ++column) {
    const float* from = block.w + column * block.column_step;
    for (int64_t row = 0; row < block.rows; ++row) tile[row * kPanelColumns + column] = from[row];
  }
}

void PackF32(const Block& block, void* y) { LoadTile(block, static_cast<float*>(y)); }

// By the machine's instructions for bf16.
void PackBf16AtOnce(const Block& block, uint32_t* y) {
  constexpr int64_t kPairs = kBlockRows / 2;
  const bool full = block.rows == kBlockRows && block.columns == kPanelColumns;
  if (full && block.column_step != 1) {
    alignas(64) Bf16 columns[kPanelColumns * kBlockRows];
    // A block takes a cache line of each of 64 rows, more than the processor follows by itself.
    for (int64_t column = 0; column < kPanelColumns; ++column) {
      __builtin_prefetch(block.w + column * block.column_step + 2 * kBlockRows);
    }
    RoundRows(block.w, block.column_step, kPanelColumns, kBlockRows, columns, kBlockRows);
    TransposeWords(reinterpret_cast<const uint32_t*>(columns), kPairs, kPanelColumns, kPairs, y, kPanelColumns);
    return;
  }
  alignas(64) float tile[kBlockRows * kPanelColumns];
  if (!full) LoadTile(block, tile);
  RoundTile(full ? block.w : tile, full ? block.row_step : kPanelColumns, kBlockRows, kPanelColumns, false, nullptr, y);
}

void PackBf16(const Block& block, void* y) {
  if (HasBf16Tiles()) return PackBf16AtOnce(block, static_cast<uint32_t*>(y));
  HWY_ALIGN float tile[kBlockRows * kPanelColumns];
  LoadTile(block, tile);
  const hn::Repartition<uint32_t, DF> du32;
  const int64_t lanes = hn::Lanes(DF());
  uint32_t* out = static_cast<uint32_t*>(y);
  for (int64_t row = 0; row < kBlockRows; row += 2) {
    const float *even = tile + row * kPanelColumns, *odd = even + kPanelColumns;
    for (int64_t column = 0; column < kPanelColumns; column += lanes) {
      const auto low = RoundedBits(LoadFloats(even + column)), high = RoundedBits(LoadFloats(odd + column));
      hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), du32, out + row / 2 * kPanelColumns + column);
    }
  }
}

// The same of a block of bf16, whose columns stand side by side.
void PackBf16Rows(const Bf16* w, int64_t row_step, int64_t rows, int64_t columns, void* y) {
  const hn::Repartition<uint32_t, DF> du32;
  const hn::Rebind<uint16_t, decltype(du32)> du16;
  const int64_t lanes = hn::Lanes(DF());
  HWY_ALIGN uint16_t padded[2][kPanelColumns];
  uint32_t* out = static_cast<uint32_t*>(y);
  for (int64_t row = 0; row < kBlockRows; row += 2) {
    const uint16_t* pair[2];
    for (int64_t i = 0; i < 2; ++i) {
      const auto* from = reinterpret_cast<const uint16_t*>(w + (row + i) * row_step);
      pair[i] = from;
      if (row + i < rows && columns == kPanelColumns) continue;
      std::memset(padded[i], 0, sizeof(padded[i]));
      if (row + i < rows) std::memcpy(padded[i], from, sizeof(uint16_t) * columns);
      pair[i] = padded[i];
    }
    for (int64_t column = 0; column < kPanelColumns; column += lanes) {
      const auto low = hn::PromoteTo(du32, hn::LoadU(du16, pair[0] + column));
      const auto high = hn::PromoteTo(du32, hn::LoadU(du16, pair[1] + column));
      hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), du32, out + row / 2 * kPanelColumns + column);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {

HWY_EXPORT(PackF32);
HWY_EXPORT(PackBf16);
HWY_EXPORT(PackBf16Rows);

// body(block's number, its first row, its first column) for all blocks of a packed matrix, `transpose`d or not, in the
// order in which what is packed lies in memory.
template <typename Body>
void ForBlocks(DType dtype, int64_t k, int64_t n, bool transpose, const Body& body) {
  const int64_t blocks = PackedRows(dtype, k) / kBlockRows, panels = (n + kPanelColumns - 1) / kPanelColumns;
  const int64_t inner = transpose ? blocks : panels;
  ParallelFor(panels * blocks, GrainFor(kBlockRows * kPanelColumns), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = transpose ? i / inner : i % inner, block = transpose ? i % inner : i / inner;
      body(panel * blocks + block, block * kBlockRows, panel * kPanelColumns);
    }
  });
}

void PackMatrix(const float* w, int64_t k, int64_t n, bool transpose, DType dtype, void* y) {
  const int64_t row_step = transpose ? 1 : n, column_step = transpose ? k : 1;
  const auto pack = dtype == DType::kBF16 ? HWY_DYNAMIC_DISPATCH(PackBf16) : HWY_DYNAMIC_DISPATCH(PackF32);
  ForBlocks(dtype, k, n, transpose, [&](int64_t i, int64_t row, int64_t column) {
    const Block block{w + row * row_step + column * column_step, row_step, column_step,
                      std::clamp<int64_t>(k - row, 0, kBlockRows), std::min(n - column, kPanelColumns)};
    pack(block, static_cast<char*>(y) + i * kBlockRows * kPanelColumns * SizeOf(dtype));
  });
}

void PackBf16Matrix(const void* w, int64_t k, int64_t n, void* y) {
  const auto pack = HWY_DYNAMIC_DISPATCH(PackBf16Rows);
  ForBlocks(DType::kBF16, k, n, false, [&](int64_t i, int64_t row, int64_t column) {
    pack(static_cast<const Bf16*>(w) + row * n + column, n, std::clamp<int64_t>(k - row, 0, kBlockRows),
         std::min(n - column, kPanelColumns), static_cast<Bf16*>(y) + i * kBlockRows * kPanelColumns);
  });
}

StatusOr<BoundKernel> BindCpuPack(const KernelArgs& args) {
  const TensorView w = args.input(0), y = args.result();
  const bool transpose = args.attributes.Bool("transpose");
  const int64_t k = w.dim(transpose ? 1 : 0), n = w.dim(transpose ? 0 : 1);
  return BoundKernel([=] { PackMatrix(w.as<float>(), k, n, transpose, y.type.dtype, y.data); });
}

void UnpackMatrix(DType dtype, const void* packed, int64_t k, int64_t n, float* y) {
  ParallelFor(k, GrainFor(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t column = 0; column < n; ++column) {
        const int64_t place = PackedOffset(dtype, k, row, column);
        y[row * n + column] = dtype == DType::kBF16 ? FloatFromBf16(static_cast<const uint16_t*>(packed)[place])
                                                    : static_cast<const float*>(packed)[place];
      }
    }
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
