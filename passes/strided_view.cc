#include "passes/strided_view.h"

namespace gptc {
namespace {

std::vector<int64_t> RowMajor(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Takes a view's steps over one value to another in which that value's axes have other strides.
class Mover {
 public:
  Mover(const Shape& shape, const std::vector<int64_t>& strides)
      : shape_(shape), from_(RowMajor(shape)), to_(strides), last_(shape.size(), 0) {}

  int64_t Offset(int64_t offset) {
    int64_t moved = 0;
    for (size_t i = 0; i < shape_.size(); ++i) {
      last_[i] = offset / from_[i];
      offset %= from_[i];
      moved += last_[i] * to_[i];
    }
    return moved;
  }

  // Appends the moved step, as several where it runs over more than one axis. False where it cannot be.
  bool Append(StridedView::Step step, StridedView::Steps& steps) {
    for (size_t i = 0; i < shape_.size(); ++i) {
      if (shape_[i] == 1 || step.stride < from_[i] || step.stride >= from_[i] * shape_[i]) continue;
      if (step.stride % from_[i] != 0) return false;
      const int64_t times = step.stride / from_[i];
      int64_t inner = step.size;
      if (last_[i] + (inner - 1) * times >= shape_[i]) {  // it goes on along the axes outside
        inner = shape_[i] / times;
        if (shape_[i] % times != 0 || inner == 0 || step.size % inner != 0) return false;
        if (!Append({step.size / inner, from_[i] * shape_[i]}, steps)) return false;
      }
      last_[i] += (inner - 1) * times;
      if (last_[i] >= shape_[i]) return false;
      StridedView::Append(steps, {inner, times * to_[i]});
      return true;
    }
    return false;
  }

 private:
  const Shape& shape_;
  std::vector<int64_t> from_;
  const std::vector<int64_t>& to_;
  std::vector<int64_t> last_;  // the greatest index along each axis so far: no axis may run over
};

}  // namespace

StridedView::StridedView(const Shape& shape) : axes_(shape.size()) {
  const std::vector<int64_t> strides = RowMajor(shape);
  for (size_t i = 0; i < shape.size(); ++i) Append(axes_[i], {shape[i], strides[i]});
}

void StridedView::Append(Steps& steps, Step step) {
  if (step.size == 1) return;
  if (!steps.empty() && steps.back().stride == step.size * step.stride) {
    steps.back() = {steps.back().size * step.size, step.stride};
  } else {
    steps.push_back(step);
  }
}

StridedView::Steps StridedView::Merged(size_t first, size_t last) const {
  Steps merged;
  for (size_t i = first; i < last; ++i) {
    for (const Step& step : axes_[i]) Append(merged, step);
  }
  return merged;
}

std::optional<StridedView> StridedView::Moved(const Shape& shape, const std::vector<int64_t>& strides,
                                              int64_t first) const {
  Mover mover(shape, strides);
  StridedView moved;
  moved.offset_ = first + mover.Offset(offset_);
  for (const Steps& axis : axes_) {
    Steps& to = moved.axes_.emplace_back();
    for (const Step& step : axis) {
      if (!mover.Append(step, to)) return {};
    }
  }
  return moved;
}

std::optional<StridedView> StridedView::Through(const Graph& graph, const OpNode& node, int result) const {
  if (node.op == Op::kReshape) return *this;
  if (node.op != Op::kTranspose && node.op != Op::kSlice && node.op != Op::kSplit) return {};
  const Shape& shape = graph.type(node.results[result]).shape;
  if (ElementCount(shape) == 0) return {};
  std::vector<int64_t> strides = RowMajor(graph.type(node.inputs[0]).shape);
  if (node.op == Op::kTranspose) {
    const std::vector<int64_t> of_operand = strides;
    const std::vector<int64_t>& permutation = node.attributes.Ints("permutation");
    for (size_t i = 0; i < shape.size(); ++i) strides[i] = of_operand[permutation[i]];
    return Moved(shape, strides, 0);
  }
  const int64_t axis = node.attributes.Int("axis");
  const int64_t start = node.op == Op::kSlice ? node.attributes.Int("start") : result * shape[axis];
  return Moved(shape, strides, start * strides[axis]);
}

}  // namespace gptc
