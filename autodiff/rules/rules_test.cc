#include <gtest/gtest.h>

#include "autodiff/finite_differences.h"
#include "autodiff/vjp.h"
#include "ir/base/scalars.h"

namespace gptc {
namespace {

using Args = std::vector<Tensor>;
using B = GraphBuilder;

HostTensor Ids(Shape shape, std::vector<double> data) {
  return HostTensor({DType::kI32, std::move(shape)}, std::move(data));
}

HostTensor RandomF64(Shape shape, int seed = 3) {
  std::mt19937 random(seed);
  return RandomTensor({DType::kF64, std::move(shape)}, random);
}

TEST(VjpRuleOf, FollowsTheTable) {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    EXPECT_EQ(VjpRuleOf(op) != nullptr, InfoOf(op).gradient == Gradient::kVjp) << NameOf(op);
  }
}

TEST(ElementwiseRules, BinaryWithEveryBroadcast) {
  const std::vector<std::pair<Shape, Shape>> pairs = {{{3, 2}, {3, 2}},   {{3, 2}, {2}}, {{2}, {3, 2}},
                                                      {{3, 1}, {1, 2}},   {{3, 2}, {}},  {{1, 1, 2}, {2}},
                                                      {{2, 1, 3}, {4, 1}}};
  for (const auto& [a, b] : pairs) {
    SCOPED_TRACE(Cat(ShapeText(a), " and ", ShapeText(b)));
    ExpectGradients([](B&, const Args& x) { return x[0] + x[1]; }, {a, b});
    ExpectGradients([](B&, const Args& x) { return x[0] - x[1]; }, {a, b});
    ExpectGradients([](B&, const Args& x) { return x[0] * x[1]; }, {a, b});
    ExpectGradients([](B&, const Args& x) { return x[0] / x[1]; }, {a, b});
    ExpectGradients([](B& g, const Args& x) { return g.Max(x[0], x[1]); }, {a, b});
  }
}

// A bias over two leading axes costs one sum and no reshape.
TEST(ElementwiseRules, BroadcastOperandIsSummedOnce) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {2, 3, 4}), bias = g.Input("bias", DType::kF32, {4});
  const Tensor y = x + bias;
  const auto gradients = AppendBackward(g, y, {&bias, 1}, g.Input("dy", DType::kF32, y.shape()));
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  ASSERT_EQ(g.graph().ops.size(), 2u);
  EXPECT_EQ(g.graph().ops[1].op, Op::kSum);
  EXPECT_EQ(g.graph().ops[1].attributes.Ints("axes"), (std::vector<int64_t>{0, 1}));
}

