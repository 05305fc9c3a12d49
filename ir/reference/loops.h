// Index arithmetic shared by the reference's loops.
#ifndef GPTC_IR_REFERENCE_LOOPS_H_
#define GPTC_IR_REFERENCE_LOOPS_H_

#include <cstdint>
#include <vector>

#include "ir/base/packing.h"
#include "ir/reference.h"

namespace gptc {

// Row-major strides, in elements.
inline Shape StridesOf(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Strides that read a tensor of shape `from` as if it were broadcast to `to`: 0 along an axis it does not have or has
// once.
inline Shape BroadcastStrides(const Shape& from, const Shape& to) {
  Shape strides(to.size(), 0), own = StridesOf(from);
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1) strides[to.size() - from.size() + i] = own[i];
  }
  return strides;
}

// Where `strides` put the element that stands at `index` of a row-major tensor of this shape.
inline int64_t Offset(int64_t index, const Shape& shape, const Shape& strides) {
  int64_t offset = 0;
  for (size_t i = shape.size(); i-- > 0;) {
    offset += index % shape[i] * strides[i];
    index /= shape[i];
  }
  return offset;
}

// A tensor as a matrix of its last axis. REQUIRES: rank >= 1.
inline int64_t WidthOf(const HostTensor& x) { return x.type.shape.back(); }
inline int64_t RowCountOf(const HostTensor& x) {
  return ElementCount(std::span(x.type.shape).first(x.type.shape.size() - 1));
}
inline int64_t SizeOf(const HostTensor& x) { return static_cast<int64_t>(x.data.size()); }

// What a product multiplies by: w [in, out], [out, in] with `transposed`, or packed where `columns` is not 0.
class Weights {
 public:
  Weights(const HostTensor& w, int64_t in, int64_t columns, bool transposed)
      : w_(w), in_(in), columns_(columns), transposed_(transposed) {}
  int64_t columns() const { return columns_ != 0 ? columns_ : w_.type.shape[transposed_ ? 0 : 1]; }
  double at(int64_t row, int64_t column) const {
    if (columns_ != 0) return w_.data[PackedOffset(w_.type.dtype, in_, row, column)];
    return w_.data[transposed_ ? column * in_ + row : row * columns() + column];
  }

 private:
  const HostTensor& w_;
  int64_t in_, columns_;
  bool transposed_;
};

// x·w, and the bias where there is one: rows of operand 0 by operand 1.
std::vector<double> ProductWithWeights(const EvalContext& c, bool transposed, const HostTensor* bias);

}  // namespace gptc

#endif  // GPTC_IR_REFERENCE_LOOPS_H_
