// The index space of a kernel that goes over a dense result, element by element, with operands whose strides differ:
// broadcast, permuted, or the result's own. Axes that all operands step through alike are one axis, so that equal
// shapes make one axis, and a [C] operand under [B, T, C] two.
#ifndef GPTC_RUNTIME_CUDA_NEST_H_
#define GPTC_RUNTIME_CUDA_NEST_H_

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "ir/base/check.h"
#include "ir/base/type.h"

namespace gptc::cuda {

inline constexpr int kMaxAxes = 8;
inline constexpr int kMaxOperands = 3;

struct Nest {
  int axes = 1;  // at least 1; innermost first
  int64_t sizes[kMaxAxes] = {1};
  int64_t strides[kMaxOperands][kMaxAxes] = {};  // of the operands, in elements; 0: broadcast

  int64_t count() const {
    int64_t product = 1;
    for (int i = 0; i < axes; ++i) product *= sizes[i];
    return product;
  }

  // An axis outside of all there are. False where it is one too many.
  bool Append(int64_t size, const int64_t (&stride)[kMaxOperands]) {
    if (size == 1) return true;
    const int last = axes - 1;
    const bool first = axes == 1 && sizes[0] == 1;
    bool merges = !first;
    for (int k = 0; merges && k < kMaxOperands; ++k) merges = stride[k] == strides[k][last] * sizes[last];
    if (merges) {
      sizes[last] *= size;
      return true;
    }
    if (!first && axes == kMaxAxes) return false;
    const int at = first ? 0 : axes++;
    sizes[at] = size;
    for (int k = 0; k < kMaxOperands; ++k) strides[k][at] = stride[k];
    return true;
  }
};

// Of a result of this shape and operands that broadcast to it as in NumPy; nothing where more than kMaxAxes axes
// remain.
inline std::optional<Nest> MakeBroadcastNest(const Shape& shape, std::initializer_list<const Shape*> operands) {
  const int rank = static_cast<int>(shape.size());
  Nest nest;
  int64_t extents[kMaxOperands] = {1, 1, 1};  // elements of each operand within the axes seen so far
  for (int axis = rank - 1; axis >= 0; --axis) {
    int64_t stride[kMaxOperands] = {};
    int k = 0;
    for (const Shape* operand : operands) {
      const int own = axis - (rank - static_cast<int>(operand->size()));
      const int64_t size = own >= 0 ? (*operand)[own] : 1;
      CHECK(size == shape[axis] || size == 1);
      if (size != 1) stride[k] = extents[k];
      extents[k++] *= size;
    }
    if (!nest.Append(shape[axis], stride)) return std::nullopt;
  }
  return nest;
}

// Of the transposition whose result's axis i is axis permutation[i] of an operand of this shape.
inline std::optional<Nest> MakeTransposeNest(const Shape& shape, const std::vector<int64_t>& permutation) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  Nest nest;
  for (size_t i = permutation.size(); i-- > 0;) {
    if (!nest.Append(shape[permutation[i]], {strides[permutation[i]]})) return std::nullopt;
  }
  return nest;
}

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_NEST_H_
