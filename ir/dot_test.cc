#include "ir/dot.h"

#include <string>

#include "gtest/gtest.h"
#include "ir/parser.h"

namespace gptc {
namespace {

TEST(Dot, DrawsOpsStatesLayersAndStores) {
  StatusOr<Module> module = ParseModule(R"(module m {
    dim B
    param h0.w: f32[4, 4] init zeros
    param h12.w: f32[4, 4] init zeros
    param head: f32[4, 4] init zeros
    graph g(x: f32[B, 4]) {
      %a = linear x, h0.w at a.cc:7
      %b = gelu %a
      %c = linear %b, h12.w
      %d = linear %c, head
      return y = %d
      store h0.w = h12.w
    } })",
                                        "m.graph");
  ASSERT_TRUE(module.ok()) << Message(module.status());
  std::string dot = DotOfGraph(*module, module->graphs[0]);
  auto has = [&](std::string_view part) { return dot.find(part) != std::string::npos; };
  EXPECT_EQ(dot.find("digraph \"g\" {"), 0);
  EXPECT_TRUE(dot.ends_with("}\n"));
  EXPECT_TRUE(has("label = \"linear\\n%a: f32[B, 4]\", tooltip = \"a.cc:7\"")) << dot;
  EXPECT_TRUE(has("shape = ellipse, style = filled, fillcolor = \"#cfd8dc\", label = \"h0.w\\nf32[4, 4]\"")) << dot;
  EXPECT_TRUE(has("op0 -> op1 [label = \"[B, 4]\"];")) << dot;
  EXPECT_TRUE(has("op3 -> out0 [label = \"[B, 4]\"];")) << dot;
  EXPECT_TRUE(has("-> store0 [label = \"[4, 4]\", style = dashed];")) << dot;
  // gelu follows from layer 0; the head belongs to none.
  size_t h0 = dot.find("subgraph cluster_h0 "), h12 = dot.find("subgraph cluster_h12 ");
  ASSERT_NE(h0, std::string::npos);
  ASSERT_NE(h12, std::string::npos);
  EXPECT_LT(dot.find("  op3 ["), h0);
  EXPECT_GT(dot.find("  op1 ["), h0);
  EXPECT_LT(dot.find("  op1 ["), h12);
  EXPECT_GT(dot.find("  op2 ["), h12);
}

TEST(Dot, EscapesLabels) {
  StatusOr<Module> module =
      ParseModule("module m { graph g(x: f32[4]) { %y = neg x at \"a\\\"b\\\\c\\n\":3 } }", "m.graph");
  ASSERT_TRUE(module.ok()) << Message(module.status());
  EXPECT_NE(DotOfGraph(*module, module->graphs[0]).find(R"(tooltip = "a\"b\\c\n:3")"), std::string::npos)
      << DotOfGraph(*module, module->graphs[0]);
}

}  // namespace
}  // namespace gptc
