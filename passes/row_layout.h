// The space of a `fused` region as rows, for the code that is generated for it.
#ifndef GPTC_PASSES_ROW_LAYOUT_H_
#define GPTC_PASSES_ROW_LAYOUT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "ir/base/type.h"

namespace gptc {

// How the rows of the space lie in memory: `axes` number the rows; each operand has a stride, in elements, along each.
struct RowLayout {
  struct Walk {
    bool inner = false;  // has the row's elements, not one for all of them
    std::vector<int64_t> strides;
  };
  std::vector<int64_t> axes;
  int64_t rows = 1, width = 1;
  std::vector<Walk> walks;
};

// Axes are merged wherever all operands allow it, so that a row may be all there is; the last axis stays a row with
// `keep_rows`.
RowLayout RowLayoutOf(const Shape& space, std::span<const Type> operands, bool keep_rows);

}  // namespace gptc

#endif  // GPTC_PASSES_ROW_LAYOUT_H_
