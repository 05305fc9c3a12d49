// Loops over a result whose operands broadcast, as few and as long as the shapes allow.
#ifndef GPTC_RUNTIME_CPU_BROADCAST_H_
#define GPTC_RUNTIME_CPU_BROADCAST_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "ir/base/check.h"
#include "ir/base/type.h"
#include "runtime/cpu/parallel.h"

namespace gptc {

// The result as rows of `width` consecutive elements. Within a row operand k either steps along (inner[k]) or is one
// element. Axes are merged wherever all operands allow it: equal shapes make one row, a [C] operand under [B, T, C]
// rows of C.
template <int N>
struct LoopNest {
  std::vector<int64_t> sizes;                   // outer axes
  std::vector<std::array<int64_t, N>> strides;  // of the operands along them, in elements; 0: broadcast
  std::array<bool, N> inner;
  int64_t rows = 1;
  int64_t width = 1;
};

// REQUIRES: every operand's shape broadcasts to `shape` (aligned at the last axis, sizes equal or 1).
template <int N>
LoopNest<N> MakeLoopNest(const Shape& shape, const std::array<const Shape*, N>& operands) {
  const int rank = static_cast<int>(shape.size());
  std::vector<int64_t> sizes;                   // innermost first
  std::vector<std::array<int64_t, N>> strides;  // innermost first
  std::array<int64_t, N> extent;                // elements of each operand within the axes seen so far
  extent.fill(1);
  for (int axis = rank - 1; axis >= 0; --axis) {
    std::array<int64_t, N> stride{};
    for (int k = 0; k < N; ++k) {
      const int own = axis - (rank - static_cast<int>(operands[k]->size()));
      const int64_t size = own >= 0 ? (*operands[k])[own] : 1;
      CHECK(size == shape[axis] || size == 1);
      if (size != 1) stride[k] = extent[k];
      extent[k] *= size;
    }
    if (shape[axis] == 1) continue;
    bool merge = !sizes.empty();
    for (int k = 0; merge && k < N; ++k) merge = stride[k] == strides.back()[k] * sizes.back();
    if (merge) {
      sizes.back() *= shape[axis];
    } else {
      sizes.push_back(shape[axis]);
      strides.push_back(stride);
    }
  }
  LoopNest<N> nest;
  nest.inner.fill(false);
  if (!sizes.empty()) {
    nest.width = sizes[0];
    for (int k = 0; k < N; ++k) nest.inner[k] = strides[0][k] != 0;
    nest.sizes.assign(sizes.rbegin(), sizes.rend() - 1);
    nest.strides.assign(strides.rbegin(), strides.rend() - 1);
    for (int64_t size : nest.sizes) nest.rows *= size;
  }
  return nest;
}

// row(operand offsets, result offset, n) for pieces of all rows, in parallel. `work` is one element's cost
// (parallel.h).
template <int N, typename Row>
void ForEachRow(const LoopNest<N>& nest, int64_t work, const Row& row) {
  if (nest.rows == 0 || nest.width == 0) return;
  const int64_t piece = std::max<int64_t>(1, kChunkWork / work);
  if (nest.rows == 1) {
    ParallelFor(nest.width, piece, [&](int64_t begin, int64_t end) {
      std::array<int64_t, N> offsets;
      for (int k = 0; k < N; ++k) offsets[k] = nest.inner[k] ? begin : 0;
      row(offsets, begin, end - begin);
    });
    return;
  }
  const int64_t pieces = ChunkCount(nest.width, piece);
  const int64_t grain = pieces > 1 ? 1 : GrainFor(nest.width * work);
  ParallelFor(nest.rows * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t index = item / pieces;
      const int64_t start = (item - index * pieces) * piece;
      std::array<int64_t, N> offsets;
      for (int k = 0; k < N; ++k) offsets[k] = nest.inner[k] ? start : 0;
      int64_t rest = index;
      for (int axis = static_cast<int>(nest.sizes.size()) - 1; axis > 0; --axis) {
        const int64_t outer = rest / nest.sizes[axis];
        const int64_t place = rest - outer * nest.sizes[axis];
        for (int k = 0; k < N; ++k) offsets[k] += place * nest.strides[axis][k];
        rest = outer;
      }
      for (int k = 0; k < N; ++k) offsets[k] += rest * nest.strides[0][k];
      row(offsets, index * nest.width + start, std::min(piece, nest.width - start));
    }
  });
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_BROADCAST_H_