TEST(ElementwiseRules, Unary) {
  const Shape shape = {3, 5};
  ExpectGradients([](B& g, const Args& x) { return g.Neg(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Exp(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Log(x[0] * x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Tanh(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Erf(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Sqrt(x[0] * x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Rsqrt(x[0] * x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Copy(x[0]) * x[0]; }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Cast(g.Cast(x[0], DType::kF32), DType::kF64); }, {shape});
}

// The maximum of a tie is the first operand, and max has no kink for a constant tie.
TEST(ElementwiseRules, MaxTieGoesToTheFirst) {
  Module module;
  B g(module, "f");
  const Tensor a = g.Constant(2, DType::kF64), b = g.Constant(2, DType::kF64);
  const Args wrt = {a, b};
  const auto gradients = AppendBackward(g, g.Max(a, b), wrt);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  g.Return("da", (*gradients)[0]);
  g.Return("db", (*gradients)[1]);
  StateMap states;
  const auto outputs = Evaluate(module, g.graph(), {}, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].data[0], 1);
  EXPECT_EQ((*outputs)[1].data[0], 0);
}

// The comparison reads x, and ends the path there.
TEST(ElementwiseRules, SelectByComparison) {
  ExpectGradients([](B& g, const Args& x) { return g.Select(g.Compare(x[0], x[1], "lt"), x[0] * x[0], x[1]); },
                  {{2, 3}, {3}});
  ExpectGradients(
      [](B& g, const Args& x) { return g.Select(g.Compare(x[1], g.Constant(0, DType::kF64), "gt"), x[0], x[1]); },
      {{3}, {2, 1}});
}

TEST(ActivationRules, All) {
  const Shape shape = {4, 3};
  ExpectGradients([](B& g, const Args& x) { return g.Gelu(x[0], true); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Gelu(x[0], false); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Relu(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Sigmoid(x[0]); }, {shape});
  ExpectGradients([](B& g, const Args& x) { return g.Silu(x[0]); }, {shape});
}

TEST(MovementRules, All) {
  ExpectGradients([](B& g, const Args& x) { return g.Reshape(x[0], {3, 4}); }, {{2, 6}});
  ExpectGradients([](B& g, const Args& x) { return g.Broadcast(x[0], {2, 3, 4}); }, {{3, 1}});
  ExpectGradients([](B& g, const Args& x) { return g.Transpose(x[0], {2, 0, 1}); }, {{2, 3, 4}});
  ExpectGradients([](B& g, const Args& x) { return g.Slice(x[0], 1, 1, 2); }, {{2, 5, 3}});
  ExpectGradients([](B& g, const Args& x) { return g.Pad(x[0], 1, 2, 1); }, {{2, 3}});
  ExpectGradients([](B& g, const Args& x) { return g.Concat({x[0], x[1], x[0]}, 1); }, {{2, 1}, {2, 3}});
}

TEST(MovementRules, SplitWithAPartThatNothingReads) {
  ExpectGradients(
      [](B& g, const Args& x) {
        const auto parts = g.Split<3>(x[0], 1);
        return parts[0] * parts[2];
      },
      {{2, 6}});
}

TEST(ReductionRules, AllAxesWithAndWithoutKeep) {
  for (const std::vector<int64_t>& axes : std::vector<std::vector<int64_t>>{{0}, {1}, {2}, {0, 2}, {0, 1, 2}, {}}) {
    for (const bool keep : {false, true}) {
      SCOPED_TRACE(Cat("axes [", Join(axes, ", "), "], keep ", keep ? "true" : "false"));
      ExpectGradients([&](B& g, const Args& x) { return g.Sum(x[0], axes, keep); }, {{2, 3, 2}});
      ExpectGradients([&](B& g, const Args& x) { return g.Mean(x[0], axes, keep); }, {{2, 3, 2}});
      ExpectGradients([&](B& g, const Args& x) { return g.ReduceMax(x[0], axes, keep); }, {{2, 3, 2}});
    }
  }
}

TEST(ReductionRules, MaximaThatTieShareTheGradient) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF64, {4});
  const auto gradients = AppendBackward(g, g.ReduceMax(x, {0}), {&x, 1});
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  g.Return("dx", (*gradients)[0]);
  StateMap states;
  const std::vector<HostTensor> inputs = {HostTensor(x.type(), {1, 5, 5, 2})};
  const auto outputs = Evaluate(module, g.graph(), inputs, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].data, (std::vector<double>{0, 0.5, 0.5, 0}));
}

TEST(MatMulRules, EveryTransposeAndBroadcast) {
  const std::vector<std::pair<Shape, Shape>> leading = {{{}, {}},      {{5}, {5}}, {{5}, {}},   {{}, {5}},
                                                        {{2, 1}, {3}}, {{2}, {1}}, {{}, {1, 1}}};
  for (const auto& [left, right] : leading) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const MatMulOptions options = {.transpose_a = (transposes & 1) != 0, .transpose_b = (transposes & 2) != 0};
      Shape a = left, b = right;
      for (const int64_t size : options.transpose_a ? Shape{4, 2} : Shape{2, 4}) a.push_back(size);
      for (const int64_t size : options.transpose_b ? Shape{3, 4} : Shape{4, 3}) b.push_back(size);
      SCOPED_TRACE(Cat(ShapeText(a), " · ", ShapeText(b), " transposes ", transposes));
      ExpectGradients([&](B& g, const Args& x) { return g.MatMul(x[0], x[1], options); }, {a, b});
    }
  }
  ExpectGradients([](B& g, const Args& x) { return g.MatMul(x[0], x[1], {}, x[2]); }, {{2, 3, 4}, {4, 1}, {2, 3, 1}});
}

TEST(MatMulRules, Linear) {
  for (const Shape& x : {Shape{3}, Shape{2, 3}, Shape{2, 4, 3}}) {
    SCOPED_TRACE(ShapeText(x));
    ExpectGradients([](B& g, const Args& t) { return g.Linear(t[0], t[1], t[2]); }, {x, {3, 5}, {5}});
    ExpectGradients([](B& g, const Args& t) { return g.Linear(t[0], t[1]); }, {x, {3, 5}});
  }
}

// Weight gradients are one product over all rows of the batch.
TEST(MatMulRules, WeightGradientIsOneProduct) {
  for (const bool linear : {true, false}) {
    Module module;
    B g(module, "f");
    const Tensor x = g.Input("x", DType::kF32, {2, 3, 4}), w = g.Input("w", DType::kF32, {4, 5});
    const Tensor y = linear ? g.Linear(x, w) : g.MatMul(x, w);
    const auto gradients = AppendBackward(g, y, {&w, 1}, g.Input("dy", DType::kF32, y.shape()));
    ASSERT_TRUE(gradients.ok()) << gradients.status();
    const OpNode& last = g.graph().ops.back();
    ASSERT_EQ(last.op, Op::kMatMul);
    EXPECT_EQ(g.graph().type(last.inputs[0]).shape, (Shape{6, 4}));
    EXPECT_EQ(g.graph().type(last.inputs[1]).shape, (Shape{6, 5}));
  }
}

// bf16 operands, f32 accumulation left in f32: each cotangent has its operand's type.
TEST(MatMulRules, NarrowOperandsUnderAWideResult) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kBF16, {2, 3, 4}), w = g.Input("w", DType::kBF16, {4, 5});
  const Tensor bias = g.Input("bias", DType::kF32, {5});
  const Args wrt = {x, w, bias};
  const auto gradients = AppendBackward(g, g.SumAll(g.Linear(x, w, bias)), wrt);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (size_t i = 0; i < wrt.size(); ++i) EXPECT_EQ((*gradients)[i].type(), wrt[i].type());
}

