#include "tests/simt/ptx.h"

#include <cstring>

namespace gptc::simt {
namespace {

float Low(uint32_t pair) { return __uint_as_float(pair << 16); }
float High(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

template <bool kTransposed>
void LoadMatrices(void* const* lanes) {
  for (int m = 0; m < 4; ++m) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row) {
      const void* const from = static_cast<const LoadMatrixLane*>(lanes[8 * m + row])->row;
      if (!IsShared(from, 16)) Fail("ldmatrix of a row that does not lie in the block's shared arrays");
      if (reinterpret_cast<uintptr_t>(from) % 16 != 0) Fail("ldmatrix of a row that is not aligned to 16 bytes");
      std::memcpy(matrix[row], from, 16);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t low = kTransposed ? matrix[column][row] : matrix[row][column];
      const uint16_t high = kTransposed ? matrix[column + 1][row] : matrix[row][column + 1];
      static_cast<LoadMatrixLane*>(lanes[lane])->r[m] = low | static_cast<uint32_t>(high) << 16;
    }
  }
}

// Element `column` of a row of 128 bytes whose 16-byte chunks are permuted, as bf16.
float SharedElement(const unsigned char* rows, int row, int column) {
  const unsigned char* const plain = rows + row * 128 + column * 2;
  const auto address = reinterpret_cast<uintptr_t>(plain);
  const unsigned char* const at =
      plain + static_cast<intptr_t>(address ^ (address >> 7 & 7) << 4) - static_cast<intptr_t>(address);
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

}  // namespace

void CompleteWarpgroupProduct(void* const* lanes, unsigned /*mask*/) {
  const WarpgroupProduct& first = *static_cast<const WarpgroupProduct*>(lanes[0]);
  const int warp = static_cast<int>(threadIdx.x) / kLanes % 4;
  float a[16][16], b[16][64], d[16][64];
  if (!IsShared(first.b_rows, (first.a_in_registers ? 15 : 63) * 128 + 1)) {
    Fail("a product with an operand that does not lie in the block's shared arrays");
  }
  for (int k = 0; k < 16; ++k) {
    for (int j = 0; j < 64; ++j) {
      b[k][j] = first.a_in_registers ? SharedElement(first.b_rows, k, j) : SharedElement(first.b_rows, j, k);
    }
  }
  if (!first.a_in_registers) {
    if (!IsShared(first.a_rows, 63 * 128 + 1)) Fail("a product with rows that do not lie in the block's shared arrays");
    for (int i = 0; i < 16; ++i) {
      for (int k = 0; k < 16; ++k) a[i][k] = SharedElement(first.a_rows, 16 * warp + i, k);
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    const WarpgroupProduct& lane = *static_cast<const WarpgroupProduct*>(lanes[l]);
    if (lane.b_rows != first.b_rows || lane.a_rows != first.a_rows) {
      Fail("a product of whose operands the lanes of a warp think differently");
    }
    const int g = l / 4, t = l % 4;
    if (first.a_in_registers) {
      for (int i = 0; i < 4; ++i) {
        const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
        a[row][column] = Low(lane.a[i]);
        a[row][column + 1] = High(lane.a[i]);
      }
    }
    for (int n = 0; n < 8; ++n) {
      for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][8 * n + 2 * t + i % 2] = lane.accumulate ? lane.d[4 * n + i] : 0;
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 64; ++j) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    const WarpgroupProduct& lane = *static_cast<const WarpgroupProduct*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int n = 0; n < 8; ++n) {
      for (int i = 0; i < 4; ++i) lane.d[4 * n + i] = d[g + i / 2 * 8][8 * n + 2 * t + i % 2];
    }
  }
}

void CompleteLoadMatrix4(void* const* lanes, unsigned /*mask*/) { LoadMatrices<false>(lanes); }
void CompleteLoadMatrix4Transposed(void* const* lanes, unsigned /*mask*/) { LoadMatrices<true>(lanes); }

void CompleteMmaBf16(void* const* lanes, unsigned /*mask*/) {
  float a[16][16], b[16][8], d[16][8];
  for (int l = 0; l < kLanes; ++l) {
    const MmaLane& lane = *static_cast<const MmaLane*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
      a[row][column] = Low(lane.a[i]);
      a[row][column + 1] = High(lane.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + 8 * i][g] = Low(lane.b[i]);
      b[2 * t + 8 * i + 1][g] = High(lane.b[i]);
    }
    for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][2 * t + i % 2] = lane.c[i];
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    const MmaLane& lane = *static_cast<const MmaLane*>(lanes[l]);
    for (int i = 0; i < 4; ++i) lane.d[i] = d[l / 4 + i / 2 * 8][2 * (l % 4) + i % 2];
  }
}

}  // namespace gptc::simt
