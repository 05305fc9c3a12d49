#include "autodiff/training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "autodiff/finite_differences.h"
#include "ir/base/scalars.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 5, kWidth = 4;

// A tiny language model: the embedding is tied to the output, as in GPT-2. `never` is declared and not read, `aside`
// read only where the loss does not see it.
void BuildModel(Module& module, int64_t batch, int64_t time) {
  module.name = "tiny";
  GraphBuilder g(module, "train");
  const auto parameter = [&](std::string name, Shape shape, bool decay) {
    g.Declare({.name = std::move(name), .type = {DType::kF32, std::move(shape)}, .decay = decay});
  };
  parameter("wte", {kVocabulary, kWidth}, true);
  parameter("w", {kWidth, kWidth}, true);
  parameter("b", {kWidth}, false);
  parameter("never", {3}, false);
  parameter("aside", {kWidth}, false);
  const Tensor tokens = g.Input("tokens", DType::kI32, {batch, time}),
               targets = g.Input("targets", DType::kI32, {batch, time});
  const Tensor wte = g.State("wte");
  const Tensor x = g.Embedding(wte, tokens);
  const Tensor h = g.Tanh(g.Linear(x, g.State("w"), g.State("b"))) + x;
  const Tensor losses = g.CrossEntropy(g.MatMul(h, wte, {.transpose_b = true}), targets, kVocabulary).losses;
  g.Return("loss", g.SumAll(losses));
  const Tensor valid = g.Cast(g.Compare(targets, g.Constant(0, DType::kI32), "ge"), DType::kF32);
  g.Return("count", g.SumAll(valid) + g.SumAll(g.State("aside")) * 0.0);
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
}

StateMap InitialStates(const Module& module) {
  StateMap states;
  std::mt19937 random(5);
  for (const State& state : module.states) {
    states[state.name] =
        state.kind == StateKind::kParameter ? RandomTensor(state.type, random) : HostTensor(state.type);
  }
  if (!states.contains(kScalarsState)) states[kScalarsState] = HostTensor({DType::kF64, {kScalarCount}});
  std::vector<double>& s = states[kScalarsState].data;
  s[kLearningRate] = 0.01;
  s[kBeta1] = 0.9;
  s[kBeta2] = 0.95;
  s[kEpsilon] = 1e-8;
  s[kWeightDecay] = 0.1;
  s[kStep] = 1;
  s[kInverseTokens] = 1;
  s[kLossScale] = 1;
  return states;
}

std::vector<HostTensor> RunGraph(const Module& module, std::string_view graph, const std::vector<HostTensor>& inputs,
                                 StateMap& states) {
  const Graph* found = module.FindGraph(graph);
  EXPECT_NE(found, nullptr);
  auto outputs = Evaluate(module, *found, inputs, states);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *std::move(outputs) : std::vector<HostTensor>(2, HostTensor(Type{}));
}

std::vector<HostTensor> Batch(int64_t batch, int64_t time, std::vector<double> tokens, std::vector<double> targets) {
  const Type type{DType::kI32, {batch, time}};
  return {HostTensor(type, std::move(tokens)), HostTensor(type, std::move(targets))};
}

TEST(BuildTraining, StatesAndGraphs) {
  Module module;
  BuildModel(module, 2, 3);
  const auto remarks = BuildTraining(module);
  ASSERT_TRUE(remarks.ok()) << remarks.status();
  EXPECT_TRUE(Verify(module).ok()) << Verify(module);
  EXPECT_THAT(*remarks, ElementsAre(HasSubstr("'never'"), HasSubstr("'aside'")));

  for (const std::string p : {"wte", "w", "b"}) {
    const Type& type = module.states[module.FindState(p)].type;
    for (const std::string prefix : {"grad.", "m.", "v."}) {
      const int at = module.FindState(prefix + p);
      ASSERT_GE(at, 0) << prefix << p;
      EXPECT_EQ(module.states[at].type, type);
      EXPECT_EQ(module.states[at].of, p);
      EXPECT_EQ(module.states[at].init.kind, InitRule::Kind::kZeros);
      EXPECT_EQ(module.states[at].kind, prefix == "grad." ? StateKind::kGradient : StateKind::kOptimizer);
    }
  }
  EXPECT_LT(module.FindState("grad.never"), 0);
  EXPECT_LT(module.FindState("m.aside"), 0);
  const int scalars = module.FindState(kScalarsState);
  ASSERT_GE(scalars, 0);
  EXPECT_EQ(module.states[scalars].kind, StateKind::kScalars);
  EXPECT_EQ(module.states[scalars].type, (Type{DType::kF64, {kScalarCount}}));

  EXPECT_EQ(module.FindGraph("train"), nullptr);
  ASSERT_NE(module.FindGraph("prepare"), nullptr);
  EXPECT_TRUE(module.FindGraph("prepare")->ops.empty());
  ASSERT_NE(module.FindGraph("update"), nullptr);
  EXPECT_EQ(module.FindGraph("update")->stores.size(), 9u);
  EXPECT_EQ(module.FindGraph("update")->outputs[0].name, "norm");

  // Each store of the micro-step is add(grad.p, dp), right behind the op that makes dp.
  const Graph& step = *module.FindGraph("micro_step");
  EXPECT_EQ(step.inputs.size(), 2u);
  EXPECT_EQ(step.outputs.size(), 2u);
  ASSERT_EQ(step.stores.size(), 3u);
  for (const Store& store : step.stores) {
    const State& state = module.states[store.state];
    EXPECT_EQ(state.kind, StateKind::kGradient);
    const int at = step.info(store.value).producer;
    const OpNode& add = step.ops[at];
    ASSERT_EQ(add.op, Op::kAdd) << state.name;
    EXPECT_EQ(add.inputs[0], step.FindState(store.state));
    EXPECT_EQ(step.info(add.inputs[1]).producer, at - 1) << state.name;
  }
}

