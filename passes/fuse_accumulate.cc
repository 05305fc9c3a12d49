#include "passes/fuse_accumulate.h"

namespace gptc {
namespace {

class Accumulator {
 public:
  explicit Accumulator(Graph& graph) : graph_(graph), uses_(graph.UseCounts()) {}

  // Makes `sum`'s op part of the product of one of its operands; the sum's readers then read the product. Null where
  // neither serves.
  const OpNode* Fuse(OpNode& sum) {
    for (int side = 0; side < 2; ++side) {
      OpNode* product = Accepts(sum.inputs[1 - side], sum.inputs[side]);
      if (product == nullptr) continue;
      product->inputs.push_back(sum.inputs[side]);
      uses_[sum.inputs[1 - side].id] = uses_[sum.results[0].id];
      return product;
    }
    return nullptr;
  }

 private:
  // The op that can take `addend` on top of what gives `value`: the producer of `value`, or of the base that it adds to
  // in turn.
  OpNode* Accepts(Value value, Value addend) {
    while (true) {
      const ValueInfo& info = graph_.info(value);
      if (info.kind != ValueInfo::Kind::kResult || info.producer < 0 || uses_[value.id] != 1) return nullptr;
      OpNode& node = graph_.ops[info.producer];
      const bool adds = node.op == Op::kMatMul || node.op == Op::kEmbeddingBackward ||
                        (node.op == Op::kLinearWeightGradient && info.result_index == 0);
      if (!adds) return nullptr;
      if (graph_.type(value) != graph_.type(addend) || graph_.type(value).dtype != DType::kF32) return nullptr;
      if (node.inputs.size() == 3) {
        value = node.inputs[2];
        continue;
      }
      const ValueInfo& made = graph_.info(addend);
      bool earlier = made.kind != ValueInfo::Kind::kResult || (made.producer >= 0 && made.producer < info.producer);
      return earlier ? &node : nullptr;
    }
  }

  Graph& graph_;
  std::vector<int> uses_;
};

}  // namespace

Status FuseAccumulate(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    graph.Renumber();
    Accumulator accumulator(graph);
    std::vector<Value> moved(graph.value_count());
    auto resolve = [&](Value& value) {
      while (moved[value.id].valid()) value = moved[value.id];
    };
    for (OpNode& node : graph.ops) {
      for (Value& input : node.inputs) resolve(input);
      if (node.op != Op::kAdd || graph.type(node.inputs[0]) != graph.type(node.inputs[1])) continue;
      Value left = node.inputs[0], right = node.inputs[1];
      const OpNode* product = accumulator.Fuse(node);
      if (product == nullptr) continue;
      // The sum's readers now read whichever operand held the product.
      bool addend_is_left = product->inputs.back() == left;
      moved[node.results[0].id] = addend_is_left ? right : left;
      context.Done(node.location,
                   Cat(graph.name, ": added by ", NameOf(product->op), " at ", product->location.Text()));
      node.inputs.clear();  // marks the sum as gone
    }
    std::erase_if(graph.ops, [](const OpNode& node) { return node.op == Op::kAdd && node.inputs.empty(); });
    for (Output& output : graph.outputs) resolve(output.value);
    for (Store& store : graph.stores) resolve(store.value);
    graph.Compact();
  }
  return OkStatus();
}

}  // namespace gptc
