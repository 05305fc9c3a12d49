// Each invariant, broken once.
#include "ir/verifier.h"

#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "ir/parser.h"

namespace gptc {
namespace {

constexpr char kText[] = R"(module m {
  config { layers = 1, heads = 2 }
  dim B, T
  param w: f32[4, 4] rows 3 init zeros
  state m.w: f32[4, 4] optimizer of w
  graph g(x: f32[B, 4], y: f32[B, 4]) {
    %a: f32[B, 4] @64 = linear x, w at a.cc:7
    %b: f32[B, 4] = gelu %a
    %c: f32[B, 2], %d: f32[B, 2] = split %b {axis = 1, parts = 2}
    return a = %a, c = %c
    store w = w, m.w = w
  }
  graph h() {
  }
}
)";

// The verifier's words after `damage`.
std::string After(const std::function<void(Module&, Graph&)>& damage) {
  StatusOr<Module> module = ParseModule(kText, "m.graph");
  EXPECT_TRUE(module.ok()) << Message(module.status());
  damage(*module, module->graphs[0]);
  Status status = Verify(*module);
  if (status.ok()) return "ok";
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return Message(status);
}

TEST(Verifier, AcceptsTheSample) {
  EXPECT_EQ(After([](Module&, Graph&) {}), "ok");
}

TEST(Verifier, ModuleInvariants) {
  using M = Module;
  using G = Graph;
  EXPECT_EQ(After([](M& m, G&) { m.name = std::string("a b"); }),
            "the module's name \"a b\" cannot be held by the text form");
  EXPECT_EQ(After([](M& m, G&) { m.config[1].first = std::string("layers"); }),
            "two of the name layers (configuration key)");
  EXPECT_EQ(After([](M& m, G&) { m.dimensions[1].name = std::string("B"); }), "two of the name B (dimension)");
  EXPECT_EQ(After([](M& m, G&) { m.dimensions[1].value = 0; }), "dimension T = 0 is not a size of 1 to 2^40");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].name = std::string("w"); }), "two of the name w (state)");
  EXPECT_EQ(After([](M& m, G&) { m.graphs[1].name = std::string("g"); }), "two of the name g (graph)");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].of = std::string("v"); }),
            "state m.w: it belongs to \"v\", which is no parameter");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].of = std::string("m.w"); }),
            "state m.w: it belongs to \"m.w\", which is no parameter");
  EXPECT_EQ(After([](M& m, G&) { m.states[0].logical_rows = 5; }),
            "state w: it has 4 rows, so 5 of them cannot be logical");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].offset = 65; }), "state m.w: offset 65 is not a multiple of 64");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].offset = kMaxBytes; }),
            "state m.w: offset 4611686018427387904 is out of range");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].init.stddev = -1; }),
            "state m.w: its initial standard deviation is negative or not finite");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].type.shape = {SymbolDim(2)}; }),
            "state m.w: dimension 2 is not one of the module's 2");
  EXPECT_EQ(After([](M& m, G&) {
              m.states[1].type.shape = {int64_t{1} << 40, int64_t{1} << 40};
            }),
            "state m.w: its bytes exceed 2^62");
  EXPECT_EQ(After([](M& m, G&) { m.states[1].type.shape = Shape(9, 1); }), "state m.w: it has 9 axes (8 at most)");
  EXPECT_EQ(After([](M& m, G&) {
              m.states[0].names = {{"h f", "x"}};
            }),
            "state w: the format \"h f\" has a name that the text form cannot hold");
}