TEST(NormRules, All) {
  for (const Shape& x : {Shape{2, 3, 5}, Shape{1, 7}, Shape{4}}) {
    SCOPED_TRACE(ShapeText(x));
    const Shape weight = {x.back()};
    ExpectGradients([](B& g, const Args& t) { return g.LayerNorm(t[0], t[1], t[2], 1e-5).y; }, {x, weight, weight});
    ExpectGradients([](B& g, const Args& t) { return g.LayerNorm(t[0], t[1], {}, 1e-5).y; }, {x, weight});
    ExpectGradients([](B& g, const Args& t) { return g.RmsNorm(t[0], t[1], 1e-6).y; }, {x, weight});
  }
}

TEST(AttentionRules, All) {
  for (const bool causal : {false, true}) {
    ExpectGradients([&](B& g, const Args& x) { return g.Softmax(x[0], causal); }, {{2, 3, 5}});
  }
  ExpectGradients([](B& g, const Args& x) { return g.Softmax(g.CausalMask(x[0])); }, {{2, 3, 5}});
  // exp(-inf) is 0, and so is its gradient: no 0 · inf on the way.
  ExpectGradients([](B& g, const Args& x) { return g.Exp(g.CausalMask(x[0] * x[0])); }, {{3, 3}});
}

TEST(EmbeddingRules, RepeatedAndIgnoredIds) {
  ExpectGradients([](B& g, const Args& x) { return g.Embedding(x[0], x[1]); },
                  {RandomF64({4, 3}), Ids({2, 3}, {1, 3, 1, 0, -1, 1})});
}

TEST(DropoutRules, SameMask) {
  HostTensor scalars({DType::kF64, {kScalarCount}});
  scalars.data[kStep] = 3;
  scalars.data[kSeed] = 11;
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF64, {4, 50}), s = g.Input("s", DType::kF64, {kScalarCount});
  const Tensor y = g.EmitOne(Op::kDropout, {x, s}, {{"rate", 0.4}, {"key", int64_t{5}}});
  const auto gradients = AppendBackward(g, g.SumAll(y * y), {&x, 1});
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  g.Return("y", y);
  g.Return("dx", (*gradients)[0]);
  StateMap states;
  const std::vector<HostTensor> inputs = {RandomF64({4, 50}), scalars};
  const auto outputs = Evaluate(module, g.graph(), inputs, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  int zeros = 0;
  for (size_t i = 0; i < inputs[0].data.size(); ++i) {
    const double y_i = (*outputs)[0].data[i];
    zeros += y_i == 0 ? 1 : 0;
    EXPECT_NEAR((*outputs)[1].data[i], y_i == 0 ? 0 : 2 * y_i / 0.6, 1e-12);
  }
  EXPECT_GT(zeros, 40);
  EXPECT_LT(zeros, 120);
}

TEST(LossRules, CrossEntropyWithPaddedColumnsAndIgnoredTargets) {
  ExpectGradients([](B& g, const Args& x) { return g.CrossEntropy(x[0], x[1], 5).losses; },
                  {RandomF64({2, 2, 7}), Ids({2, 2}, {4, 0, -1, 2})});
}

}  // namespace
}  // namespace gptc
