#include "passes/derived_states.h"

#include <algorithm>
#include <utility>

#include "passes/rewriter.h"

namespace gptc {
namespace {

constexpr const char* kPrepare = "prepare";

Status Refresh(Module& module, Graph& graph, const std::vector<DerivedState>& derived) {
  std::vector<Value> stored(module.states.size());
  for (const Store& store : graph.stores) stored[store.state] = store.value;
  std::vector<std::vector<const DerivedState*>> of_value(graph.value_count());
  bool any = false;
  for (const DerivedState& each : derived) {
    if (!stored[each.parameter].valid()) continue;
    of_value[stored[each.parameter].id].push_back(&each);
    any = true;
  }
  if (!any) return OkStatus();
  Rewriter rewriter(module, graph);
  const auto refresh = [&](GraphBuilder& g, Value value) {
    if (value.id >= static_cast<int>(of_value.size())) return;
    for (const DerivedState* each : std::exchange(of_value[value.id], {})) {
      g.StoreState(module.states[each->state].name, each->make(g, rewriter.Wrap(value)));
    }
  };
  for (OpNode& node : rewriter.TakeOps()) {
    const std::vector<Value> results = node.results;
    GraphBuilder& g = rewriter.BuilderFor(node);
    rewriter.Keep(std::move(node));
    for (const Value result : results) refresh(g, result);
  }
  // Inputs and other states, stored as they are.
  for (size_t id = 0; id < of_value.size(); ++id) {
    refresh(rewriter.BuilderFor(OpNode{}), Value{static_cast<int32_t>(id)});
  }
  return rewriter.Finish();
}

}  // namespace

Status KeepDerived(Module& module, const std::vector<DerivedState>& derived) {
  if (derived.empty()) return OkStatus();
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(Refresh(module, graph, derived));
  if (module.FindGraph(kPrepare) == nullptr) RETURN_IF_ERROR(GraphBuilder(module, kPrepare).Finish());
  Graph& prepare = *module.FindGraph(kPrepare);
  std::vector<bool> stored(module.states.size());  // where it stores the parameter, Refresh has seen to it
  for (const Store& store : prepare.stores) stored[store.state] = true;
  GraphBuilder g(module, prepare);
  for (const DerivedState& each : derived) {
    if (stored[each.state]) continue;
    g.SetLocation(each.location);
    g.StoreState(module.states[each.state].name, each.make(g, g.State(module.states[each.parameter].name)));
  }
  return g.Finish();
}

Status DropUnreadDerived(Module& module) {
  std::vector<bool> unread(module.states.size());
  for (size_t i = 0; i < module.states.size(); ++i) unread[i] = module.states[i].kind == StateKind::kDerived;
  for (Graph& graph : module.graphs) {
    for (const OpNode& node : graph.ops) {
      for (const Value input : node.inputs) {
        const ValueInfo& info = graph.info(input);
        if (info.kind == ValueInfo::Kind::kState) unread[info.producer] = false;
      }
    }
    for (const Output& output : graph.outputs) {
      const ValueInfo& info = graph.info(output.value);
      if (info.kind == ValueInfo::Kind::kState) unread[info.producer] = false;
    }
  }
  if (std::find(unread.begin(), unread.end(), true) == unread.end()) return OkStatus();
  // What made them goes too, if nothing else reads it.
  for (Graph& graph : module.graphs) {
    std::vector<Value> dropped;
    for (const Store& store : graph.stores) {
      if (unread[store.state]) dropped.push_back(store.value);
    }
    std::erase_if(graph.stores, [&](const Store& store) { return unread[store.state]; });
    const std::vector<int> uses = graph.UseCounts();
    std::erase_if(graph.ops, [&](const OpNode& node) {
      return node.results.size() == 1 && uses[node.results[0].id] == 0 &&
             std::find(dropped.begin(), dropped.end(), node.results[0]) != dropped.end();
    });
  }
  RemoveStates(module, unread);
  return OkStatus();
}

}  // namespace gptc
