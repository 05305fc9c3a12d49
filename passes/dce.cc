#include "passes/dce.h"

#include <algorithm>

namespace gptc {

Status EliminateDeadCode(Module& module, PassContext&) {
  for (Graph& graph : module.graphs) {
    std::vector<bool> live(graph.value_count());
    for (const Output& output : graph.outputs) live[output.value.id] = true;
    for (const Store& store : graph.stores) live[store.value.id] = true;
    std::vector<OpNode> kept;
    for (auto node = graph.ops.rbegin(); node != graph.ops.rend(); ++node) {
      if (std::none_of(node->results.begin(), node->results.end(), [&](Value result) { return live[result.id]; }))
        continue;
      for (Value input : node->inputs) live[input.id] = true;
      kept.push_back(std::move(*node));
    }
    std::reverse(kept.begin(), kept.end());
    graph.ops = std::move(kept);
    graph.Compact();
  }
  return OkStatus();
}

}  // namespace gptc
