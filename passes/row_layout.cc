#include "passes/row_layout.h"

#include <utility>

namespace gptc {

RowLayout RowLayoutOf(const Shape& space, std::span<const Type> operands, bool keep_rows) {
  const size_t rank = space.size();
  RowLayout layout;
  layout.walks.resize(operands.size());
  std::vector<int64_t> sizes;                 // innermost first
  std::vector<std::vector<int64_t>> strides;  // the same; of every operand
  std::vector<int64_t> extent(operands.size(), 1);
  for (size_t axis = rank; axis-- > 0;) {
    std::vector<int64_t> stride;
    for (size_t k = 0; k < operands.size(); ++k) {
      const Shape& shape = operands[k].shape;
      const int64_t size = axis + shape.size() >= rank ? shape[axis + shape.size() - rank] : 1;
      stride.push_back(size != 1 ? extent[k] : 0);
      extent[k] *= size;
    }
    const bool last = keep_rows && axis == rank - 1;
    if (space[axis] == 1 && !last) continue;
    bool merge = !sizes.empty() && !(keep_rows && sizes.size() == 1);
    for (size_t k = 0; merge && k < operands.size(); ++k) merge = stride[k] == strides.back()[k] * sizes.back();
    if (merge) {
      sizes.back() *= space[axis];
    } else {
      sizes.push_back(space[axis]);
      strides.push_back(std::move(stride));
    }
  }
  if (sizes.empty()) return layout;  // one element
  layout.width = sizes[0];
  for (size_t axis = sizes.size(); axis-- > 1;) {
    layout.axes.push_back(sizes[axis]);
    layout.rows *= sizes[axis];
    for (size_t k = 0; k < operands.size(); ++k) layout.walks[k].strides.push_back(strides[axis][k]);
  }
  for (size_t k = 0; k < operands.size(); ++k) layout.walks[k].inner = strides[0][k] != 0;
  return layout;
}

}  // namespace gptc
