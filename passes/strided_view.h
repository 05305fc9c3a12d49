// Which elements of an earlier value a value holds, through reshapes, transposes, slices and splits: so a pattern is
// recognised by where its data lies, in whatever order people moved it there.
#ifndef GPTC_PASSES_STRIDED_VIEW_H_
#define GPTC_PASSES_STRIDED_VIEW_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace gptc {

class StridedView {
 public:
  struct Step {
    int64_t size, stride;
    bool operator==(const Step&) const = default;
  };
  // From the outermost to the innermost; none of size 1, and none that continues the one before it.
  using Steps = std::vector<Step>;

  // All of a value of this shape, as itself.
  explicit StridedView(const Shape& shape);

  // `node` makes the value that this is a view of. The same elements as a view of the op's first operand; nothing where
  // the op does more than move, or they lie in no regular steps.
  std::optional<StridedView> Through(const Graph& graph, const OpNode& node, int result) const;

  // Element (i, j, ...) is element offset + the sum of the axes' steps, counted in row-major order.
  int64_t offset() const { return offset_; }
  const Steps& axis(size_t i) const { return axes_[i]; }
  // The steps of the axes first .. last - 1 as one axis.
  Steps Merged(size_t first, size_t last) const;

  // Appends what `steps` needs to go on with one more inner step.
  static void Append(Steps& steps, Step step);

 private:
  StridedView() = default;
  // As a view of a value in which axis i of `shape` has the stride strides[i], and the first element is `first`.
  std::optional<StridedView> Moved(const Shape& shape, const std::vector<int64_t>& strides, int64_t first) const;

  int64_t offset_ = 0;
  std::vector<Steps> axes_;
};

}  // namespace gptc

#endif  // GPTC_PASSES_STRIDED_VIEW_H_
