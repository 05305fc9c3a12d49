#include <cmath>

#include "ir/ops/rules.h"

namespace gptc {
namespace {

InferResult OverColumns(const InferContext& c, bool causal) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireRank(c, 0, causal ? 2 : 1));
  return std::vector<Type>{c.input(0)};
}

// `i` is [slots, context, width] of x's dtype, x [b, t, width].
Status RequireCache(const InferContext& c, size_t i, size_t x) {
  RETURN_IF_ERROR(RequireFloat(c, i));
  RETURN_IF_ERROR(RequireSameDType(c, i, x));
  if (c.input(x).shape.size() != 3) {
    return InvalidArgument(c.info.Input(x).name, " must have the axes [b, t, width]: ", c.Describe(x));
  }
  if (c.input(i).shape.size() != 3) {
    return InvalidArgument(c.info.Input(i).name, " must have the axes [slots, context, width]: ", c.Describe(i));
  }
  if (c.input(i).shape[2] == c.input(x).shape[2]) return OkStatus();
  return InvalidArgument("widths differ: ", c.Describe(i), ", ", c.Describe(x));
}

// i32[b].
Status RequirePerSequence(const InferContext& c, size_t i, size_t x) {
  RETURN_IF_ERROR(RequireDType(c, i, DType::kI32));
  return RequireShape(c, i, {c.input(x).shape[0]});
}

}  // namespace

InferResult InferCausalMask(const InferContext& c) { return OverColumns(c, true); }
InferResult InferSoftmax(const InferContext& c) { return OverColumns(c, c.attributes.Bool("causal")); }

InferResult InferSoftmaxBackward(const InferContext& c) {
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  RETURN_IF_ERROR(RequireSameShape(c, 1, 0));
  return OverColumns(c, c.attributes.Bool("causal"));
}

InferResult InferCacheUpdate(const InferContext& c) {
  RETURN_IF_ERROR(RequireCache(c, 0, 1));
  RETURN_IF_ERROR(RequirePerSequence(c, 2, 1));
  RETURN_IF_ERROR(RequirePerSequence(c, 3, 1));
  return std::vector<Type>{c.input(0)};
}

InferResult InferCachedAttention(const InferContext& c) {
  RETURN_IF_ERROR(RequireCache(c, 1, 0));
  RETURN_IF_ERROR(RequireCache(c, 2, 0));
  RETURN_IF_ERROR(RequireSameShape(c, 2, 1));
  RETURN_IF_ERROR(RequirePerSequence(c, 3, 0));
  RETURN_IF_ERROR(RequirePerSequence(c, 4, 0));
  int64_t heads = c.attributes.Int("heads"), width = c.input(0).shape[2];
  if (heads < 1 || IsSymbol(width) || width % heads != 0) {
    return InvalidArgument("the width does not divide into ", heads, " heads: ", c.Describe(0));
  }
  if (!std::isfinite(c.attributes.Double("scale"))) return InvalidArgument("scale must be finite");
  return std::vector<Type>{c.input(0)};
}

}  // namespace gptc
