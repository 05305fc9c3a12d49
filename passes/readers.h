// Who reads each value of a graph: the question that every pattern asks before it takes a value away.
#ifndef GPTC_PASSES_READERS_H_
#define GPTC_PASSES_READERS_H_

#include <vector>

#include "ir/graph.h"

namespace gptc {

class Readers {
 public:
  static constexpr int kOutput = -1, kStore = -2;

  explicit Readers(const Graph& graph) : of_(graph.value_count()) {
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      for (Value input : graph.ops[i].inputs) of_[input.id].push_back(static_cast<int>(i));
    }
    for (const Output& output : graph.outputs) of_[output.value.id].push_back(kOutput);
    for (const Store& store : graph.stores) of_[store.value.id].push_back(kStore);
  }

  // Indices of ops in order, as often as each reads the value, then kOutput and kStore.
  const std::vector<int>& Of(Value value) const { return of_[value.id]; }

 private:
  std::vector<std::vector<int>> of_;
};

}  // namespace gptc

#endif  // GPTC_PASSES_READERS_H_
