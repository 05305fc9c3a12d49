#include "ir/base/packing.h"
#include "ir/ops/rules.h"

namespace gptc {

InferResult InferMatMul(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  RETURN_IF_ERROR(RequireRank(c, 0, 2));
  RETURN_IF_ERROR(RequireRank(c, 1, 2));
  Shape a = c.input(0).shape, b = c.input(1).shape;
  if (c.attributes.Bool("transpose_a")) std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (c.attributes.Bool("transpose_b")) std::swap(b[b.size() - 1], b[b.size() - 2]);
  if (a[a.size() - 1] != b[b.size() - 2]) {
    return InvalidArgument("inner dimensions differ: ", c.Describe(0), ", ", c.Describe(1));
  }
  Type type{WidenedDType(c), {}};
  if (!BroadcastShapes(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2), type.shape)) {
    return InvalidArgument("leading axes do not broadcast: ", c.Describe(0), ", ", c.Describe(1));
  }
  type.shape.push_back(a[a.size() - 2]);
  type.shape.push_back(b[b.size() - 1]);
  if (c.has(2)) {
    RETURN_IF_ERROR(c.attributes.Bool("widen") ? RequireDType(c, 2, type.dtype) : RequireSameDTypeOrF32(c, 2, 0));
    RETURN_IF_ERROR(RequireShape(c, 2, type.shape));
    type.dtype = c.input(2).dtype;
  }
  return std::vector<Type>{std::move(type)};
}

InferResult InferLinear(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  ASSIGN_OR_RETURN(Type type, ProductWithWeights(c));
  if (c.has(2)) RETURN_IF_ERROR(RequireBias(c, 2, type));
  type.dtype = WidenedDType(c);
  return std::vector<Type>{std::move(type)};
}

InferResult InferPack(const InferContext& c) {
  RETURN_IF_ERROR(RequireDType(c, 0, DType::kF32));
  const DType to = c.attributes.Dtype("to");
  if (to != DType::kF32 && to != DType::kBF16) {
    return InvalidArgument("matrices are packed as f32 or bf16, not ", NameOf(to));
  }
  const Shape& w = c.input(0).shape;
  if (w.size() != 2) return InvalidArgument("w must have two axes: ", c.Describe(0));
  for (const int64_t size : w) {
    if (IsSymbol(size)) return InvalidArgument("w must have sizes, not symbols: ", c.Describe(0));
  }
  const bool transpose = c.attributes.Bool("transpose");
  return std::vector<Type>{PackedType(to, w[transpose ? 1 : 0], w[transpose ? 0 : 1])};
}

}  // namespace gptc
