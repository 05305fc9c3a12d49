#include "ir/base/infer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "ir/base/scalars.h"

namespace gptc {
namespace {

using enum DType;

const std::vector<std::string> kSymbols = {"B", "T"};
constexpr int64_t B = -1, T = -2;

// What the op makes of operands %a, %b, ... : "f32[B, 4], i32", or its error.
std::string Infer(std::string_view name, std::vector<Type> inputs, Attributes attributes = {}) {
  const OpInfo& info = InfoOf(*OpNamed(name));
  if (Status status = CompleteAttributes(info, attributes); !status.ok()) return Message(status);
  std::vector<std::string> operands;
  for (size_t i = 0; i < inputs.size(); ++i) operands.push_back(Cat("%", static_cast<char>('a' + i)));
  InferResult types = InferTypes({info, inputs, attributes, kSymbols, operands});
  if (!types.ok()) return Message(types.status());
  return Join(*types, ", ", [](const Type& type) { return TypeText(type, kSymbols); });
}

Type F32(Shape shape) { return {kF32, std::move(shape)}; }
Type BF16(Shape shape) { return {kBF16, std::move(shape)}; }
Type F64(Shape shape) { return {kF64, std::move(shape)}; }
Type I32(Shape shape) { return {kI32, std::move(shape)}; }
Attributes Axis(int64_t axis) { return {{"axis", axis}}; }
Attributes Dims(std::string_view name, Shape dims) { return {{name, dims}}; }

TEST(InferElementwise, Broadcasts) {
  EXPECT_EQ(Infer("add", {F32({B, T, 4}), F32({4})}), "f32[B, T, 4]");
  EXPECT_EQ(Infer("mul", {F32({3, 1}), F32({1, 5})}), "f32[3, 5]");
  EXPECT_EQ(Infer("max", {I32({}), I32({2})}), "i32[2]");
  EXPECT_EQ(Infer("add", {F32({B}), F32({T})}), "add: shapes do not broadcast: %a is [B], %b is [T]");
  EXPECT_EQ(Infer("sub", {F32({2}), BF16({2})}), "sub: element types differ: %a is f32[2], %b is bf16[2]");
  EXPECT_EQ(Infer("div", {I32({2}), I32({2})}), "div: a must be of a float type: %a is i32[2]");
  EXPECT_EQ(Infer("add", {{kBool, {2}}, {kBool, {2}}}), "add: a must be of a float type or i32: %a is bool[2]");
  EXPECT_EQ(Infer("add", {F32({2})}), "add: takes 2 operands, not 1");
}

TEST(InferElementwise, Unary) {
  for (const char* op : {"exp", "log", "tanh", "erf", "sqrt", "rsqrt", "gelu", "relu", "sigmoid", "silu"}) {
    EXPECT_EQ(Infer(op, {BF16({B, 3})}), "bf16[B, 3]");
    EXPECT_EQ(Infer(op, {I32({3})}), Cat(op, ": x must be of a float type: %a is i32[3]"));
  }
  EXPECT_EQ(Infer("neg", {I32({3})}), "i32[3]");
  EXPECT_EQ(Infer("copy", {I32({3})}), "i32[3]");
  EXPECT_EQ(Infer("gelu_backward", {F32({3}), F32({3})}), "f32[3]");
  EXPECT_EQ(Infer("gelu_backward", {F32({3}), F32({1})}), "gelu_backward: shapes differ: %a is [3], %b is [1]");
}

TEST(InferElementwise, CompareSelectCast) {
  EXPECT_EQ(Infer("compare", {I32({2, 1}), I32({3})}, {{"direction", std::string("lt")}}), "bool[2, 3]");
  EXPECT_EQ(Infer("compare", {I32({2}), I32({2})}, {{"direction", std::string("less")}}),
            "compare: direction must be one of eq, ne, lt, le, gt, ge, not 'less'");
  EXPECT_EQ(Infer("select", {{kBool, {4, 1, 1}}, F32({3}), F32({2, 1})}), "f32[4, 2, 3]");
  EXPECT_EQ(Infer("select", {F32({3}), F32({3}), F32({3})}), "select: condition must be of type bool: %a is f32[3]");
  EXPECT_EQ(Infer("select", {{kBool, {2}}, F32({3}), F32({3})}),
            "select: shapes do not broadcast: %a is [2], %b is [3], %c is [3]");
  EXPECT_EQ(Infer("cast", {I32({B})}, {{"to", kBF16}}), "bf16[B]");
}

TEST(InferElementwise, Constant) {
  EXPECT_EQ(Infer("constant", {}, {{"value", 0.5}}), "f32");
  EXPECT_EQ(Infer("constant", {}, {{"value", 3.0}, {"type", kI32}, {"shape", Shape{B, 2}}}), "i32[B, 2]");
  EXPECT_EQ(Infer("constant", {}, {{"value", 0.5}, {"type", kI32}}), "constant: 0.5 is not a value of type i32");
  EXPECT_EQ(Infer("constant", {}, {{"value", -1.0}, {"type", kU16}}), "constant: -1 is not a value of type u16");
  EXPECT_EQ(Infer("constant", {}, {{"value", 2.0}, {"type", kBool}}), "constant: 2 is not a value of type bool");
  EXPECT_EQ(Infer("constant", {}, {{"value", std::numeric_limits<double>::quiet_NaN()}, {"type", kI32}}),
            "constant: nan is not a value of type i32");
  EXPECT_EQ(Infer("constant", {}, {{"value", 1.0}, {"shape", Shape{-3}}}),
            "constant: shape has the size -3, sizes must be 0 or more");
  EXPECT_EQ(Infer("constant", {}, {{"value", 1.0}, {"shape", Shape{int64_t{1} << 31, int64_t{1} << 31}}}),
            "constant: a tensor f32[2147483648, 2147483648] is larger than 2^62 bytes");
  // A zero must not hide an overflow.
  EXPECT_THAT(Infer("constant", {}, {{"value", 1.0}, {"shape", Shape{int64_t{1} << 40, int64_t{1} << 40, 0}}}),
              testing::HasSubstr("larger than 2^62 bytes"));
}

TEST(InferMovement, Reshape) {
  EXPECT_EQ(Infer("reshape", {F32({B, T, 12})}, Dims("shape", {B, T, 3, 4})), "f32[B, T, 3, 4]");
  EXPECT_EQ(Infer("reshape", {F32({B, T, 12})}, Dims("shape", {12, T, B})), "f32[12, T, B]");
  EXPECT_EQ(Infer("reshape", {F32({})}, Dims("shape", {1, 1})), "f32[1, 1]");
  EXPECT_EQ(Infer("reshape", {F32({0, 7})}, Dims("shape", {0})), "f32[0]");
  EXPECT_EQ(Infer("reshape", {F32({B, T, 12})}, Dims("shape", {B, B, 12})),
            "reshape: the number of elements differs: %a is [B, T, 12], the new shape is [B, B, 12]");
  EXPECT_EQ(Infer("reshape", {F32({6})}, Dims("shape", {4})),
            "reshape: the number of elements differs: %a is [6], the new shape is [4]");
  EXPECT_THAT(Infer("reshape", {F32({6})}, Dims("shape", {int64_t{1} << 62, 4, 6})),
              testing::HasSubstr("larger than 2^62 bytes"));
}

TEST(InferMovement, BroadcastTranspose) {
  EXPECT_EQ(Infer("broadcast", {F32({1, 4})}, Dims("shape", {B, T, 4})), "f32[B, T, 4]");
  EXPECT_EQ(Infer("broadcast", {F32({2, 4})}, Dims("shape", {4})),
            "broadcast: the shape does not broadcast: %a is [2, 4], the new shape is [4]");
  EXPECT_EQ(Infer("broadcast", {F32({4})}, Dims("shape", {1})),
            "broadcast: the shape does not broadcast: %a is [4], the new shape is [1]");
  EXPECT_EQ(Infer("transpose", {F32({B, T, 4})}, Dims("permutation", {2, 0, 1})), "f32[4, B, T]");
  for (Shape wrong : {Shape{0, 1}, Shape{0, 1, 1}, Shape{0, 1, 3}, Shape{-1, 0, 1}}) {
    EXPECT_THAT(Infer("transpose", {F32({B, T, 4})}, Dims("permutation", wrong)),
                testing::HasSubstr("must name each axis once: %a is [B, T, 4]"));
  }
}

TEST(InferMovement, SliceAndPad) {
  auto slice = [](Shape shape, int64_t axis, int64_t start, Shape size) {
    return Infer("slice", {F32(std::move(shape))}, {{"axis", axis}, {"start", start}, {"size", size}});
  };
  EXPECT_EQ(slice({8, 3}, 0, 2, {6}), "f32[6, 3]");
  EXPECT_EQ(slice({1024, 3}, 0, 0, {T}), "f32[T, 3]");
  EXPECT_EQ(slice({8, 3}, 0, 3, {6}), "slice: 6 from 3 on exceed axis 0: %a is [8, 3]");
  EXPECT_EQ(slice({8, 3}, 0, std::numeric_limits<int64_t>::max(), {1}),
            "slice: 1 from 9223372036854775807 on exceed axis 0: %a is [8, 3]");
  EXPECT_EQ(slice({T, 3}, 0, 1, {T}), "slice: T from 1 on exceed axis 0: %a is [T, 3]");
  EXPECT_EQ(slice({8}, 0, -1, {2}), "slice: start is -1, it must be 0 or more");
  EXPECT_EQ(slice({8}, 1, 0, {2}), "slice: axis 1 is not in 0..0: %a is [8]");
  EXPECT_EQ(slice({}, 0, 0, {2}), "slice: axis 0 of a scalar: %a is []");
  EXPECT_EQ(slice({8}, 0, 0, {2, 2}), "slice: size must be one number, not 2");
  auto pad = [](Shape shape, int64_t low, int64_t high) {
    return Infer("pad", {F32(std::move(shape))}, {{"axis", int64_t{0}}, {"low", low}, {"high", high}});
  };
  EXPECT_EQ(pad({3, 4}, 1, 2), "f32[6, 4]");
  EXPECT_EQ(pad({T, 4}, 0, 0), "f32[T, 4]");
  EXPECT_EQ(pad({T, 4}, 1, 0), "pad: axis 0 must have a size in numbers: %a is [T, 4]");
  EXPECT_EQ(pad({3}, -1, 0), "pad: low is -1, high is 0, both must be 0 or more");
  EXPECT_THAT(pad({3}, std::numeric_limits<int64_t>::max(), 1), testing::HasSubstr("are too large"));
}

TEST(InferMovement, SplitConcat) {
  auto split = [](Shape shape, int64_t parts) {
    return Infer("split", {F32(std::move(shape))}, {{"axis", int64_t{1}}, {"parts", parts}});
  };
  EXPECT_EQ(split({B, 12}, 3), "f32[B, 4], f32[B, 4], f32[B, 4]");
  EXPECT_EQ(split({B, 13}, 3), "split: axis 1 does not divide into 3 parts: %a is [B, 13]");
  EXPECT_EQ(split({B, T}, 3), "split: axis 1 must have a size in numbers: %a is [B, T]");
  EXPECT_EQ(split({B, 0}, int64_t{1} << 40), "split: parts is 1099511627776, it must be in 1..4096");
  EXPECT_EQ(split({B, 12}, 0), "split: parts is 0, it must be in 1..4096");
  EXPECT_EQ(Infer("concat", {F32({B, 2}), F32({B, 3}), F32({B, 4})}, Axis(1)), "f32[B, 9]");
  EXPECT_EQ(Infer("concat", {F32({B, 2})}, Axis(0)), "f32[B, 2]");
  EXPECT_EQ(Infer("concat", {F32({2, 2}), F32({2, 3})}, Axis(0)),
            "concat: shapes differ on another axis than 0: %a is [2, 2], %b is [2, 3]");
  EXPECT_EQ(Infer("concat", {F32({2, 2}), F32({2})}, Axis(0)),
            "concat: shapes differ on another axis than 0: %a is [2, 2], %b is [2]");
  EXPECT_EQ(Infer("concat", {F32({B, 2}), F32({B, 2})}, Axis(0)),
            "concat: axis 0 must have a size in numbers: %a is [B, 2]");
  EXPECT_EQ(Infer("concat", {}, Axis(0)), "concat: takes at least 1 operands, not 0");
}

TEST(InferReduction, Axes) {
  EXPECT_EQ(Infer("sum", {F32({B, T, 4})}, Dims("axes", {0, 2})), "f32[T]");
  EXPECT_EQ(Infer("mean", {F32({B, T, 4})}, {{"axes", Shape{2}}, {"keep", true}}), "f32[B, T, 1]");
  EXPECT_EQ(Infer("reduce_max", {I32({3})}, Dims("axes", {0})), "i32");
  EXPECT_EQ(Infer("sum", {F32({3})}, Dims("axes", {-1})), "sum: axis -1 is not in 0..0: %a is [3]");
  EXPECT_EQ(Infer("sum", {F32({3, 3})}, Dims("axes", {1, 0})), "sum: axes must ascend, each once, not [1, 0]");
  EXPECT_EQ(Infer("mean", {I32({3})}, Dims("axes", {0})), "mean: x must be of a float type: %a is i32[3]");
}

TEST(InferMatMul, Shapes) {
  EXPECT_EQ(Infer("matmul", {F32({B, 12, T, 64}), F32({B, 12, T, 64})}, {{"transpose_b", true}}), "f32[B, 12, T, T]");
  EXPECT_EQ(Infer("matmul", {F32({B, 12, T, 64}), F32({B, 12, T, 32})}, {{"transpose_b", true}}),
            "matmul: inner dimensions differ: %a is [B, 12, T, 64], %b is [B, 12, T, 32]");
  EXPECT_EQ(Infer("matmul", {F32({5, 3}), F32({B, 5, 4})}, {{"transpose_a", true}}), "f32[B, 3, 4]");
  EXPECT_EQ(Infer("matmul", {BF16({2, 3}), BF16({3, 4}), F32({2, 4})}), "f32[2, 4]");
  EXPECT_EQ(Infer("matmul", {F32({2, 3}), F32({3, 4}), F32({4})}), "matmul: c must have the shape [2, 4]: %c is [4]");
  EXPECT_EQ(Infer("matmul", {F32({2, 3}), F32({3, 4}), BF16({2, 4})}),
            "matmul: element types differ: %a is f32[2, 3], %c is bf16[2, 4]");
  EXPECT_EQ(Infer("matmul", {F32({3}), F32({3, 4})}), "matmul: a needs at least 2 axes: %a is [3]");
  EXPECT_EQ(Infer("matmul", {F32({2, 2, 3}), F32({5, 3, 4})}),
            "matmul: leading axes do not broadcast: %a is [2, 2, 3], %b is [5, 3, 4]");
  EXPECT_EQ(Infer("linear", {BF16({B, T, 4}), BF16({4, 12}), F32({12})}), "bf16[B, T, 12]");
  EXPECT_EQ(Infer("linear", {F32({B, T, 4}), F32({5, 12})}),
            "linear: inner dimensions differ: %a is [B, T, 4], %b is [5, 12]");
  EXPECT_EQ(Infer("linear", {F32({4}), F32({4, 12}), F32({4})}), "linear: bias must have the shape [12]: %c is [4]");
  EXPECT_EQ(Infer("linear", {F32({4}), F32({4})}), "linear: w must have the two axes [in, out]: %b is [4]");
}

TEST(InferNorm, Shapes) {
  Attributes epsilon = {{"epsilon", 1e-5}};
  EXPECT_EQ(Infer("layer_norm", {BF16({B, T, 8}), F32({8}), BF16({8})}, epsilon),
            "bf16[B, T, 8], f32[B, T], f32[B, T]");
  EXPECT_EQ(Infer("layer_norm", {F64({3, 8}), F64({8})}, epsilon), "f64[3, 8], f64[3], f64[3]");
  EXPECT_EQ(Infer("layer_norm", {F32({3, 8}), F32({7})}, epsilon),
            "layer_norm: weight must have the shape [8]: %b is [7]");
  EXPECT_EQ(Infer("layer_norm", {F32({3, 8}), F32({8})}, {{"epsilon", -1.0}}),
            "layer_norm: epsilon is -1, it must be 0 or more");
  EXPECT_EQ(Infer("layer_norm", {F32({}), F32({8})}, epsilon), "layer_norm: x needs at least 1 axis: %a is []");
  EXPECT_EQ(Infer("rms_norm", {F32({3, 8}), F32({8})}, epsilon), "f32[3, 8], f32[3]");
  EXPECT_EQ(Infer("layer_norm_backward", {BF16({B, 8}), F32({B, 8}), F32({8}), F32({B}), F32({B})}),
            "f32[B, 8], f32[8], f32[8]");
  EXPECT_EQ(Infer("rms_norm_backward", {F32({B, 8}), F32({B, 8}), F32({8}), F32({B})}), "f32[B, 8], f32[8]");
  EXPECT_EQ(Infer("rms_norm_backward", {F32({B, 8}), F32({B, 8}), F32({8}), F32({8})}),
            "rms_norm_backward: rstd must have the shape [B]: %d is [8]");
}

TEST(InferAttention, Softmax) {
  EXPECT_EQ(Infer("softmax", {F32({4})}), "f32[4]");
  EXPECT_EQ(Infer("softmax", {F32({4})}, {{"causal", true}}), "softmax: x needs at least 2 axes: %a is [4]");
  EXPECT_EQ(Infer("causal_mask", {F32({4})}), "causal_mask: x needs at least 2 axes: %a is [4]");
  EXPECT_EQ(Infer("causal_mask", {F32({T, T})}), "f32[T, T]");
  EXPECT_EQ(Infer("softmax_backward", {F32({4}), F32({4})}), "f32[4]");
  EXPECT_EQ(Infer("softmax_backward", {F32({4}), F32({5})}), "softmax_backward: shapes differ: %a is [4], %b is [5]");
}

TEST(InferAttention, Cache) {
  EXPECT_EQ(Infer("cache_update", {F32({4, 16, 8}), F32({B, T, 8}), I32({B}), I32({B})}), "f32[4, 16, 8]");
  EXPECT_EQ(Infer("cache_update", {F32({4, 16, 8}), F32({B, T, 6}), I32({B}), I32({B})}),
            "cache_update: widths differ: %a is [4, 16, 8], %b is [B, T, 6]");
  EXPECT_EQ(Infer("cache_update", {F32({4, 16, 8}), F32({B, T, 8}), I32({T}), I32({B})}),
            "cache_update: positions must have the shape [B]: %c is [T]");
  EXPECT_EQ(Infer("cache_update", {F32({16, 8}), F32({B, T, 8}), I32({B}), I32({B})}),
            "cache_update: cache must have the axes [slots, context, width]: %a is [16, 8]");
  std::vector<Type> inputs = {F32({B, T, 8}), F32({4, 16, 8}), F32({4, 16, 8}), I32({B}), I32({B})};
  EXPECT_EQ(Infer("cached_attention", inputs, {{"heads", int64_t{2}}, {"scale", 0.5}}), "f32[B, T, 8]");
  EXPECT_EQ(Infer("cached_attention", inputs, {{"heads", int64_t{3}}, {"scale", 0.5}}),
            "cached_attention: the width does not divide into 3 heads: %a is [B, T, 8]");
  EXPECT_EQ(Infer("cached_attention", inputs, {{"heads", int64_t{0}}, {"scale", 0.5}}),
            "cached_attention: the width does not divide into 0 heads: %a is [B, T, 8]");
}

TEST(InferEmbedding, Shapes) {
  EXPECT_EQ(Infer("embedding", {BF16({100, 8}), I32({B, T})}), "bf16[B, T, 8]");
  EXPECT_EQ(Infer("embedding", {F32({100, 8}), F32({B, T})}), "embedding: ids must be of type i32: %b is f32[B, T]");
  EXPECT_EQ(Infer("embedding", {F32({8}), I32({B})}),
            "embedding: table must have the two axes [rows, width]: %a is [8]");
  Attributes rows = {{"rows", int64_t{100}}};
  EXPECT_EQ(Infer("embedding_backward", {I32({B, T}), BF16({B, T, 8})}, rows), "f32[100, 8]");
  EXPECT_EQ(Infer("embedding_backward", {I32({B}), F64({B, 8}), F64({100, 8})}, rows), "f64[100, 8]");
  EXPECT_EQ(Infer("embedding_backward", {I32({B}), F32({T, 8})}, rows),
            "embedding_backward: dy must have one row an id: %a is [B], %b is [T, 8]");
  EXPECT_EQ(Infer("embedding_backward", {I32({B}), F32({B, 8}), F32({99, 8})}, rows),
            "embedding_backward: base must have the shape [100, 8]: %c is [99, 8]");
}

TEST(InferDropout, Arguments) {
  auto dropout = [](double rate, Type scalars) {
    return Infer("dropout", {F32({B, 4}), std::move(scalars)}, {{"rate", rate}, {"key", int64_t{5}}});
  };
  EXPECT_EQ(dropout(0.1, F64({kScalarCount})), "f32[B, 4]");
  EXPECT_EQ(dropout(1, F64({kScalarCount})), "dropout: rate is 1, it must be in [0, 1)");
  EXPECT_EQ(dropout(0.1, F64({3})), Cat("dropout: scalars must have the shape [", int{kScalarCount}, "]: %b is [3]"));
}

TEST(InferLoss, CrossEntropy) {
  Attributes classes = {{"classes", int64_t{50}}};
  EXPECT_EQ(Infer("cross_entropy", {BF16({B, T, 64}), I32({B, T})}, classes), "f32[B, T], f32[B, T]");
  EXPECT_EQ(Infer("cross_entropy", {F64({64}), I32({})}, classes), "f64, f64");
  EXPECT_EQ(Infer("cross_entropy", {F32({B, 49}), I32({B})}, classes),
            "cross_entropy: classes is 50, it must be in 1..49: %a is [B, 49]");
  EXPECT_EQ(Infer("cross_entropy", {F32({B, 64}), I32({T})}, classes),
            "cross_entropy: logits must have one row a target: %a is [B, 64], %b is [T]");
  EXPECT_EQ(Infer("cross_entropy_backward", {BF16({B, 64}), I32({B}), F32({B}), F32({B})}, classes), "bf16[B, 64]");
  EXPECT_EQ(Infer("cross_entropy_backward", {BF16({B, 64}), I32({B}), BF16({B}), F32({B})}, classes),
            "cross_entropy_backward: lse must be of type f32: %c is bf16[B]");
}

TEST(InferOptimizer, Shapes) {
  EXPECT_EQ(Infer("global_norm", {F32({3}), F32({4, 5})}), "f32");
  EXPECT_EQ(Infer("global_norm", {I32({3})}), "global_norm: grads must be of a float type: %a is i32[3]");
  Type p = F32({4, 5});
  Attributes decay = {{"decay", true}};
  EXPECT_EQ(Infer("adamw", {p, p, p, p, F32({}), F64({kScalarCount})}, decay), "f32[4, 5], f32[4, 5], f32[4, 5]");
  EXPECT_EQ(Infer("adamw", {p, F32({4}), p, p, F32({}), F64({kScalarCount})}, decay),
            "adamw: shapes differ: %a is [4, 5], %b is [4]");
  EXPECT_EQ(Infer("adamw", {p, p, p, p, F32({1}), F64({kScalarCount})}, decay),
            "adamw: norm must have the shape []: %e is [1]");

  const Type q = F32({2}), norm = F32({}), scalars = F64({kScalarCount});
  const Attributes two = {{"decay", std::string("01")}, {"copies", std::string("10")}};
  EXPECT_EQ(Infer("adamw_group", {norm, scalars, p, p, p, q, q, q, p, q}, two),
            "f32[4, 5], f32[4, 5], f32[4, 5], f32[2], f32[2], f32[2], bf16[4, 5]");
  EXPECT_EQ(Infer("adamw_group", {norm, scalars, p, p, p, q, q, q, q, p}, two),
            "adamw_group: shapes differ: %c is [4, 5], %i is [2]");
  EXPECT_EQ(Infer("adamw_group", {norm, scalars, p, p, p, p}, two),
            "adamw_group: param, m, v and grad of 2 parameters are 8 tensors, not 4");
  EXPECT_EQ(Infer("adamw_group", {norm, scalars, p}, {{"decay", std::string("0")}, {"copies", std::string("1x")}}),
            "adamw_group: decay and copies must have a 0 or 1 for each parameter: '0', '1x'");
}

}  // namespace
}  // namespace gptc
