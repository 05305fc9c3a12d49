#include "autodiff/autodiff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "autodiff/finite_differences.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using Args = std::vector<Tensor>;
using B = GraphBuilder;

int CountOps(const Graph& graph, Op op) {
  int count = 0;
  for (const OpNode& node : graph.ops) count += node.op == op ? 1 : 0;
  return count;
}

TEST(AppendBackward, MlpWithLayerNorm) {
  ExpectGradients(
      [](B& g, const Args& x) {
        const Tensor h = g.Gelu(g.Linear(g.LayerNorm(x[0], x[1], x[2], 1e-5).y, x[3], x[4]));
        return x[0] + g.Linear(h, x[5], x[6]);
      },
      {{2, 3, 5}, {5}, {5}, {5, 7}, {7}, {7, 5}, {5}});
}

TEST(AppendBackward, CausalAttention) {
  constexpr int64_t kBatch = 2, kTime = 3, kHeads = 2, kHead = 3, kWidth = kHeads * kHead;
  ExpectGradients(
      [](B& g, const Args& x) {
        const auto heads = [&](Tensor t) {
          return g.Transpose(g.Reshape(t, {kBatch, kTime, kHeads, kHead}), {0, 2, 1, 3});
        };
        const auto [q, k, v] = g.Split<3>(g.Linear(x[0], x[1], x[2]), 2);
        const Tensor scores = g.MatMul(heads(q), heads(k), {.transpose_b = true}) * 0.577;
        const Tensor y = g.MatMul(g.Softmax(g.CausalMask(scores)), heads(v));
        return g.Linear(g.Reshape(g.Transpose(y, {0, 2, 1, 3}), {kBatch, kTime, kWidth}), x[3]);
      },
      {{kBatch, kTime, kWidth}, {kWidth, 3 * kWidth}, {3 * kWidth}, {kWidth, kWidth}});
}

TEST(AppendBackward, ValuesWithSeveralUses) {
  ExpectGradients(
      [](B& g, const Args& x) {
        const Tensor a = g.Tanh(x[0]);
        return a * a + a * x[0] - g.Exp(a) + g.Broadcast(g.Sum(a, {1}, true), {2, 3});
      },
      {{2, 3}});
}

TEST(AppendBackward, WrtMayBeAnyValueOfTheGraph) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF64, {}), unused = g.Input("unused", DType::kF64, {});
  const Tensor y = x * x;
  const Tensor loss = y * x;
  const Args wrt = {x, y, loss, unused};
  const auto gradients = AppendBackward(g, loss, wrt);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  EXPECT_FALSE((*gradients)[3].valid());
  for (int i = 0; i < 3; ++i) g.Return(Cat("d", i), (*gradients)[i]);
  StateMap states;
  const std::vector<HostTensor> inputs = {HostTensor(x.type(), {3}), HostTensor(x.type(), {5})};
  const auto outputs = Evaluate(module, g.graph(), inputs, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_DOUBLE_EQ((*outputs)[0].data[0], 27);  // d x³
  EXPECT_DOUBLE_EQ((*outputs)[1].data[0], 3);
  EXPECT_DOUBLE_EQ((*outputs)[2].data[0], 1);
}

TEST(AppendBackward, SeedScalesAndMayHaveAShape) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF64, {2}), seed = g.Input("seed", DType::kF64, {2});
  const auto gradients = AppendBackward(g, x * x, {&x, 1}, seed);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  g.Return("dx", (*gradients)[0]);
  StateMap states;
  const std::vector<HostTensor> inputs = {HostTensor(x.type(), {3, 4}), HostTensor(x.type(), {10, -1})};
  const auto outputs = Evaluate(module, g.graph(), inputs, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].data, (std::vector<double>{60, -8}));
}

// Only dw is asked for: nothing computes dx, dbias, or any gradient below.
TEST(AppendBackward, PrunesWhatIsNotRead) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4, 3}), below = g.Input("below", DType::kF32, {3, 3});
  const Tensor w = g.Input("w", DType::kF32, {3, 5}), bias = g.Input("bias", DType::kF32, {5});
  const Tensor aside = g.Gelu(g.Linear(x, w));
  g.Return("aside", aside);
  const Tensor loss = g.SumAll(g.Linear(g.Gelu(g.Linear(x, below)), w, bias));
  const size_t forward = g.graph().ops.size();
  const auto gradients = AppendBackward(g, loss, {&w, 1});
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  g.Return("dw", (*gradients)[0]);

  EXPECT_EQ(CountOps(g.graph(), Op::kMatMul), 1);
  EXPECT_EQ(CountOps(g.graph(), Op::kGeluBackward), 0);
  EXPECT_EQ(CountOps(g.graph(), Op::kSum), 1);  // the loss
  const std::vector<int> uses = g.graph().UseCounts();
  for (size_t i = forward; i < g.graph().ops.size(); ++i) {
    const OpNode& op = g.graph().ops[i];
    EXPECT_GT(uses[op.results[0].id], 0) << NameOf(op.op);
    EXPECT_EQ(g.graph().info(op.results[0]).producer, static_cast<int>(i));
  }
}

