#include "ir/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/base/scalars.h"

namespace gptc {
namespace {

using testing::HasSubstr;

struct BuilderTest : testing::Test {
  BuilderTest() { module.dimensions = {{"B"}, {"T"}}; }
  Module module;
  const int64_t B = SymbolDim(0), T = SymbolDim(1);
};

TEST_F(BuilderTest, BuildsAGraph) {
  GraphBuilder g(module, "f");
  g.Declare({.name = "w", .type = {DType::kF32, {8, 24}}});
  Tensor x = g.Input("x", DType::kF32, {B, T, 8});
  auto [q, k, v] = g.Split<3>(g.Linear(x, g.State("w")), 2);
  Tensor y = g.Name(g.MatMul(q, k, {.transpose_b = true}), "scores");
  Tensor again = g.Name(g.Gelu(v), "scores");
  g.Return("y", y);
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
  const Graph& graph = *module.FindGraph("f");
  ASSERT_EQ(graph.ops.size(), 4u);
  EXPECT_EQ(graph.type(y.value), (Type{DType::kF32, {B, T, T}}));
  EXPECT_EQ(graph.info(y.value).name, "scores");
  EXPECT_EQ(graph.info(again.value).name, "scores_2");
  EXPECT_EQ(graph.FindValue("scores"), y.value);
  EXPECT_EQ(graph.ops[0].inputs.size(), 2u);  // no bias
  EXPECT_EQ(graph.ops[0].location.file, "ir/builder_test.cc");
  EXPECT_EQ(graph.info(graph.FindState(0)).name, "w");
}

TEST_F(BuilderTest, ErrorsNameTheLineAndTheOperands) {
  GraphBuilder g(module, "f");
  Tensor q = g.Input("q", DType::kF32, {B, T, 64});
  Tensor k = g.Gelu(g.Input("k", DType::kF32, {B, T, 32}));
  int line = __LINE__ + 1;
  Tensor bad = g.MatMul(q, k, {.transpose_b = true});
  EXPECT_FALSE(bad.valid());
  Tensor after = g.Softmax(bad) * 2.0;  // what follows is ignored
  g.Return("y", after);
  EXPECT_EQ(Message(g.Finish()),
            Cat("ir/builder_test.cc:", line, ": matmul: inner dimensions differ: q is [B, T, 64], %0 is [B, T, 32]"));
  EXPECT_EQ(module.FindGraph("f")->ops.size(), 1u);
}

TEST_F(BuilderTest, FailedOpsGiveAsManyTensorsAsTheyShould) {
  GraphBuilder g(module, "f");
  Tensor x = g.Input("x", DType::kF32, {B, 8});
  auto [a, b, c] = g.Split<3>(x, 1);
  EXPECT_FALSE(a.valid() || b.valid() || c.valid());
  EXPECT_FALSE(g.LayerNorm(x, x, {}, 1e-5).rstd.valid());
  EXPECT_FALSE(g.RmsNorm(x, x, 1e-5).rstd.valid());
  EXPECT_FALSE(g.CrossEntropy(x, x, 3).lse.valid());
  EXPECT_THAT(Message(g.Finish()), HasSubstr("split: axis 1 does not divide into 3 parts"));
}

TEST_F(BuilderTest, OperatorsTakeNumbersOfTheTensorsType) {
  GraphBuilder g(module, "f");
  Tensor x = g.Input("x", DType::kBF16, {B});
  int line = __LINE__ + 1;
  Tensor y = 1.0 - x * 2 + x / x;
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
  EXPECT_EQ(y.type(), (Type{DType::kBF16, {B}}));
  std::vector<std::string> ops;
  for (const OpNode& node : g.graph().ops) {
    ops.push_back(NameOf(node.op));
    EXPECT_EQ(node.location.line, line);
  }
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "constant"), 2);
  EXPECT_EQ(g.graph().ops.back().op, Op::kAdd);
  EXPECT_EQ(g.graph().info(y.value).producer, static_cast<int>(ops.size()) - 1);
  Tensor sub{&g, g.graph().ops.back().inputs[0]};
  const OpNode& minus = g.graph().ops[g.graph().info(sub.value).producer];
  EXPECT_EQ(minus.op, Op::kSub);
  EXPECT_EQ(g.graph().type(minus.inputs[0]), (Type{DType::kBF16, {}}));
}

TEST_F(BuilderTest, UnknownStateSuggests) {
  GraphBuilder g(module, "f");
  g.Declare({.name = "h0.qkv.w", .type = {DType::kF32, {8}}});
  EXPECT_FALSE(g.State("h0.qvk.w").valid());
  EXPECT_THAT(Message(g.Finish()), HasSubstr("unknown state 'h0.qvk.w'; did you mean 'h0.qkv.w'?"));
}

