#include "passes/fuse_cross_entropy.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "passes/readers.h"

namespace gptc {
namespace {

struct Pair {
  int forward = -1, backward = -1;
  std::vector<int> moved;  // ops that make the losses' cotangents and stand behind the forward, in order
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph) {}

  // The pair of the cross_entropy graph.ops[forward]; else why() says why not, "" where there is no backward.
  std::optional<Pair> Find(int forward) {
    why_.clear();
    const OpNode& loss = graph_.ops[forward];
    const std::vector<int>& readers = readers_.Of(loss.results[1]);
    const auto is_backward = [&](int reader) {
      return reader >= 0 && graph_.ops[reader].op == Op::kCrossEntropyBackward &&
             graph_.ops[reader].inputs[2] == loss.results[1];
    };
    const auto at = std::find_if(readers.begin(), readers.end(), is_backward);
    if (at == readers.end()) return {};
    if (readers.size() > 1) {
      why_ = Cat("%", graph_.info(loss.results[1]).name, ", the rows' log-sum-exp, has another reader");
      return {};
    }
    const OpNode& gradient = graph_.ops[*at];
    if (gradient.inputs[0] != loss.inputs[0] || gradient.inputs[1] != loss.inputs[1] ||
        gradient.attributes != loss.attributes) {
      why_ = "the backward reads other logits, targets or classes";
      return {};
    }
    Pair pair{forward, *at, {}};
    if (!MakersOf(gradient.inputs[3], forward, pair.moved)) {
      why_ = "the cotangents of the losses depend on the losses";
      return {};
    }
    return pair;
  }
  const std::string& why() const { return why_; }

 private:
  // The ops behind graph.ops[forward] that `value` depends on, in order. False where that op is one of them.
  bool MakersOf(Value value, int forward, std::vector<int>& makers) const {
    std::vector<Value> open = {value};
    while (!open.empty()) {
      const ValueInfo& info = graph_.info(open.back());
      open.pop_back();
      if (info.kind != ValueInfo::Kind::kResult || info.producer < forward) continue;
      if (info.producer == forward) return false;
      const auto at = std::lower_bound(makers.begin(), makers.end(), info.producer);
      if (at != makers.end() && *at == info.producer) continue;
      makers.insert(at, info.producer);
      const std::vector<Value>& inputs = graph_.ops[info.producer].inputs;
      open.insert(open.end(), inputs.begin(), inputs.end());
    }
    return true;
  }

  const Graph& graph_;
  Readers readers_;
  std::string why_;
};

// The forward's op becomes both; its place and its name for the gradient stay.
void Merge(Graph& graph, const Pair& pair) {
  OpNode& loss = graph.ops[pair.forward];
  const OpNode& gradient = graph.ops[pair.backward];
  loss.op = Op::kCrossEntropyGradient;
  loss.inputs = {loss.inputs[0], loss.inputs[1], gradient.inputs[3]};
  loss.results = {loss.results[0], gradient.results[0]};
  std::vector<OpNode> ordered;
  ordered.reserve(graph.ops.size());
  const auto take = [&](int i) { ordered.push_back(std::move(graph.ops[i])); };
  for (int i = 0; i < pair.forward; ++i) take(i);
  for (int i : pair.moved) take(i);
  for (int i = pair.forward; i < static_cast<int>(graph.ops.size()); ++i) {
    if (i != pair.backward && !std::binary_search(pair.moved.begin(), pair.moved.end(), i)) take(i);
  }
  graph.ops = std::move(ordered);
  graph.Renumber();
}

}  // namespace

Status FuseCrossEntropy(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    graph.Renumber();
    bool changed = false;
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      if (graph.ops[i].op != Op::kCrossEntropy) continue;
      Finder finder(graph);
      const std::optional<Pair> pair = finder.Find(static_cast<int>(i));
      const Location location = graph.ops[i].location;
      if (pair) {
        const Type logits = graph.type(graph.ops[i].inputs[0]);
        Merge(graph, *pair);
        i += pair->moved.size();
        changed = true;
        context.Done(location, Cat(graph.name, ": loss and gradient in one reading of the logits ", TypeText(logits)));
      } else if (!finder.why().empty()) {
        context.Missed(location, Cat(graph.name, ": not fused: ", finder.why()));
      }
    }
    if (changed) graph.Compact();
  }
  return OkStatus();
}

}  // namespace gptc
