#include <algorithm>
#include <cmath>

#include "ir/ops/rules.h"

namespace gptc {
namespace {

InferResult Binary(const InferContext& c, DType result, size_t a = 0, size_t b = 1) {
  RETURN_IF_ERROR(RequireSameDType(c, b, a));
  Shape shape;
  if (!BroadcastShapes(c.input(a).shape, c.input(b).shape, shape)) {
    return InvalidArgument("shapes do not broadcast: ", c.Describe(a), ", ", c.Describe(b));
  }
  return std::vector<Type>{{result, shape}};
}

InferResult Arithmetic(const InferContext& c) {
  RETURN_IF_ERROR(RequireNumber(c, 0));
  return Binary(c, c.input(0).dtype);
}

InferResult FloatUnary(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  return std::vector<Type>{c.input(0)};
}

}  // namespace

InferResult InferAdd(const InferContext& c) { return Arithmetic(c); }
InferResult InferSub(const InferContext& c) { return Arithmetic(c); }
InferResult InferMul(const InferContext& c) { return Arithmetic(c); }
InferResult InferMax(const InferContext& c) { return Arithmetic(c); }
InferResult InferDiv(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  return Binary(c, c.input(0).dtype);
}

InferResult InferNeg(const InferContext& c) {
  RETURN_IF_ERROR(RequireNumber(c, 0));
  return std::vector<Type>{c.input(0)};
}
InferResult InferExp(const InferContext& c) { return FloatUnary(c); }
InferResult InferLog(const InferContext& c) { return FloatUnary(c); }
InferResult InferTanh(const InferContext& c) { return FloatUnary(c); }
InferResult InferErf(const InferContext& c) { return FloatUnary(c); }
InferResult InferSqrt(const InferContext& c) { return FloatUnary(c); }
InferResult InferRsqrt(const InferContext& c) { return FloatUnary(c); }

InferResult InferCompare(const InferContext& c) {
  static const std::vector<std::string> kDirections = {"eq", "ne", "lt", "le", "gt", "ge"};
  const std::string& direction = c.attributes.Str("direction");
  if (std::find(kDirections.begin(), kDirections.end(), direction) == kDirections.end()) {
    return InvalidArgument("direction must be one of ", Join(kDirections, ", "), ", not '", direction, "'");
  }
  return Binary(c, DType::kBool);
}

InferResult InferSelect(const InferContext& c) {
  RETURN_IF_ERROR(RequireDType(c, 0, DType::kBool));
  ASSIGN_OR_RETURN(std::vector<Type> types, Binary(c, c.input(1).dtype, 1, 2));
  Shape branches = types[0].shape;
  if (!BroadcastShapes(c.input(0).shape, branches, types[0].shape)) {
    return InvalidArgument("shapes do not broadcast: ", c.Describe(0), ", ", c.Describe(1), ", ", c.Describe(2));
  }
  return types;
}

InferResult InferCast(const InferContext& c) { return std::vector<Type>{{c.attributes.Dtype("to"), c.input(0).shape}}; }

InferResult InferConstant(const InferContext& c) {
  Type type{c.attributes.Dtype("type"), c.attributes.Ints("shape")};
  double value = c.attributes.Double("value");
  auto out_of = [&](double least, double most) {
    return !(value >= least && value <= most && value == std::floor(value));
  };
  if ((type.dtype == DType::kI32 && out_of(-0x1p31, 0x1p31 - 1)) || (type.dtype == DType::kU16 && out_of(0, 65535)) ||
      (type.dtype == DType::kBool && out_of(0, 1))) {
    return InvalidArgument(ShortestDouble(value), " is not a value of type ", NameOf(type.dtype));
  }
  return std::vector<Type>{std::move(type)};
}

InferResult InferIota(const InferContext& c) {
  const Shape& shape = c.attributes.Ints("shape");
  const int64_t axis = c.attributes.Int("axis"), rank = static_cast<int64_t>(shape.size());
  if (axis < 0 || axis >= rank) {
    return InvalidArgument("axis is ", axis, ", the shape ", ShapeText(shape, c.symbols), " has ", rank, " axes");
  }
  if (shape[axis] > int64_t{1} << 31) return InvalidArgument("an axis of ", shape[axis], " has indices beyond i32");
  return std::vector<Type>{{DType::kI32, shape}};
}

InferResult InferCopy(const InferContext& c) { return std::vector<Type>{c.input(0)}; }

}  // namespace gptc