// The gradient of the tied embedding is the sum over both of its uses.
TEST(BuildTraining, GradientsAreThoseOfFiniteDifferences) {
  Module module;
  BuildModel(module, 2, 3);
  ASSERT_TRUE(BuildTraining(module).ok());
  StateMap states = InitialStates(module);
  states[kScalarsState].data[kLossScale] = 8;
  const auto inputs = Batch(2, 3, {0, 1, 2, 2, 4, 3}, {1, 2, -1, 4, 3, 0});
  EXPECT_EQ(RunGraph(module, "micro_step", inputs, states)[1].data[0], 5);
  for (const std::string p : {"wte", "w", "b"}) {
    for (size_t i = 0; i < states[p].data.size(); ++i) {
      const auto loss_at = [&](double step) {
        StateMap moved = states;
        moved[p].data[i] += step;
        return RunGraph(module, "micro_step", inputs, moved)[0].data[0];
      };
      EXPECT_NEAR(states["grad." + p].data[i], 8 * (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5, 1e-6) << p << " " << i;
    }
  }
}

TEST(BuildTraining, MicroBatchesAddUpToOneLargeBatch) {
  Module large, small;
  BuildModel(large, 4, 2);
  BuildModel(small, 1, 2);
  ASSERT_TRUE(BuildTraining(large).ok());
  ASSERT_TRUE(BuildTraining(small).ok());
  const std::vector<double> tokens = {0, 1, 2, 2, 4, 3, 1, 0}, targets = {1, 2, -1, 4, -1, -1, 0, 3};
  StateMap at_once = InitialStates(large), in_steps = InitialStates(small);
  const auto whole = RunGraph(large, "micro_step", Batch(4, 2, tokens, targets), at_once);
  double loss = 0, count = 0;
  for (size_t i = 0; i < 8; i += 2) {
    const auto part =
        RunGraph(small, "micro_step", Batch(1, 2, {tokens[i], tokens[i + 1]}, {targets[i], targets[i + 1]}), in_steps);
    loss += part[0].data[0];
    count += part[1].data[0];
  }
  EXPECT_NEAR(loss, whole[0].data[0], 1e-12);
  EXPECT_EQ(count, whole[1].data[0]);
  for (const std::string p : {"grad.wte", "grad.w", "grad.b"}) {
    for (size_t i = 0; i < at_once[p].data.size(); ++i)
      EXPECT_NEAR(at_once[p].data[i], in_steps[p].data[i], 1e-12) << p << " " << i;
  }
}

// Two updates, the first clipped by nothing, against the loop written out.
TEST(BuildTraining, UpdateIsAdamW) {
  Module module;
  BuildModel(module, 2, 3);
  ASSERT_TRUE(BuildTraining(module).ok());
  StateMap states = InitialStates(module);
  std::mt19937 random(9);
  std::vector<double>& s = states[kScalarsState].data;
  s[kInverseTokens] = 1.0 / 5;
  s[kLossScale] = 4;
  for (int step = 1; step <= 2; ++step) {
    s[kStep] = step;
    for (const std::string p : {"wte", "w", "b"}) states["grad." + p] = RandomTensor(states[p].type, random);
    StateMap expected = states;
    double squares = 0;
    for (const std::string p : {"wte", "w", "b"}) {
      for (const double g : states["grad." + p].data) squares += g * g;
    }
    for (const std::string p : {"wte", "w", "b"}) {
      for (size_t i = 0; i < states[p].data.size(); ++i) {
        const double g = states["grad." + p].data[i] / 5 / 4;
        double &m = expected["m." + p].data[i], &v = expected["v." + p].data[i], &w = expected[p].data[i];
        m = 0.9 * m + 0.1 * g;
        v = 0.95 * v + 0.05 * g * g;
        const double m_hat = m / (1 - std::pow(0.9, step)), v_hat = v / (1 - std::pow(0.95, step));
        w -= 0.01 * (m_hat / (std::sqrt(v_hat) + 1e-8) + (p == "b" ? 0 : 0.1) * w);
      }
    }
    EXPECT_NEAR(RunGraph(module, "update", {}, states)[0].data[0], std::sqrt(squares) / 5 / 4, 1e-12);
    for (const std::string p : {"wte", "w", "b"}) {
      for (const std::string prefix : {"", "m.", "v."}) {
        for (size_t i = 0; i < states[p].data.size(); ++i) {
          EXPECT_NEAR(states[prefix + p].data[i], expected[prefix + p].data[i], 1e-10) << prefix << p << " " << i;
        }
      }
    }
  }
}

// The norm that is returned is the one before clipping; loss scaling cancels out of everything.
TEST(BuildTraining, LossScaleCancels) {
  Module module;
  BuildModel(module, 2, 3);
  ASSERT_TRUE(BuildTraining(module).ok());
  const auto inputs = Batch(2, 3, {0, 1, 2, 2, 4, 3}, {1, 2, -1, 4, 3, 0});
  std::vector<StateMap> results;
  std::vector<double> norms;
  for (const double scale : {1.0, 1024.0}) {
    StateMap states = InitialStates(module);
    states[kScalarsState].data[kLossScale] = scale;
    states[kScalarsState].data[kInverseTokens] = 0.2;
    states[kScalarsState].data[kClip] = 0.01;
    RunGraph(module, "micro_step", inputs, states);
    norms.push_back(RunGraph(module, "update", {}, states)[0].data[0]);
    results.push_back(std::move(states));
  }
  EXPECT_NEAR(norms[0], norms[1], 1e-12);
  EXPECT_GT(norms[0], 0.01);
  for (size_t i = 0; i < results[0]["wte"].data.size(); ++i) {
    EXPECT_NEAR(results[0]["wte"].data[i], results[1]["wte"].data[i], 1e-12);
  }
}

TEST(BuildTraining, OtherGraphsStay) {
  Module module;
  BuildModel(module, 1, 2);
  {
    GraphBuilder g(module, "score");
    g.Return("y", g.State("w"));
    ASSERT_TRUE(g.Finish().ok());
  }
  ASSERT_TRUE(BuildTraining(module).ok());
  ASSERT_NE(module.FindGraph("score"), nullptr);
  EXPECT_EQ(module.FindGraph("score")->outputs.size(), 1u);
}

TEST(BuildTraining, ErrorsLeaveTheModule) {
  const auto message = [](Module& module) {
    const size_t states = module.states.size(), graphs = module.graphs.size();
    const auto remarks = BuildTraining(module);
    EXPECT_FALSE(remarks.ok());
    EXPECT_EQ(module.states.size(), states);
    EXPECT_EQ(module.graphs.size(), graphs);
    return remarks.ok() ? "" : Message(remarks.status());
  };
  Module none;
  none.name = "empty";
  EXPECT_THAT(message(none), HasSubstr("model empty has no graph 'train'"));

  Module one_output;
  BuildModel(one_output, 1, 2);
  one_output.FindGraph("train")->outputs.pop_back();
  EXPECT_THAT(message(one_output), HasSubstr("returns 1 values; it must return two"));

  Module swapped;
  BuildModel(swapped, 1, 2);
  swapped.FindGraph("train")->outputs[0].value = swapped.FindGraph("train")->inputs[0];
  EXPECT_THAT(message(swapped), HasSubstr("%loss is i32[1, 2]"));

  Module taken;
  BuildModel(taken, 1, 2);
  taken.states.push_back({.name = "m.w", .type = {DType::kF32, {1}}});
  EXPECT_THAT(message(taken), HasSubstr("already has a state 'm.w'"));
  EXPECT_NE(taken.FindGraph("train"), nullptr);

  Module scalars;
  BuildModel(scalars, 1, 2);
  scalars.states.push_back({.name = kScalarsState, .type = {DType::kF32, {1}}});
  EXPECT_THAT(message(scalars), HasSubstr("state 'scalars' is f32[1], of kind parameter"));

  Module prepared;
  BuildModel(prepared, 1, 2);
  GraphBuilder(prepared, "update");
  EXPECT_THAT(message(prepared), HasSubstr("already has a graph 'update'"));

  Module constant;
  {
    GraphBuilder g(constant, "train");
    const Tensor loss = g.Constant(1);
    g.Return("loss", loss);
    g.Return("count", loss);
  }
  EXPECT_THAT(message(constant), HasSubstr("depends on no parameter"));
}

}  // namespace
}  // namespace gptc
