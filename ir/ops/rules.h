// What the shape rules share: checks of one operand, each with a message that names it, its type and what was expected.
// Messages have no op name; InferTypes puts it in front.
#ifndef GPTC_IR_OPS_RULES_H_
#define GPTC_IR_OPS_RULES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/infer.h"

namespace gptc {

// "%q is f32[B, 12, T, 64]", where the element type matters.
std::string DescribeType(const InferContext& c, size_t i);
// The operand's name alone: "%q".
std::string OperandText(const InferContext& c, size_t i);

Status RequireFloat(const InferContext& c, size_t i);
// Float or i32.
Status RequireNumber(const InferContext& c, size_t i);
Status RequireDType(const InferContext& c, size_t i, DType dtype);
// The dtype of operand `like`.
Status RequireSameDType(const InferContext& c, size_t i, size_t like);
// The dtype of operand `like`, or f32.
Status RequireSameDTypeOrF32(const InferContext& c, size_t i, size_t like);
Status RequireRank(const InferContext& c, size_t i, size_t least);
Status RequireShape(const InferContext& c, size_t i, const Shape& expected);
Status RequireSameShape(const InferContext& c, size_t i, size_t like);
// 0 <= axis < rank of operand i.
Status RequireAxis(const InferContext& c, size_t i, int64_t axis);
// scalars: f64[kScalarCount].
Status RequireScalars(const InferContext& c, size_t i);
// Every entry of a dims attribute is a size >= 0 or one of the module's symbols.
Status RequireDims(const InferContext& c, std::string_view attribute);

// The type of x·w, of x's dtype: operand 0 by operand 1, which is [in, out], [out, in] with `transposed`, or packed
// where the attribute `columns` is not 0.
StatusOr<Type> ProductWithWeights(const InferContext& c, bool transposed = false);
// A bias of a product of this type: [out], of its dtype or f32.
Status RequireBias(const InferContext& c, size_t i, const Type& product);

// The shape that `a` and `b` broadcast to: aligned at the last axis, sizes equal or 1. False where there is none.
bool BroadcastShapes(const Shape& a, const Shape& b, Shape& out);

// The dtype of row statistics and losses of an op on `x`: f64 for f64, else f32.
inline DType StatisticsDType(DType x) { return x == DType::kF64 ? DType::kF64 : DType::kF32; }
// The dtype of a result like operand 0, with the attribute `widen` applied: f32 in place of a narrower float type.
inline DType WidenedDType(const InferContext& c) {
  const DType dtype = c.input(0).dtype;
  return c.attributes.Bool("widen") ? StatisticsDType(dtype) : dtype;
}
// The shape without its last axis. REQUIRES: rank >= 1.
inline Shape RowsOf(const Shape& shape) { return Shape(shape.begin(), shape.end() - 1); }

}  // namespace gptc

#endif  // GPTC_IR_OPS_RULES_H_
