#include "passes/cse.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

size_t Combine(size_t seed, size_t value) { return seed ^ (value + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2)); }

size_t HashOf(const OpNode& node) {
  size_t hash = static_cast<size_t>(node.op);
  for (Value input : node.inputs) hash = Combine(hash, static_cast<size_t>(input.id));
  for (const auto& [name, value] : node.attributes.items()) {
    std::visit(
        [&]<typename T>(const T& item) {
          if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
            for (int64_t each : item) hash = Combine(hash, static_cast<size_t>(each));
          } else {
            hash = Combine(hash, std::hash<T>()(item));
          }
        },
        value);
  }
  return hash;
}

// Numbers by their bits: 0 and -0 differ in what they divide to.
bool SameValue(const AttributeValue& a, const AttributeValue& b) {
  const auto *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  return x != nullptr && y != nullptr ? std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(*y) : a == b;
}

bool Same(const OpNode& a, const OpNode& b) {
  return a.op == b.op && a.recomputed == b.recomputed && a.inputs == b.inputs &&
         std::equal(a.attributes.items().begin(), a.attributes.items().end(), b.attributes.items().begin(),
                    b.attributes.items().end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && SameValue(x.second, y.second); });
}

}  // namespace

Status EliminateCommonSubexpressions(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    Rewriter rewriter(module, graph);
    absl::flat_hash_map<size_t, std::vector<int>> seen;
    for (OpNode& node : rewriter.TakeOps()) {
      rewriter.ResolveInputs(node);
      std::vector<int>& candidates = seen[HashOf(node)];
      const OpNode* earlier = nullptr;
      for (int index : candidates) {
        if (Same(graph.ops[index], node)) earlier = &graph.ops[index];
      }
      if (earlier == nullptr) {
        candidates.push_back(rewriter.Keep(std::move(node)));
        continue;
      }
      for (size_t r = 0; r < node.results.size(); ++r) rewriter.Replace(node.results[r], earlier->results[r]);
      context.Done(node.location,
                   Cat(graph.name, ": ", NameOf(node.op), " is computed already at ", earlier->location.Text()));
    }
    RETURN_IF_ERROR(rewriter.Finish());
  }
  return OkStatus();
}

}  // namespace gptc
