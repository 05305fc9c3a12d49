// The builder's one-line methods: each only names an op, its operands and its attributes.
#include <string>
#include <utility>

#include "ir/builder.h"

namespace gptc {
namespace {

Tensor ScalarOf(Tensor like, double value, std::source_location where) {
  return like.valid() ? like.builder->Constant(value, like.type().dtype, {}, where) : Tensor{};
}

Tensor Combine(Op op, Tensor a, const Operand& b) {
  Tensor right = b.tensor.builder != nullptr ? b.tensor : Tensor{};
  GraphBuilder* builder = a.builder != nullptr ? a.builder : right.builder;
  if (builder == nullptr) return {};
  if (b.is_number) right = ScalarOf(a, b.number, b.where);
  return builder->EmitOne(op, {a, right}, {}, b.where);
}

Tensor Combine(Op op, const Number& a, Tensor b) {
  if (b.builder == nullptr) return {};
  return b.builder->EmitOne(op, {ScalarOf(b, a.value, a.where), b}, {}, a.where);
}

std::string Text(std::string_view text) { return std::string(text); }

}  // namespace

Tensor operator+(Tensor a, Operand b) { return Combine(Op::kAdd, a, b); }
Tensor operator-(Tensor a, Operand b) { return Combine(Op::kSub, a, b); }
Tensor operator*(Tensor a, Operand b) { return Combine(Op::kMul, a, b); }
Tensor operator/(Tensor a, Operand b) { return Combine(Op::kDiv, a, b); }
Tensor operator+(Number a, Tensor b) { return Combine(Op::kAdd, a, b); }
Tensor operator-(Number a, Tensor b) { return Combine(Op::kSub, a, b); }
Tensor operator*(Number a, Tensor b) { return Combine(Op::kMul, a, b); }
Tensor operator/(Number a, Tensor b) { return Combine(Op::kDiv, a, b); }

using G = GraphBuilder;

Tensor G::Add(Tensor a, Tensor b, Where where) { return EmitOne(Op::kAdd, {a, b}, {}, where); }
Tensor G::Sub(Tensor a, Tensor b, Where where) { return EmitOne(Op::kSub, {a, b}, {}, where); }
Tensor G::Mul(Tensor a, Tensor b, Where where) { return EmitOne(Op::kMul, {a, b}, {}, where); }
Tensor G::Div(Tensor a, Tensor b, Where where) { return EmitOne(Op::kDiv, {a, b}, {}, where); }
Tensor G::Max(Tensor a, Tensor b, Where where) { return EmitOne(Op::kMax, {a, b}, {}, where); }
Tensor G::Neg(Tensor x, Where where) { return EmitOne(Op::kNeg, {x}, {}, where); }
Tensor G::Exp(Tensor x, Where where) { return EmitOne(Op::kExp, {x}, {}, where); }
Tensor G::Log(Tensor x, Where where) { return EmitOne(Op::kLog, {x}, {}, where); }
Tensor G::Tanh(Tensor x, Where where) { return EmitOne(Op::kTanh, {x}, {}, where); }
Tensor G::Erf(Tensor x, Where where) { return EmitOne(Op::kErf, {x}, {}, where); }
Tensor G::Sqrt(Tensor x, Where where) { return EmitOne(Op::kSqrt, {x}, {}, where); }
Tensor G::Rsqrt(Tensor x, Where where) { return EmitOne(Op::kRsqrt, {x}, {}, where); }
Tensor G::Compare(Tensor a, Tensor b, std::string_view direction, Where where) {
  return EmitOne(Op::kCompare, {a, b}, {{"direction", Text(direction)}}, where);
}
Tensor G::Select(Tensor condition, Tensor a, Tensor b, Where where) {
  return EmitOne(Op::kSelect, {condition, a, b}, {}, where);
}
Tensor G::Cast(Tensor x, DType to, Where where) { return EmitOne(Op::kCast, {x}, {{"to", to}}, where); }
Tensor G::Constant(double value, DType type, Shape shape, Where where) {
  return EmitOne(Op::kConstant, {}, {{"value", value}, {"type", type}, {"shape", std::move(shape)}}, where);
}
Tensor G::Iota(int64_t axis, Shape shape, Where where) {
  return EmitOne(Op::kIota, {}, {{"axis", axis}, {"shape", std::move(shape)}}, where);
}
Tensor G::Copy(Tensor x, Where where) { return EmitOne(Op::kCopy, {x}, {}, where); }

Tensor G::Gelu(Tensor x, bool tanh, Where where) { return EmitOne(Op::kGelu, {x}, {{"tanh", tanh}}, where); }
Tensor G::GeluBackward(Tensor x, Tensor dy, bool tanh, Where where) {
  return EmitOne(Op::kGeluBackward, {x, dy}, {{"tanh", tanh}}, where);
}
Tensor G::Relu(Tensor x, Where where) { return EmitOne(Op::kRelu, {x}, {}, where); }
Tensor G::Sigmoid(Tensor x, Where where) { return EmitOne(Op::kSigmoid, {x}, {}, where); }
Tensor G::Silu(Tensor x, Where where) { return EmitOne(Op::kSilu, {x}, {}, where); }

Tensor G::Reshape(Tensor x, Shape shape, Where where) {
  return EmitOne(Op::kReshape, {x}, {{"shape", std::move(shape)}}, where);
}
Tensor G::Broadcast(Tensor x, Shape shape, Where where) {
  return EmitOne(Op::kBroadcast, {x}, {{"shape", std::move(shape)}}, where);
}
Tensor G::Transpose(Tensor x, std::vector<int64_t> permutation, Where where) {
  return EmitOne(Op::kTranspose, {x}, {{"permutation", std::move(permutation)}}, where);
}
Tensor G::Slice(Tensor x, int64_t axis, int64_t start, int64_t size, Where where) {
  return EmitOne(Op::kSlice, {x}, {{"axis", axis}, {"start", start}, {"size", Shape{size}}}, where);
}
Tensor G::Pad(Tensor x, int64_t axis, int64_t low, int64_t high, Where where) {
  return EmitOne(Op::kPad, {x}, {{"axis", axis}, {"low", low}, {"high", high}}, where);
}
std::vector<Tensor> G::SplitParts(Tensor x, int64_t axis, int64_t parts, Where where) {
  return Emit(Op::kSplit, {x}, {{"axis", axis}, {"parts", parts}}, where);
}
Tensor G::Concat(std::vector<Tensor> parts, int64_t axis, Where where) {
  return EmitOne(Op::kConcat, std::move(parts), {{"axis", axis}}, where);
}

Tensor G::Sum(Tensor x, std::vector<int64_t> axes, bool keep, Where where) {
  return EmitOne(Op::kSum, {x}, {{"axes", std::move(axes)}, {"keep", keep}}, where);
}
Tensor G::Mean(Tensor x, std::vector<int64_t> axes, bool keep, Where where) {
  return EmitOne(Op::kMean, {x}, {{"axes", std::move(axes)}, {"keep", keep}}, where);
}
Tensor G::ReduceMax(Tensor x, std::vector<int64_t> axes, bool keep, Where where) {
  return EmitOne(Op::kReduceMax, {x}, {{"axes", std::move(axes)}, {"keep", keep}}, where);
}

Tensor G::MatMul(Tensor a, Tensor b, MatMulOptions options, Tensor c, Where where) {
  return EmitOne(Op::kMatMul, {a, b, c}, {{"transpose_a", options.transpose_a}, {"transpose_b", options.transpose_b}},
                 where);
}
Tensor G::Linear(Tensor x, Tensor w, Tensor bias, Where where) { return EmitOne(Op::kLinear, {x, w, bias}, {}, where); }

G::Norm G::LayerNorm(Tensor x, Tensor weight, Tensor bias, double epsilon, Where where) {
  std::vector<Tensor> r = Emit(Op::kLayerNorm, {x, weight, bias}, {{"epsilon", epsilon}}, where);
  return {.y = r[0], .mean = r[1], .rstd = r[2]};
}
G::Norm G::RmsNorm(Tensor x, Tensor weight, double epsilon, Where where) {
  std::vector<Tensor> r = Emit(Op::kRmsNorm, {x, weight}, {{"epsilon", epsilon}}, where);
  return {.y = r[0], .mean = {}, .rstd = r[1]};
}

Tensor G::CausalMask(Tensor x, Where where) { return EmitOne(Op::kCausalMask, {x}, {}, where); }
Tensor G::Softmax(Tensor x, bool causal, Where where) {
  return EmitOne(Op::kSoftmax, {x}, {{"causal", causal}}, where);
}
Tensor G::CacheUpdate(Tensor cache, Tensor x, Tensor positions, Tensor slots, Where where) {
  return EmitOne(Op::kCacheUpdate, {cache, x, positions, slots}, {}, where);
}
Tensor G::CachedAttention(Tensor q, Tensor k_cache, Tensor v_cache, Tensor positions, Tensor slots, int64_t heads,
                          double scale, Where where) {
  return EmitOne(Op::kCachedAttention, {q, k_cache, v_cache, positions, slots}, {{"heads", heads}, {"scale", scale}},
                 where);
}
G::Attended G::FlashAttention(Tensor qkv, Tensor scalars, Tensor segments, int64_t heads, double scale, bool causal,
                              double rate, int64_t key, Where where) {
  std::vector<Tensor> r =
      Emit(Op::kFlashAttention, {qkv, scalars, segments},
           {{"heads", heads}, {"scale", scale}, {"causal", causal}, {"rate", rate}, {"key", key}}, where);
  return {.y = r[0], .lse = r[1]};
}

Tensor G::Embedding(Tensor table, Tensor ids, Where where) { return EmitOne(Op::kEmbedding, {table, ids}, {}, where); }

G::Loss G::CrossEntropy(Tensor logits, Tensor targets, int64_t classes, Where where) {
  std::vector<Tensor> r = Emit(Op::kCrossEntropy, {logits, targets}, {{"classes", classes}}, where);
  return {.losses = r[0], .lse = r[1]};
}
G::LossGradient G::CrossEntropyGradient(Tensor logits, Tensor targets, Tensor dlosses, int64_t classes, Where where) {
  std::vector<Tensor> r = Emit(Op::kCrossEntropyGradient, {logits, targets, dlosses}, {{"classes", classes}}, where);
  return {.losses = r[0], .dlogits = r[1]};
}

}  // namespace gptc
