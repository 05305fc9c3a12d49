#include <algorithm>
#include <cmath>

#include "passes/testing/random_values.h"
#include "passes/testing/text_cases.h"

namespace gptc {
namespace {

constexpr double kTolerance = 1e-10;

// "" or the first difference.
std::string CompareTensors(const HostTensor& a, const HostTensor& b) {
  if (a.type != b.type) return Cat("is ", TypeText(a.type), " before and ", TypeText(b.type), " after");
  for (size_t i = 0; i < a.data.size(); ++i) {
    double x = a.data[i], y = b.data[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (!std::isfinite(x) || !(std::abs(x - y) <= kTolerance * std::max(1.0, std::abs(x))))
      return Cat("element ", i, " is ", x, " before and ", y, " after");
  }
  return "";
}

struct Run {
  const Module& module;
  const Graph& graph;
  StateMap states;
};

std::string CompareRuns(Run before, Run after, uint64_t seed) {
  auto a = Evaluate(before.module, before.graph, RandomInputs(before.graph, seed), before.states);
  auto b = Evaluate(after.module, after.graph, RandomInputs(after.graph, seed), after.states);
  if (!a.ok() || !b.ok()) return Cat("cannot be evaluated: ", Message(a.ok() ? b.status() : a.status()));
  if (a->size() != b->size()) return "gives another number of outputs";
  for (size_t i = 0; i < a->size(); ++i) {
    if (std::string what = CompareTensors((*a)[i], (*b)[i]); !what.empty())
      return Cat("output ", before.graph.outputs[i].name, " ", what);
  }
  for (const State& state : before.module.states) {
    auto there = after.states.find(state.name);
    if (there == after.states.end()) continue;
    if (std::string what = CompareTensors(before.states[state.name], there->second); !what.empty())
      return Cat("state ", state.name, " ", what);
  }
  return "";
}

}  // namespace

std::string CompareMeaning(const Module& before, const Module& after) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const Graph& graph : after.graphs) {
      StateMap states = RandomStates(after, seed), old_states = RandomStates(before, seed);
      const Graph* old = before.FindGraph(graph.name);
      if (old == nullptr && graph.name.starts_with("micro_step.")) {
        old = before.FindGraph("micro_step");
        bool overwrites = graph.name.ends_with(".first") || graph.name.ends_with(".only");
        for (const State& state : before.states) {
          if (!overwrites || state.kind != StateKind::kGradient) continue;
          std::fill(old_states[state.name].data.begin(), old_states[state.name].data.end(), 0.0);
        }
      }
      if (old == nullptr) continue;
      std::string what = CompareRuns({before, *old, std::move(old_states)}, {after, graph, std::move(states)}, seed);
      if (!what.empty()) return Cat("graph ", graph.name, ": ", what);
    }
  }
  return "";
}

}  // namespace gptc