TEST_F(BuilderTest, DeclaresOnce) {
  GraphBuilder g(module, "f");
  g.Declare({.name = "w", .type = {DType::kF32, {8}}});
  g.Declare({.name = "w", .type = {DType::kF32, {8}}});
  ASSERT_TRUE(g.Finish().ok());
  EXPECT_EQ(module.states.size(), 1u);
  g.Declare({.name = "w", .type = {DType::kF32, {9}}});
  EXPECT_EQ(Message(g.Finish()), "state 'w' is declared twice, as parameter f32[8] and as parameter f32[9]");
}

TEST_F(BuilderTest, NamesDoNotClash) {
  {
    GraphBuilder g(module, "f");
    g.Declare({.name = "w", .type = {DType::kF32, {8}}});
    Tensor x = g.Input("x", DType::kF32, {8});
    Tensor y = g.Name(x + 1.0, "w");
    EXPECT_EQ(g.graph().info(y.value).name, "w_2");
    EXPECT_EQ(g.graph().info(g.Name(x, "z").value).name, "x");
    EXPECT_TRUE((y * g.State("w")).valid());
    g.Return("y", y);
    g.Return("y", y);
    EXPECT_EQ(Message(g.Finish()), "graph 'f': there is an output 'y' already");
  }
  GraphBuilder input(module, "g");
  input.Input("w", DType::kF32, {});
  EXPECT_THAT(Message(input.Finish()), HasSubstr("there is a value or a state 'w' already"));
  GraphBuilder twice(module, "f");
  EXPECT_THAT(Message(twice.Finish()), HasSubstr("has a graph 'f' already"));
}

TEST_F(BuilderTest, ForeignAndMissingTensors) {
  GraphBuilder f(module, "f"), g(module, "g");
  Tensor x = f.Input("x", DType::kF32, {8});
  g.Gelu(x);
  EXPECT_THAT(Message(g.Finish()), HasSubstr("gelu: operand 1 is not a value of graph 'g'"));
  f.Add(x, Tensor{});
  EXPECT_THAT(Message(f.Finish()), HasSubstr("add: operand 2 is not a value of graph 'f'"));
}

TEST_F(BuilderTest, DropoutKeysAreStable) {
  GraphBuilder g(module, "f");
  Tensor x = g.Input("x", DType::kF32, {B, 8});
  EXPECT_EQ(g.Dropout(x, 0, "a").value, x.value);
  EXPECT_TRUE(module.states.empty());
  g.Dropout(x, 0.5, "a");
  g.Dropout(x, 0.5, "b");
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
  ASSERT_EQ(module.states.size(), 1u);
  EXPECT_EQ(module.states[0].type, (Type{DType::kF64, {kScalarCount}}));
  EXPECT_EQ(module.states[0].kind, StateKind::kScalars);
  int64_t key = g.graph().ops[0].attributes.Int("key");
  EXPECT_NE(key, g.graph().ops[1].attributes.Int("key"));
  // FNV-1a of "a" is 0xaf63dc4c8601ec8c; runs of other builds must agree.
  EXPECT_EQ(key, int64_t{(0xaf63dc4c8601ec8c ^ (0xaf63dc4c8601ec8c >> 53)) & 0x1fffffffffffff});
}

TEST_F(BuilderTest, StoresOfTheStatesType) {
  GraphBuilder g(module, "f");
  g.Declare({.name = "w", .type = {DType::kF32, {8}}});
  Tensor x = g.Input("x", DType::kF32, {8});
  g.StoreState("w", x);
  ASSERT_TRUE(g.Finish().ok());
  g.StoreState("w", x);
  EXPECT_THAT(Message(g.Finish()), HasSubstr("it is stored already"));
  GraphBuilder h(module, "h");
  h.StoreState("w", h.Input("x", DType::kF32, {7}));
  EXPECT_THAT(Message(h.Finish()), HasSubstr("the state is f32[8], the value is f32[7]"));
}

TEST_F(BuilderTest, TooLargeInput) {
  GraphBuilder g(module, "f");
  g.Input("x", DType::kF32, {int64_t{1} << 40, int64_t{1} << 40});
  EXPECT_THAT(Message(g.Finish()), HasSubstr("larger than 2^62 bytes"));
}

TEST_F(BuilderTest, AppendsAtAGivenLocation) {
  Graph graph("loose");
  GraphBuilder g(module, graph);
  Tensor x = g.Input("x", DType::kF32, {8});
  g.SetLocation({"model.graph", 7});
  g.Gelu(x);
  g.SetLocation({});
  g.Gelu(x);
  EXPECT_EQ(graph.ops[0].location.Text(), "model.graph:7");
  EXPECT_EQ(graph.ops[1].location.file, "ir/builder_test.cc");
}

}  // namespace
}  // namespace gptc
