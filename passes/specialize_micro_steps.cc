#include "passes/specialize_micro_steps.h"

#include <algorithm>

#include "passes/rewriter.h"

namespace gptc {
namespace {

// Stores the addend instead of its sum with the state's old value.
Status Overwrite(Module& module, Graph& graph) {
  for (Store& store : graph.stores) {
    if (module.states[store.state].kind != StateKind::kGradient) continue;
    Value old = graph.FindState(store.state);
    const ValueInfo& info = graph.info(store.value);
    if (info.kind != ValueInfo::Kind::kResult || !old.valid()) continue;
    const OpNode& add = graph.ops[info.producer];
    if (add.op != Op::kAdd || (add.inputs[0] != old && add.inputs[1] != old)) {
      return absl::InternalError(Cat("micro_step: ", module.states[store.state].name, " is not accumulated by an add"));
    }
    store.value = add.inputs[add.inputs[0] == old ? 1 : 0];
  }
  // The adds that nothing reads any longer.
  std::vector<int> uses = graph.UseCounts();
  std::erase_if(graph.ops, [&](const OpNode& node) { return node.op == Op::kAdd && uses[node.results[0].id] == 0; });
  graph.Compact();
  return OkStatus();
}

}  // namespace

Status SpecializeMicroSteps(Module& module, PassContext&) {
  auto at = std::find_if(module.graphs.begin(), module.graphs.end(),
                         [](const Graph& graph) { return graph.name == "micro_step"; });
  if (at == module.graphs.end()) return OkStatus();
  Graph original = std::move(*at);
  size_t place = static_cast<size_t>(at - module.graphs.begin());
  module.graphs.erase(at);
  for (const char* kind : {"only", "last", "middle", "first"}) {
    Graph clone = original;
    clone.name = Cat("micro_step.", kind);
    if (clone.name.ends_with("first") || clone.name.ends_with("only")) RETURN_IF_ERROR(Overwrite(module, clone));
    module.graphs.insert(module.graphs.begin() + place, std::move(clone));
  }
  return OkStatus();
}

}  // namespace gptc
