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

// qkv at operand i: [B, T, 3C] with C = heads · head_size; the attributes that both directions share, and the optional
// operands, from `options` on: scalars where the rate is above 0, then segments.
Status RequireFlashAttention(const InferContext& c, size_t i, size_t options) {
  RETURN_IF_ERROR(RequireFloat(c, i));
  if (c.input(i).shape.size() != 3) return InvalidArgument("qkv must have the axes [B, T, 3·C]: ", c.Describe(i));
  const int64_t heads = c.attributes.Int("heads"), width = c.input(i).shape[2];
  if (heads < 1 || IsSymbol(width) || width % 3 != 0 || width / 3 % heads != 0 || width == 0) {
    return InvalidArgument("the last axis does not divide into q, k and v of ", heads, " heads: ", c.Describe(i));
  }
  if (!std::isfinite(c.attributes.Double("scale"))) return InvalidArgument("scale must be finite");
  const double rate = c.attributes.Double("rate");
  if (!(rate >= 0 && rate < 1)) return InvalidArgument("rate is ", ShortestDouble(rate), ", it must be in [0, 1)");
  if (c.attributes.Int("key") < 0) return InvalidArgument("key must be 0 or more");
  if (rate > 0) {
    if (!c.has(options)) return InvalidArgument("a rate above 0 needs the operand scalars");
    RETURN_IF_ERROR(RequireScalars(c, options++));
  }
  if (!c.has(options)) return OkStatus();
  if (c.has(options + 1)) return InvalidArgument("with rate 0 there is no operand scalars");
  RETURN_IF_ERROR(RequireDType(c, options, DType::kI32));
  return RequireShape(c, options, {c.input(i).shape[0], c.input(i).shape[1]});
}

// What flash_attention gives for `qkv`.
std::vector<Type> FlashAttentionTypes(const Type& qkv, int64_t heads) {
  const int64_t batch = qkv.shape[0], tokens = qkv.shape[1];
  return {Type{qkv.dtype, {batch, tokens, qkv.shape[2] / 3}}, Type{StatisticsDType(qkv.dtype), {batch, heads, tokens}}};
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

InferResult InferFlashAttention(const InferContext& c) {
  RETURN_IF_ERROR(RequireFlashAttention(c, 0, 1));
  return FlashAttentionTypes(c.input(0), c.attributes.Int("heads"));
}

InferResult InferFlashAttentionBackward(const InferContext& c) {
  RETURN_IF_ERROR(RequireFlashAttention(c, 1, 4));
  const std::vector<Type> forward = FlashAttentionTypes(c.input(1), c.attributes.Int("heads"));
  for (const size_t i : {0, 2}) {
    RETURN_IF_ERROR(RequireSameDType(c, i, 1));
    RETURN_IF_ERROR(RequireShape(c, i, forward[0].shape));
  }
  RETURN_IF_ERROR(RequireDType(c, 3, forward[1].dtype));
  RETURN_IF_ERROR(RequireShape(c, 3, forward[1].shape));
  return std::vector<Type>{c.input(1)};
}

}  // namespace gptc
