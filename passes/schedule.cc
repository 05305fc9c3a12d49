#include "passes/schedule.h"

#include <algorithm>

namespace gptc {
namespace {

class Sinker {
 public:
  explicit Sinker(Graph& graph)
      : graph_(graph),
        readers_left_(graph.ops.size()),
        emitted_(graph.ops.size()),
        last_reader_(graph.value_count(), -1) {
    graph.Renumber();
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      for (Value input : graph.ops[i].inputs) {
        last_reader_[input.id] = static_cast<int>(i);
        if (int producer = ProducerOf(input); producer >= 0) ++readers_left_[producer];
      }
    }
    for (const Output& output : graph.outputs) KeepAlive(output.value);
    for (const Store& store : graph.stores) KeepAlive(store.value);
  }

  void Run() {
    for (int i = static_cast<int>(graph_.ops.size()) - 1; i >= 0; --i) {
      if (!emitted_[i] && (readers_left_[i] == 0 || !Sinks(i))) Emit(i);
    }
    std::vector<OpNode> ops;
    for (auto at = order_.rbegin(); at != order_.rend(); ++at) ops.push_back(std::move(graph_.ops[*at]));
    graph_.ops = std::move(ops);
    graph_.Renumber();
  }

 private:
  int ProducerOf(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }

  void KeepAlive(Value value) { last_reader_[value.id] = static_cast<int>(graph_.ops.size()); }

  // An op sinks where what it makes is larger than what it frees.
  bool Sinks(int index) const {
    const OpNode& node = graph_.ops[index];
    int64_t made = 0, freed = 0;
    for (Value result : node.results) made += ByteCount(graph_.type(result));
    for (Value input : node.inputs) {
      if (ProducerOf(input) >= 0 && last_reader_[input.id] == index) freed += ByteCount(graph_.type(input));
    }
    return made > freed && InfoOf(node.op).execution == Execution::kKernel;
  }

  // Emits backwards: an op, then those of its operands' producers that were waiting for this, their first reader.
  void Emit(int index) {
    std::vector<int> stack = {index};
    while (!stack.empty()) {
      int at = stack.back();
      stack.pop_back();
      if (emitted_[at]) continue;
      emitted_[at] = true;
      order_.push_back(at);
      for (Value input : graph_.ops[at].inputs) {
        int producer = ProducerOf(input);
        if (producer >= 0 && --readers_left_[producer] == 0 && !emitted_[producer] && Sinks(producer))
          stack.push_back(producer);
      }
    }
  }

  Graph& graph_;
  std::vector<int> readers_left_;  // operands, not yet emitted, that read the op's results
  std::vector<bool> emitted_;
  std::vector<int> last_reader_;  // by value
  std::vector<int> order_;
};

}  // namespace

Status Schedule(Module& module, PassContext&) {
  for (Graph& graph : module.graphs) Sinker(graph).Run();
  return OkStatus();
}

}  // namespace gptc
