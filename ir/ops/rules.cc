#include "ir/ops/rules.h"

#include <algorithm>

#include "ir/base/packing.h"
#include "ir/base/scalars.h"

namespace gptc {

std::string OperandText(const InferContext& c, size_t i) {
  if (i < c.operands.size() && !c.operands[i].empty()) return c.operands[i];
  return Cat("operand '", c.info.Input(i).name, "'");
}

std::string DescribeType(const InferContext& c, size_t i) {
  return Cat(OperandText(c, i), " is ", TypeText(c.input(i), c.symbols));
}

Status RequireFloat(const InferContext& c, size_t i) {
  if (IsFloat(c.input(i).dtype)) return OkStatus();
  return InvalidArgument(c.info.Input(i).name, " must be of a float type: ", DescribeType(c, i));
}

Status RequireNumber(const InferContext& c, size_t i) {
  if (IsFloat(c.input(i).dtype) || c.input(i).dtype == DType::kI32) return OkStatus();
  return InvalidArgument(c.info.Input(i).name, " must be of a float type or i32: ", DescribeType(c, i));
}

Status RequireDType(const InferContext& c, size_t i, DType dtype) {
  if (c.input(i).dtype == dtype) return OkStatus();
  return InvalidArgument(c.info.Input(i).name, " must be of type ", NameOf(dtype), ": ", DescribeType(c, i));
}

Status RequireSameDType(const InferContext& c, size_t i, size_t like) {
  if (c.input(i).dtype == c.input(like).dtype) return OkStatus();
  return InvalidArgument("element types differ: ", DescribeType(c, like), ", ", DescribeType(c, i));
}

Status RequireSameDTypeOrF32(const InferContext& c, size_t i, size_t like) {
  if (c.input(i).dtype == DType::kF32) return OkStatus();
  return RequireSameDType(c, i, like);
}

Status RequireRank(const InferContext& c, size_t i, size_t least) {
  if (c.input(i).shape.size() >= least) return OkStatus();
  return InvalidArgument(c.info.Input(i).name, " needs at least ", least,
                         least == 1 ? " axis: " : " axes: ", c.Describe(i));
}

Status RequireShape(const InferContext& c, size_t i, const Shape& expected) {
  if (c.input(i).shape == expected) return OkStatus();
  return InvalidArgument(c.info.Input(i).name, " must have the shape ", ShapeText(expected, c.symbols), ": ",
                         c.Describe(i));
}

Status RequireSameShape(const InferContext& c, size_t i, size_t like) {
  if (c.input(i).shape == c.input(like).shape) return OkStatus();
  return InvalidArgument("shapes differ: ", c.Describe(like), ", ", c.Describe(i));
}

Status RequireAxis(const InferContext& c, size_t i, int64_t axis) {
  int64_t rank = static_cast<int64_t>(c.input(i).shape.size());
  if (axis >= 0 && axis < rank) return OkStatus();
  if (rank == 0) return InvalidArgument("axis ", axis, " of a scalar: ", c.Describe(i));
  return InvalidArgument("axis ", axis, " is not in 0..", rank - 1, ": ", c.Describe(i));
}

Status RequireScalars(const InferContext& c, size_t i) {
  RETURN_IF_ERROR(RequireDType(c, i, DType::kF64));
  return RequireShape(c, i, {kScalarCount});
}

Status RequireDims(const InferContext& c, std::string_view attribute) {
  for (int64_t dim : c.attributes.Ints(attribute)) {
    if (IsSymbol(dim) && -1 - dim >= static_cast<int64_t>(c.symbols.size())) {
      return InvalidArgument(attribute, " has the size ", dim, ", sizes must be 0 or more");
    }
  }
  return OkStatus();
}

StatusOr<Type> ProductWithWeights(const InferContext& c, bool transposed) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  RETURN_IF_ERROR(RequireRank(c, 0, 1));
  Type type = c.input(0);
  const Type& w = c.input(1);
  const int64_t in = type.shape.back(), columns = c.attributes.Int("columns");
  if (columns != 0) {
    if (columns < 0) return InvalidArgument("columns is ", columns, ", it must be 0 or more");
    if (IsSymbol(in) || w.dtype == DType::kF64 || w.dtype == DType::kF16 || w != PackedType(w.dtype, in, columns)) {
      return InvalidArgument("w is not a packed matrix of ", columns, " columns for such rows: ", c.Describe(0), ", ",
                             c.Describe(1));
    }
    type.shape.back() = columns;
    return type;
  }
  if (w.shape.size() != 2) {
    return InvalidArgument("w must have the two axes ", transposed ? "[out, in]: " : "[in, out]: ", c.Describe(1));
  }
  if (in != w.shape[transposed ? 1 : 0]) {
    return InvalidArgument("inner dimensions differ: ", c.Describe(0), ", ", c.Describe(1));
  }
  type.shape.back() = w.shape[transposed ? 0 : 1];
  return type;
}

Status RequireBias(const InferContext& c, size_t i, const Type& product) {
  if (c.input(i).dtype != product.dtype) RETURN_IF_ERROR(RequireSameDTypeOrF32(c, i, 0));
  return RequireShape(c, i, {product.shape.back()});
}

bool BroadcastShapes(const Shape& a, const Shape& b, Shape& out) {
  size_t rank = std::max(a.size(), b.size());
  out.assign(rank, 1);
  for (size_t from_end = 1; from_end <= rank; ++from_end) {
    int64_t x = from_end <= a.size() ? a[a.size() - from_end] : 1;
    int64_t y = from_end <= b.size() ? b[b.size() - from_end] : 1;
    if (x != y && x != 1 && y != 1) return false;
    out[rank - from_end] = x == 1 ? y : x;
  }
  return true;
}

}  // namespace gptc
