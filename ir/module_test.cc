#include "ir/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/builder.h"

namespace gptc {
namespace {

using testing::HasSubstr;

// slice of a position table to T rows, reshape with symbols.
Module Model() {
  Module module;
  module.dimensions = {{"B"}, {"T"}, {"context", 16}};
  int64_t B = SymbolDim(0), T = SymbolDim(1), context = SymbolDim(2);
  GraphBuilder g(module, "f");
  g.Declare({.name = "wpe", .type = {DType::kF32, {context, 8}}});
  Tensor x = g.Input("x", DType::kF32, {B, T, 8});
  Tensor y = x + g.Name(g.Slice(g.State("wpe"), 0, 0, T), "positions");
  g.Return("y", g.Reshape(y, {B, T, 2, 4}));
  EXPECT_TRUE(g.Finish().ok()) << g.Finish();
  return module;
}

TEST(BindDimensions, ReplacesEverySymbol) {
  Module module = Model();
  Status status = BindDimensions(module, {{"B", 3}, {"T", 5}});
  ASSERT_TRUE(status.ok()) << status;
  const Graph& graph = module.graphs[0];
  EXPECT_EQ(module.states[0].type.shape, (Shape{16, 8}));
  EXPECT_EQ(graph.type(graph.outputs[0].value).shape, (Shape{3, 5, 2, 4}));
  EXPECT_EQ(graph.ops[0].attributes.Ints("size"), (Shape{5}));
  EXPECT_EQ(graph.ops.back().attributes.Ints("shape"), (Shape{3, 5, 2, 4}));
  EXPECT_EQ(module.dimensions[0].value, 3);
  EXPECT_TRUE(BindDimensions(module, {}).ok());  // nothing is left to do
}

TEST(BindDimensions, Errors) {
  auto bind = [](std::vector<std::pair<std::string, int64_t>> sizes) {
    Module module = Model();
    return Message(BindDimensions(module, sizes));
  };
  EXPECT_EQ(bind({{"T", 5}}), "dimension B has no size: give --batch");
  EXPECT_EQ(bind({{"B", 5}}), "dimension T has no size: give --seq");
  EXPECT_EQ(bind({{"B", 0}, {"T", 5}}), "dimension B has the size 0, it must be 1 or more");
  EXPECT_EQ(bind({{"contxt", 5}}), "the model has no dimension 'contxt'; did you mean 'context'?");
  EXPECT_THAT(bind({{"width", 5}}), HasSubstr("the model has no dimension 'width'"));
  EXPECT_THAT(bind({{"B", int64_t{1} << 60}, {"T", 16}}), HasSubstr("larger than 2^62 bytes"));
  // What symbols left open shows when they are bound, at the line that wrote it.
  EXPECT_THAT(bind({{"B", 1}, {"T", 17}}),
              testing::MatchesRegex("ir/module_test.cc:[0-9]+: slice: 17 from 0 on exceed axis 0: wpe is \\[16, 8\\]"));
}

TEST(Module, Finds) {
  Module module = Model();
  module.config = {{"layers", int64_t{12}}};
  EXPECT_EQ(module.FindState("wpe"), 0);
  EXPECT_EQ(module.FindState("wte"), -1);
  EXPECT_NE(module.FindGraph("f"), nullptr);
  EXPECT_EQ(module.FindGraph("g"), nullptr);
  EXPECT_EQ(module.FindDimension("context"), 2);
  EXPECT_EQ(*module.FindConfig("layers"), ConfigValue(int64_t{12}));
  EXPECT_EQ(module.FindConfig("heads"), nullptr);
  EXPECT_EQ(module.Symbols(), (std::vector<std::string>{"B", "T", "context"}));
  EXPECT_EQ(NameOf(StateKind::kScalars), "scalars");
}

}  // namespace
}  // namespace gptc
