#include <algorithm>
#include <cmath>

#include "passes/testing/random_values.h"
#include "passes/testing/text_cases.h"

namespace gptc {
namespace {

constexpr double kTolerance = 1e-10;

// "" or the first difference.
std::string CompareTensors(const HostTensor& a, const HostTensor& b) {
  // In exact mode a state or an output of another float type holds the same numbers.
  if (a.type.shape != b.type.shape || IsFloat(a.type.dtype) != IsFloat(b.type.dtype))
    return Cat("is ", TypeText(a.type), " before and ", TypeText(b.type), " after");
  for (size_t i = 0; i < a.data.size(); ++i) {
    double x = a.data[i], y = b.data[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (!std::isfinite(x) || !(std::abs(x - y) <= kTolerance * std::max(1.0, std::abs(x))))
      return Cat("element ", i, " is ", x, " before and ", y, " after");
  }
  return "";
}

// Makes the derived states anew. "" or what went wrong.
std::string Prepare(const Module& module, StateMap& states) {
  const Graph* prepare = module.FindGraph("prepare");
  if (prepare == nullptr) return "";
  auto ran = Evaluate(module, *prepare, {}, states);
  return ran.ok() ? "" : Cat("graph prepare cannot be evaluated: ", Message(ran.status()));
}

// Whether `padded` is a state of this shape with rows of zeros behind it.
bool IsPadded(const Module& module, std::string_view name, const HostTensor& padded, const Shape& shape) {
  const int index = module.FindState(name);
  if (index < 0 || module.states[index].logical_rows < 0 || padded.type.shape == shape) return false;
  Shape logical = padded.type.shape;
  logical[0] = module.states[index].logical_rows;
  return logical == shape;
}

// The states of `after` that stand for those of `before`: the same numbers where both have one, whatever its type.
StateMap SameStates(const Module& after, uint64_t seed, const StateMap& before) {
  StateMap states = RandomStates(after, seed);
  for (auto& [name, state] : states) {
    auto there = before.find(name);
    if (there == before.end()) continue;
    if (there->second.type.shape == state.type.shape) {
      state.data = there->second.data;
    } else if (IsPadded(after, name, state, there->second.type.shape)) {
      std::fill(std::copy(there->second.data.begin(), there->second.data.end(), state.data.begin()), state.data.end(),
                0.0);
    }
  }
  return states;
}

// The same of a state that may be padded after.
std::string CompareState(const Module& after, std::string_view name, const HostTensor& a, const HostTensor& b) {
  if (!IsPadded(after, name, b, a.type.shape)) return CompareTensors(a, b);
  const auto padding = b.data.begin() + static_cast<std::ptrdiff_t>(a.data.size());
  if (std::any_of(padding, b.data.end(), [](double x) { return x != 0; })) return "has padding that is not 0 after";
  HostTensor logical = a;
  std::copy(b.data.begin(), padding, logical.data.begin());
  return CompareTensors(a, logical);
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
    if (std::string what = CompareState(after.module, state.name, before.states[state.name], there->second);
        !what.empty())
      return Cat("state ", state.name, " ", what);
  }
  // Whoever changes a parameter changes what is derived from it.
  StateMap prepared = after.states;
  if (std::string what = Prepare(after.module, prepared); !what.empty()) return what;
  for (const State& state : after.module.states) {
    if (state.kind != StateKind::kDerived) continue;
    if (std::string what = CompareTensors(prepared[state.name], after.states[state.name]); !what.empty())
      return Cat("derived state ", state.name, ", prepared and left, ", what);
  }
  return "";
}

}  // namespace

std::string CompareMeaning(const Module& before, const Module& after) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const Graph& graph : after.graphs) {
      StateMap old_states = RandomStates(before, seed);
      if (std::string what = Prepare(before, old_states); !what.empty()) return what;
      StateMap states = SameStates(after, seed, old_states);
      if (std::string what = Prepare(after, states); !what.empty()) return what;
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
