#include "passes/pad_vocabulary.h"

#include <algorithm>
#include <map>

#include "ir/base/target.h"
#include "passes/readers.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

constexpr int64_t kMultiple = 128;

bool IsClassifier(const OpNode& node, Value weight) {
  return node.op == Op::kMatMul && node.inputs.size() == 2 && node.inputs[1] == weight && node.inputs[0] != weight &&
         node.attributes.Bool("transpose_b");
}

// A reshape in which rows stay rows.
bool KeepsRows(const Graph& graph, const OpNode& node) {
  if (node.op != Op::kReshape) return false;
  const Shape &from = graph.type(node.inputs[0]).shape, &to = graph.type(node.results[0]).shape;
  return !from.empty() && !to.empty() && from.back() == to.back();
}

// Whether the loss is taken of these rows.
bool AreLogits(const Graph& graph, const Readers& readers, Value value) {
  return std::any_of(readers.Of(value).begin(), readers.Of(value).end(), [&](int reader) {
    if (reader < 0) return false;
    const OpNode& node = graph.ops[reader];
    if (node.op == Op::kCrossEntropy) return node.inputs[0] == value;
    return KeepsRows(graph, node) && AreLogits(graph, readers, node.results[0]);
  });
}

// The product of the loss's logits with state `parameter`, and its graph; null where there is none.
const OpNode* FindClassifier(const Module& module, int parameter, const Graph*& of) {
  for (const Graph& graph : module.graphs) {
    const Value weight = graph.FindState(parameter);
    if (!weight.valid()) continue;
    const Readers readers(graph);
    for (const OpNode& node : graph.ops) {
      if (!IsClassifier(node, weight) || !AreLogits(graph, readers, node.results[0])) continue;
      of = &graph;
      return &node;
    }
  }
  return nullptr;
}

// Why the parameter cannot be padded; "" where it can.
std::string WhyNot(const Module& module, int parameter) {
  for (const State& state : module.states) {
    if (state.of == module.states[parameter].name) return Cat("its state ", state.name, " has a shape already");
  }
  for (const Graph& graph : module.graphs) {
    if (std::any_of(graph.stores.begin(), graph.stores.end(), [&](const Store& s) { return s.state == parameter; }))
      return Cat(graph.name, " stores it");
  }
  return "";
}

// One graph, once the parameter has its new shape.
class PaddedGraph {
 public:
  PaddedGraph(Module& module, Graph& graph, Value weight, int64_t rows)
      : graph_(graph), weight_(weight), rows_(rows), rewriter_(module, graph) {}

  Status Run(const Type& type) {
    graph_.info(weight_).type = type;
    const int64_t padded = type.shape[0];
    wide_[weight_.id] = 0;
    for (OpNode& node : rewriter_.TakeOps()) {
      const bool classifier = IsClassifier(node, weight_);
      const bool embedding = node.op == Op::kEmbedding && node.inputs[0] == weight_;
      const bool logits = !node.inputs.empty() && node.inputs[0] != weight_ && wide_.contains(node.inputs[0].id);
      const bool loss = logits && node.op == Op::kCrossEntropy, reshape = logits && KeepsRows(node);
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const bool takes_wide = classifier ? i == 1 : (embedding || loss || reshape) && i == 0;
        if (!takes_wide) node.inputs[i] = Narrow(node, node.inputs[i]);
      }
      if (classifier || reshape) {
        Type& result = graph_.info(node.results[0]).type;
        result.shape.back() = padded;
        if (reshape) node.attributes.Set("shape", result.shape);
        wide_[node.results[0].id] = static_cast<int64_t>(result.shape.size()) - 1;
      }
      rewriter_.Keep(std::move(node));
    }
    for (Output& output : graph_.outputs) output.value = NarrowAtEnd(output.value);
    for (Store& store : graph_.stores) store.value = NarrowAtEnd(store.value);
    return rewriter_.Finish();
  }

 private:
  bool KeepsRows(const OpNode& node) const {
    const Shape& to = graph_.type(node.results[0]).shape;
    return node.op == Op::kReshape && !to.empty() && to.back() == rows_;
  }
  // What a reader sees who knows nothing of the padding.
  Value Narrow(const OpNode& reader, Value value) {
    const auto axis = wide_.find(value.id);
    if (axis == wide_.end()) return value;
    Value& narrow = narrow_[value.id];
    if (!narrow.valid())
      narrow = rewriter_.BuilderFor(reader).Slice(rewriter_.Wrap(value), axis->second, 0, rows_).value;
    return narrow;
  }
  Value NarrowAtEnd(Value value) {
    const OpNode* producer = rewriter_.Producer(value);
    return Narrow(producer != nullptr ? OpNode(*producer) : OpNode{}, value);
  }

  Graph& graph_;
  const Value weight_;
  const int64_t rows_;
  Rewriter rewriter_;
  std::map<int, int64_t> wide_;  // the padded axis, by value
  std::map<int, Value> narrow_;  // slices, by what they are of
};

// Classifiers that lie the other way round, for whoever wonders.
void RemarkOthers(const Module& module, PassContext& context) {
  for (const Graph& graph : module.graphs) {
    const Readers readers(graph);
    for (const OpNode& node : graph.ops) {
      if (node.op != Op::kLinear || !AreLogits(graph, readers, node.results[0])) continue;
      const int64_t classes = graph.type(node.results[0]).shape.back();
      if (classes % kMultiple == 0) continue;
      context.Missed(node.location,
                     Cat(graph.name, ": ", classes, " classes are not padded: their weights are columns"));
    }
  }
}

}  // namespace

Status PadVocabulary(Module& module, PassContext& context) {
  if (!IsCuda(context.options().target)) return OkStatus();
  for (Graph& graph : module.graphs) graph.Renumber();
  for (int i = 0; i < static_cast<int>(module.states.size()); ++i) {
    State& state = module.states[i];
    if (state.kind != StateKind::kParameter || state.type.shape.size() != 2 || state.logical_rows != -1) continue;
    const int64_t rows = state.type.shape[0];
    if (rows % kMultiple == 0) continue;
    const Graph* of = nullptr;
    const OpNode* const classifier = FindClassifier(module, i, of);
    if (classifier == nullptr) continue;
    const Location location = classifier->location;
    const std::string name = of->name;
    if (const std::string why = WhyNot(module, i); !why.empty()) {
      context.Missed(location, Cat(name, ": ", state.name, " is not padded: ", why));
      continue;
    }
    state.logical_rows = rows;
    state.type.shape[0] = (rows + kMultiple - 1) / kMultiple * kMultiple;
    for (Graph& graph : module.graphs) {
      const Value weight = graph.FindState(i);
      if (weight.valid()) RETURN_IF_ERROR(PaddedGraph(module, graph, weight, rows).Run(state.type));
    }
    context.Done(location,
                 Cat(name, ": ", state.name, " and its logits are padded from ", rows, " to ", state.type.shape[0]));
  }
  RemarkOthers(module, context);
  return OkStatus();
}

}  // namespace gptc
