// Small matrices of bf16 by the machine's instructions for them (AVX512_BF16): products, which add two products of bf16
// to an f32 at a time, and what brings their operands into their layouts.
//
// A left operand lies row by row. A right operand lies in pairs: word (i, j) holds elements (2i, j), in its lower half,
// and (2i + 1, j). Operands are 64-byte aligned, rows of a right one a multiple of 16 words apart. Numbers too small
// for full precision count as 0.
#ifndef GPTC_RUNTIME_CPU_BF16_TILE_H_
#define GPTC_RUNTIME_CPU_BF16_TILE_H_

#include <cstdint>

#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/simd.h"

namespace gptc {

// Whether this machine has the instructions; nothing else here may be called where it has not.
bool HasBf16Tiles();

// c = factor · a·b, c += a·b or c[:, j] = factors[j] · c[:, j] + a·b, of `rows` rounded up to 8 (a and c have rows to
// that), `inner` rounded up to pairs and `columns` to 16.
struct PairProduct {
  Live live = Live::kAll;
  Into into = Into::kNew;
  const Bf16* a = nullptr;
  int64_t stride_a = 0;
  const uint32_t* b = nullptr;
  int64_t stride_b = 0;
  int64_t rows = 0, inner = 0, columns = 0;
  float* c = nullptr;
  int64_t stride_c = 0;
  float factor = 1;
  const float* factors = nullptr;
};
void MultiplyPairs(const PairProduct& product);

// A tile of f32, its `rows` rounded up to 8 with zeros, its columns being a multiple of 16, as a left operand and as a
// right one (where not null), with rows of kFlashBlock elements and words. With `upper` what lies below the diagonal,
// to the grain of 16 columns, is 0 whatever the tile holds there.
void RoundTile(const float* tile, int64_t stride, int64_t rows, int64_t columns, bool upper, Bf16* left,
               uint32_t* right);

// Rows of f32, `columns` a multiple of 16, as a left operand.
void RoundRows(const float* x, int64_t stride, int64_t rows, int64_t columns, Bf16* y, int64_t stride_y);

// Rows of a tensor as a left operand, with zeros up to `padded` columns and to a multiple of kFlashPad rows.
void CopyRows(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, Bf16* y);

// A left operand [rows, columns] (columns and stride multiples of 16, rows even) as a right one.
void PairRows(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, uint32_t* y, int64_t stride_y);

// y[j, i] = x[i, j] for words; rows and columns multiples of 4. The transpose of a left operand's pairs along its rows
// is a right operand; that of a right operand a left one.
void TransposeWords(const uint32_t* x, int64_t stride, int64_t rows, int64_t columns, uint32_t* y, int64_t stride_y);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_BF16_TILE_H_