TEST(Verifier, GraphInvariants) {
  using M = Module;
  using G = Graph;
  const std::string op0 = "graph g: op 0, '%a: f32[B, 4] @64 = linear x, w' (a.cc:7): ";
  EXPECT_EQ(After([](M&, G& g) { g.inputs[1] = Value{99}; }), "graph g: input 1 is no value of the graph");
  EXPECT_EQ(After([](M&, G& g) { std::swap(g.inputs[0], g.inputs[1]); }),
            "graph g: input 0 (y) does not say that it is input 0");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.inputs[1]).name = std::string("x"); }), "graph g: two of the name x (input)");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.inputs[1]).name = std::string("w"); }), op0 + "two of the name w (state)");
  EXPECT_EQ(
      After([](M&, G& g) { g.ops[0].inputs[0] = Value{77}; }),
      "graph g: op 0, '%a: f32[B, 4] @64 = linear <no value 77>, w' (a.cc:7): handle 77 is no value of the graph");
  EXPECT_EQ(After([](M& m, G&) {
              m.states[0].type.shape = {4, 5};
            }),
            op0 + "w, f32[4, 4], reads the state w, f32[4, 5]");
  EXPECT_EQ(After([](M&, G& g) { g.ops[0].inputs.pop_back(); }),
            "graph g: op 0, '%a: f32[B, 4] @64 = linear x' (a.cc:7): linear: takes 2 or 3 operands, not 1");
  EXPECT_EQ(After([](M&, G& g) { g.ops[0].attributes.Set("tanh", true); }),
            "graph g: op 0, '%a: f32[B, 4] @64 = linear x, w {tanh = true}' (a.cc:7): linear has no attribute 'tanh'; "
            "it takes columns, widen");
  EXPECT_EQ(After([](M&, G& g) { g.ops[1].attributes = {}; }),
            "graph g: op 1, '%b: f32[B, 4] = gelu %a' (m.graph:8): its attributes are not complete");
  EXPECT_EQ(After([](M&, G& g) { std::swap(g.ops[0], g.ops[1]); }),
            "graph g: op 0, '%b: f32[B, 4] = gelu %a' (m.graph:8): %a is used before it is defined");
  EXPECT_EQ(After([](M&, G& g) { g.ops.erase(g.ops.begin()); }),
            "graph g: op 0, '%b: f32[B, 4] = gelu %a' (m.graph:8): %a is used before it is defined");
  EXPECT_EQ(After([](M&, G& g) { g.ops.push_back(g.ops[1]); }),
            "graph g: op 3, '%b: f32[B, 4] = gelu %a' (m.graph:8): %b is defined twice");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[0].results[0]).producer = 2; }),
            op0 + "%a says that it is result 0 of op 2");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[1].results[0]).type.shape = {4}; }),
            "graph g: op 1, '%b: f32[4] = gelu %a' (m.graph:8): %b should be f32[B, 4], not f32[4]");
  EXPECT_EQ(
      After([](M&, G& g) { g.ops[2].results.pop_back(); }),
      "graph g: op 2, '%c: f32[B, 2] = split %b {axis = 1, parts = 2}' (m.graph:9): it has 1 results instead of 2");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[1].results[0]).name = std::string("a"); }),
            "graph g: op 1, '%a: f32[B, 4] = gelu %a' (m.graph:8): two values have the name %a");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[1].results[0]).name = std::string("b-1"); }),
            "graph g: op 1, '%b-1: f32[B, 4] = gelu %a' (m.graph:8): the text form cannot hold the name \"b-1\"");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[0].results[0]).offset = -64; }),
            "graph g: op 0, '%a: f32[B, 4] @-64 = linear x, w' (a.cc:7): graph g: value a: offset -64 is negative");
  EXPECT_EQ(
      After([](M&, G& g) { g.info(g.ops[0].results[0]).in_state = 1; }),
      "graph g: op 0, '%a: f32[B, 4] @64 @m.w = linear x, w' (a.cc:7): graph g: value a: it lies in a state's memory "
      "and at an offset");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[1].results[0]).in_state = 7; }),
            "graph g: op 1, '%b: f32[B, 4] @<no state> = gelu %a' (m.graph:8): graph g: value b: it lies in state 7, "
            "which does not exist");
  EXPECT_EQ(After([](M&, G& g) { g.info(g.ops[1].results[0]).in_state = 1; }), "ok");
  EXPECT_EQ(After([](M&, G& g) { g.outputs[1].name = std::string("a"); }), "graph g: two of the name a (output)");
  EXPECT_EQ(After([](M&, G& g) { g.outputs[1].value = Value{}; }),
            "graph g: output c: handle -1 is no value of the graph");
  EXPECT_EQ(After([](M&, G& g) { g.stores[1].state = 0; }), "graph g: two stores to w");
  EXPECT_EQ(After([](M&, G& g) { g.stores[1].state = 2; }), "graph g: a store to state 2 of 2");
  EXPECT_EQ(After([](M&, G& g) { g.stores[1].value = g.inputs[0]; }),
            "graph g: store to m.w: it is f32[4, 4], and x is f32[B, 4]");
}

TEST(Verifier, ValuesThatNothingMentionsAreNoConcern) {
  EXPECT_EQ(After([](Module&, Graph& g) {
              g.ops.pop_back();
              g.outputs.pop_back();
              g.Renumber();
            }),
            "ok");
}

}  // namespace
}  // namespace gptc
