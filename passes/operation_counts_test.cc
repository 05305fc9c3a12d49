#include "passes/operation_counts.h"

#include <gtest/gtest.h>

#include "ir/parser.h"

namespace gptc {
namespace {

// The count of the last op of a graph with this body.
OperationCount CountLast(const std::string& inputs, const std::string& body) {
  auto module =
      ParseModule(Cat("module t { state scalars: f64[11] scalars graph f(", inputs, ") { ", body, " } }"), "t.graph");
  EXPECT_TRUE(module.ok()) << Message(module.status());
  if (!module.ok()) return {};
  const Graph& graph = module->graphs[0];
  return CountOperations(graph, graph.ops.back());
}

TEST(OperationCounts, Products) {
  OperationCount count = CountLast("a: f32[5, 4, 3], b: f32[3, 2]", "%y = matmul a, b");
  EXPECT_EQ(count.flops, 2 * 5 * 4 * 3 * 2);
  EXPECT_EQ(count.bytes, 4 * (5 * 4 * 3 + 3 * 2 + 5 * 4 * 2));
  EXPECT_EQ(CountLast("a: f32[3, 4], b: f32[3, 2]", "%y = matmul a, b {transpose_a}").flops, 2 * 4 * 3 * 2);
  EXPECT_EQ(CountLast("a: f32[4, 3], b: f32[2, 3]", "%y = matmul a, b {transpose_b}").flops, 2 * 4 * 3 * 2);
  EXPECT_EQ(CountLast("a: f32[4, 3], b: f32[3, 2], c: f32[4, 2]", "%y = matmul a, b, c").flops, 2 * 4 * 3 * 2 + 4 * 2);
  EXPECT_EQ(CountLast("x: f32[2, 4, 3], w: f32[3, 7]", "%y = linear x, w").flops, 2 * 8 * 3 * 7);
  EXPECT_EQ(CountLast("x: f32[2, 4, 3], w: f32[3, 7], b: f32[7]", "%y = linear x, w, b").flops, 2 * 8 * 3 * 7 + 8 * 7);
  EXPECT_EQ(CountLast("x: f32[8, 3], dy: f32[8, 7]", "%dw, %db = linear_weight_gradient x, dy").flops,
            2 * 8 * 3 * 7 + 8 * 7);
}

TEST(OperationCounts, MovementAndViewsComputeNothing) {
  EXPECT_EQ(CountLast("x: f32[4, 3]", "%y = transpose x {permutation = [1, 0]}").flops, 0);
  EXPECT_EQ(CountLast("x: f32[4, 3]", "%y = transpose x {permutation = [1, 0]}").bytes, 2 * 48);
  EXPECT_EQ(CountLast("x: f32[4, 3]", "%y = reshape x {shape = [12]}").bytes, 0);
  EXPECT_EQ(CountLast("x: f32[4, 3]", "%y = copy x").flops, 0);
}

TEST(OperationCounts, ALookUpReadsItsRowsAlone) {
  OperationCount count = CountLast("table: f32[50000, 8], ids: i32[3]", "%y = embedding table, ids");
  EXPECT_EQ(count.flops, 0);
  EXPECT_EQ(count.bytes, 4 * (3 * 8 + 3 * 8 + 3));
}

TEST(OperationCounts, AccumulatingIntoATableTouchesItsRowsAlone) {
  OperationCount count = CountLast("ids: i32[3], dy: f32[3, 8], table: f32[50000, 8]",
                                   "%y = embedding_backward ids, dy, table {rows = 50000}");
  EXPECT_EQ(count.bytes, 4 * (3 + 3 * 8 + 2 * 3 * 8));
  EXPECT_EQ(CountLast("x: f32[100, 8]", "%y = slice x {axis = 0, start = 0, size = [4]}").bytes, 4 * 2 * 4 * 8);
}

TEST(OperationCounts, ElementwiseAndReductionsGoOverTheirLargestOperand) {
  EXPECT_EQ(CountLast("a: f32[4, 3], b: f32[3]", "%y = add a, b").flops, 12);
  EXPECT_EQ(CountLast("a: f32[4, 3]", "%y = sum a {axes = [0, 1]}").flops, 12);
  EXPECT_EQ(CountLast("a: f32[4, 3], b: f32[5]", "%y = global_norm a, b").flops, 2 * 17);
  EXPECT_EQ(CountLast("a: f32[4, 4]", "%y = softmax a {causal}").flops * 2,
            CountLast("a: f32[4, 4]", "%y = softmax a").flops);
}

TEST(OperationCounts, AFusedOpIsTheSumOfItsOpsAndMovesItsOperandsAndResults) {
  OperationCount count =
      CountLast("x: f32[4, 3], b: f32[3]",
                "%y = fused x, b {region = \"t0 = constant {value = 2}; t1 = mul a0, t0; t2 = add t1, a1; "
                "t3 = sum t2 {axes = [1], keep = true}; t4 = rsqrt t3; return t4\"}");
  EXPECT_EQ(count.flops, 3 * 12 + 4);
  EXPECT_EQ(count.bytes, 4 * (12 + 3 + 4));
}

}  // namespace
}  // namespace gptc