TEST(AppendBackward, NamesAndLocations) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4});
  g.SetLocation({.file = "model.gir", .line = 12});
  const Tensor h = g.Name(g.Tanh(x), "hidden");
  g.SetLocation({.file = "model.gir", .line = 13});
  const Tensor loss = g.SumAll(h * h);
  g.SetLocation({});
  const size_t forward = g.graph().ops.size();
  const auto gradients = AppendBackward(g, loss, {&x, 1});
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  EXPECT_EQ(g.graph().info((*gradients)[0].value).name, "d.x");
  const Value dh = g.graph().FindValue("d.hidden");
  ASSERT_TRUE(dh.valid());
  EXPECT_EQ(g.graph().ops[g.graph().info(dh).producer].op, Op::kAdd);
  std::map<std::string, int> lines;
  for (size_t i = forward; i < g.graph().ops.size(); ++i) ++lines[g.graph().ops[i].location.Text()];
  EXPECT_GT(lines["model.gir:12"], 0);
  EXPECT_GT(lines["model.gir:13"], 0);
  // The builder is back to the caller's own lines.
  const Tensor after = g.Neg(x);
  EXPECT_THAT(g.graph().ops[g.graph().info(after.value).producer].location.file, HasSubstr("autodiff_test.cc"));
}

TEST(AppendBackward, OpWithoutAGradientOnThePath) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4});
  g.SetLocation({.file = "model.gir", .line = 12});
  const Tensor y = g.Name(g.GeluBackward(x, x, true), "odd");
  const Tensor loss = g.SumAll(y);
  const auto gradients = AppendBackward(g, loss, {&x, 1});
  ASSERT_FALSE(gradients.ok());
  EXPECT_EQ(gradients.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(gradients.status()),
            "model.gir:12: cannot differentiate gelu_backward: the loss depends on its result %odd, but the op has no "
            "gradient");
}

TEST(AppendBackward, OpWithoutAGradientOffThePath) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4}), w = g.Input("w", DType::kF32, {4});
  g.Return("unrelated", g.GeluBackward(w, w, true));             // depends on w; the loss not on it
  const Tensor loss = g.SumAll(w * g.GeluBackward(x, x, true));  // the loss depends on it; it not on w
  const auto gradients = AppendBackward(g, loss, {&w, 1});
  EXPECT_TRUE(gradients.ok()) << gradients.status();
}

TEST(AppendBackward, AuxiliaryResultsHaveNoGradient) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {2, 4}), w = g.Input("w", DType::kF32, {4});
  const Tensor loss = g.SumAll(g.LayerNorm(x, w, {}, 1e-5).rstd);
  const auto gradients = AppendBackward(g, loss, {&x, 1});
  ASSERT_FALSE(gradients.ok());
  EXPECT_THAT(Message(gradients.status()), HasSubstr("cannot differentiate layer_norm"));
  EXPECT_THAT(Message(gradients.status()), HasSubstr("its result 'rstd'; only 'y' has a gradient"));
}

TEST(AppendBackward, OperandsWithoutAGradient) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {2, 4}), s = g.Input("s", DType::kF64, {11});
  const Tensor y = g.EmitOne(Op::kDropout, {x, s}, {{"rate", 0.5}, {"key", int64_t{1}}});
  const auto gradients = AppendBackward(g, g.SumAll(y), {&s, 1});
  ASSERT_FALSE(gradients.ok());
  EXPECT_THAT(Message(gradients.status()), HasSubstr("cannot differentiate dropout by its operand 'scalars' (%s)"));
}

TEST(AppendBackward, WrongArguments) {
  Module module;
  module.dimensions.push_back({"B"});
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4}), ids = g.Input("ids", DType::kI32, {4}),
               seed = g.Input("seed", DType::kF32, {3});
  const auto message = [&](Tensor loss, Tensor wrt, Tensor with = {}) {
    const auto gradients = AppendBackward(g, loss, {&wrt, 1}, with);
    EXPECT_FALSE(gradients.ok());
    return gradients.ok() ? "" : Message(gradients.status());
  };
  EXPECT_THAT(message(x, x), HasSubstr("the loss %x is f32[4]; it must be a scalar"));
  EXPECT_THAT(message(x, x, seed), HasSubstr("its seed is f32[3]"));
  EXPECT_THAT(message(ids, x), HasSubstr("the loss %ids is i32"));
  EXPECT_THAT(message(g.SumAll(x), ids), HasSubstr("cannot differentiate by %ids: it is i32"));
  EXPECT_THAT(message({}, x), HasSubstr("no loss"));
  EXPECT_THAT(message(g.SumAll(x), {}), HasSubstr("does not exist"));
  g.Input("unbound", DType::kF32, {SymbolDim(0)});
  EXPECT_THAT(message(g.SumAll(x), x), HasSubstr("%unbound has unbound dimensions"));
}

TEST(AppendBackward, KeepsTheBuildersError) {
  Module module;
  B g(module, "f");
  const Tensor x = g.Input("x", DType::kF32, {4}), y = g.Input("y", DType::kF32, {5});
  const Tensor loss = g.SumAll(x + y);
  const auto gradients = AppendBackward(g, loss, {&x, 1});
  ASSERT_FALSE(gradients.ok());
  EXPECT_EQ(gradients.status(), g.Finish());
}

}  // namespace
}  // namespace gptc
