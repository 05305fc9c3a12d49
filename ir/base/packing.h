// The layout of packed matrices: what matrix products with AVX-512 read fastest, made once and read many times.
//
// A matrix [k, n] lies in panels of 64 columns; within a panel row follows row, in bf16 in pairs of rows, whose two
// elements of a column stand side by side, as the processor's dot products of pairs want them:
//   f32   [⌈n/64⌉, k', 64]        k' = k rounded up to 16
//   bf16  [⌈n/64⌉, k'/2, 64, 2]   k' = k rounded up to 32
// What lies past k and n is 0. oneDNN calls these BA16a64b and BA16a64b2a.
#ifndef GPTC_IR_BASE_PACKING_H_
#define GPTC_IR_BASE_PACKING_H_

#include <cstdint>

#include "ir/base/type.h"

namespace gptc {

inline constexpr int64_t kPanelColumns = 64;

// Elements of the largest matrix that a product packs for itself alone: more would cost too much memory for a moment.
inline constexpr int64_t kMostPackedAtOnce = int64_t{16} << 20;

// Rows of a packed matrix, those that pad it included.
inline int64_t PackedRows(DType dtype, int64_t k) {
  const int64_t block = dtype == DType::kBF16 ? 32 : 16;
  return (k + block - 1) / block * block;
}

// The type of a matrix [k, n] once packed. REQUIRES: f32 or bf16.
inline Type PackedType(DType dtype, int64_t k, int64_t n) {
  const int64_t panels = (n + kPanelColumns - 1) / kPanelColumns, rows = PackedRows(dtype, k);
  if (dtype == DType::kBF16) return {dtype, {panels, rows / 2, kPanelColumns, 2}};
  return {dtype, {panels, rows, kPanelColumns}};
}

// The element of a packed matrix that stands for [row, column].
inline int64_t PackedOffset(DType dtype, int64_t k, int64_t row, int64_t column) {
  const int64_t panel = column / kPanelColumns * PackedRows(dtype, k) * kPanelColumns, within = column % kPanelColumns;
  if (dtype == DType::kBF16) return panel + (row / 2 * kPanelColumns + within) * 2 + row % 2;
  return panel + row * kPanelColumns + within;
}

}  // namespace gptc

#endif  // GPTC_IR_BASE_PACKING_H_
