#include "passes/pad_vocabulary.h"

#include <vector>

#include "ir/base/target.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

constexpr int64_t kMultiple = 128;

// The state that a value reads, or -1.
int StateOf(const Graph& graph, Value value) {
  const ValueInfo& info = graph.info(value);
  return info.kind == ValueInfo::Kind::kState ? info.producer : -1;
}

// Whether the op is a product by the transpose of this operand, whose result has the operand's rows as columns.
bool Classifies(const OpNode& node, size_t operand) {
  return node.op == Op::kMatMul && operand == 1 && node.inputs.size() == 2 && node.attributes.Bool("transpose_b");
}

// Parameters [V, C] that products turn into logits of a cross-entropy, and whose rows may be more.
std::vector<bool> Paddable(const Module& module) {
  std::vector<bool> classifier(module.states.size()), refused(module.states.size());
  for (const Graph& graph : module.graphs) {
    std::vector<int> logits_of(graph.value_count(), -1);
    for (const OpNode& node : graph.ops) {
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const int state = StateOf(graph, node.inputs[i]);
        if (state >= 0 && !Classifies(node, i) && !(node.op == Op::kEmbedding && i == 0)) refused[state] = true;
        if (state >= 0 && Classifies(node, i)) logits_of[node.results[0].id] = state;
      }
      const bool loss = node.op == Op::kCrossEntropy || node.op == Op::kCrossEntropyGradient;
      if (loss && logits_of[node.inputs[0].id] >= 0) classifier[logits_of[node.inputs[0].id]] = true;
    }
    for (const Store& store : graph.stores) refused[store.state] = true;
    for (const Output& output : graph.outputs) {
      if (const int state = StateOf(graph, output.value); state >= 0) refused[state] = true;
    }
  }
  for (size_t i = 0; i < classifier.size(); ++i) {
    const State& state = module.states[i];
    classifier[i] = classifier[i] && !refused[i] && state.kind == StateKind::kParameter && state.logical_rows < 0 &&
                    state.type.shape.size() == 2 && state.type.shape[0] > kMultiple &&
                    state.type.shape[0] % kMultiple != 0;
  }
  return classifier;
}

Status PadGraph(Module& module, Graph& graph, const std::vector<bool>& padded) {
  for (int id = 0; id < graph.value_count(); ++id) {
    const int state = StateOf(graph, Value{id});
    if (state >= 0 && padded[state]) graph.info(Value{id}).type = module.states[state].type;
  }
  Rewriter rewriter(module, graph);
  std::vector<Value> whole(graph.value_count());  // of logits as they were: with their padding
  for (OpNode& node : rewriter.TakeOps()) {
    const int state = node.op == Op::kMatMul ? StateOf(graph, node.inputs[1]) : -1;
    if (state >= 0 && padded[state]) {
      GraphBuilder& g = rewriter.BuilderFor(node);
      const Tensor x = rewriter.Wrap(rewriter.Resolve(node.inputs[0])), w = rewriter.Wrap(node.inputs[1]);
      const Tensor logits = g.EmitOne(Op::kMatMul, {x, w}, node.attributes);
      const Type& type = graph.type(node.results[0]);
      whole[node.results[0].id] = logits.value;
      const int axis = static_cast<int>(type.shape.size()) - 1;
      // Of no cost where only the loss reads them: dead then.
      rewriter.Replace(node.results[0], g.Slice(logits, axis, 0, type.shape.back()).value);
      RETURN_IF_ERROR(g.Finish());
      continue;
    }
    const bool loss = node.op == Op::kCrossEntropy || node.op == Op::kCrossEntropyGradient;
    if (loss && whole[node.inputs[0].id].valid()) node.inputs[0] = whole[node.inputs[0].id];
    rewriter.Keep(std::move(node));
  }
  return rewriter.Finish();
}

}  // namespace

Status PadVocabulary(Module& module, PassContext& context) {
  if (!IsCuda(context.options().target)) return OkStatus();
  const std::vector<bool> padded = Paddable(module);
  bool any = false;
  for (size_t i = 0; i < padded.size(); ++i) {
    if (!padded[i]) continue;
    State& state = module.states[i];
    int64_t& rows = state.type.shape[0];
    state.logical_rows = rows;
    rows = (rows + kMultiple - 1) / kMultiple * kMultiple;
    context.Done({}, Cat(state.name, ": ", state.logical_rows, " rows are ", rows, " in the plan"));
    any = true;
  }
  if (!any) return OkStatus();
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(PadGraph(module, graph, padded));
  return OkStatus();
}

}  // namespace gptc
