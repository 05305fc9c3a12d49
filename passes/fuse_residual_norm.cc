#include "passes/fuse_residual_norm.h"

#include <algorithm>

#include "passes/rewriter.h"

namespace gptc {
namespace {

bool IsNorm(Op op) { return op == Op::kLayerNorm || op == Op::kRmsNorm; }
bool IsNormBackward(Op op) { return op == Op::kLayerNormBackward || op == Op::kRmsNormBackward; }

// What becomes of the ops of one graph, found before it is taken apart. All indices are of ops.
struct Findings {
  std::vector<int> norm_of;  // of an addition: the norm that takes it; -1: none
  std::vector<int> sum_of;   // of a norm's backward: the addition that it takes; -1: none
  std::vector<bool> gone;    // part of another op
};

class Finder {
 public:
  Finder(const Module& module, const Graph& graph, PassContext& context)
      : module_(module),
        graph_(graph),
        context_(context),
        uses_(graph.UseCounts()),
        single_reader_(graph.value_count(), -1) {
    const size_t count = graph.ops.size();
    found_ = {std::vector<int>(count, -1), std::vector<int>(count, -1), std::vector<bool>(count)};
    for (size_t i = 0; i < count; ++i) {
      for (Value input : graph.ops[i].inputs) single_reader_[input.id] = static_cast<int>(i);
    }
  }

  Findings Run() {
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      if (IsNorm(graph_.ops[i].op)) Forward(i);
      if (IsNormBackward(graph_.ops[i].op)) Backward(i);
    }
    return std::move(found_);
  }

 private:
  int ProducerOf(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }
  bool AddsLikes(const OpNode& node) const {
    return node.op == Op::kAdd && graph_.type(node.inputs[0]) == graph_.type(node.inputs[1]);
  }
  // specialize_micro_steps looks for it.
  bool AddsToGradient(const OpNode& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](Value input) {
      const ValueInfo& info = graph_.info(input);
      return info.kind == ValueInfo::Kind::kState && module_.states[info.producer].kind == StateKind::kGradient;
    });
  }
  void Missed(const OpNode& node, const OpNode& sum, std::string_view why) {
    context_.Missed(node.location, Cat(graph_.name, ": ", NameOf(node.op), " does not take the addition at ",
                                       sum.location.Text(), ": ", why));
  }

  void Forward(int norm) {
    const OpNode& node = graph_.ops[norm];
    const int sum = ProducerOf(node.inputs[0]);
    if (sum < 0 || graph_.ops[sum].op != Op::kAdd || found_.gone[sum] || AddsToGradient(graph_.ops[sum])) return;
    const OpNode& add = graph_.ops[sum];
    const DType dtype = graph_.type(node.inputs[0]).dtype;
    if (!AddsLikes(add)) return Missed(node, add, "it broadcasts");
    if (found_.norm_of[sum] >= 0) return Missed(node, add, "another norm takes it");
    if (dtype != DType::kF32 && dtype != DType::kBF16)
      return Missed(node, add, Cat("no kernel computes in ", NameOf(dtype)));
    for (int i = sum + 1; i < norm; ++i) {
      if (InfoOf(graph_.ops[i].op).execution == Execution::kKernel && !found_.gone[i])
        return Missed(node, add, "it does not follow at once");
    }
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (ProducerOf(node.inputs[i]) > sum) return Missed(node, add, "its weight is made later");
    }
    found_.norm_of[sum] = norm;
    found_.gone[norm] = true;
  }

  void Backward(int norm) {
    const OpNode& node = graph_.ops[norm];
    const Value dx = node.results[0];
    const int sum = single_reader_[dx.id];
    if (sum < 0 || graph_.ops[sum].op != Op::kAdd || AddsToGradient(graph_.ops[sum])) return;
    const OpNode& add = graph_.ops[sum];
    if (node.inputs.size() == InfoOf(node.op).inputs.size()) return;
    if (uses_[dx.id] != 1) return Missed(node, add, "its gradient has another reader");
    if (!AddsLikes(add)) return Missed(node, add, "it broadcasts");
    const Value other = add.inputs[add.inputs[0] == dx ? 1 : 0];
    if (ProducerOf(other) > norm) return Missed(node, add, "what is added is made later");
    found_.sum_of[norm] = sum;
    found_.gone[sum] = true;
  }

  const Module& module_;
  const Graph& graph_;
  PassContext& context_;
  std::vector<int> uses_;
  std::vector<int> single_reader_;  // by value: an op that reads it
  Findings found_;
};

// bf16 that is read through a cast alone: the value before the cast; else the value itself.
Value BeforeCast(Rewriter& rewriter, const Graph& graph, Value value) {
  const OpNode* producer = rewriter.Producer(value);
  if (producer == nullptr || producer->op != Op::kCast) return value;
  return graph.type(producer->inputs[0]).dtype == DType::kBF16 ? producer->inputs[0] : value;
}

void RewriteForward(Rewriter& rewriter, const Graph& graph, OpNode& add, const OpNode& norm) {
  rewriter.ResolveInputs(add);
  Value x = add.inputs[0], r = add.inputs[1];
  if (BeforeCast(rewriter, graph, r) == r) std::swap(x, r);
  if (BeforeCast(rewriter, graph, r) == r) std::swap(x, r);
  std::vector<Tensor> inputs = {rewriter.Wrap(x), rewriter.Wrap(BeforeCast(rewriter, graph, r))};
  for (size_t i = 1; i < norm.inputs.size(); ++i) inputs.push_back(rewriter.Wrap(rewriter.Resolve(norm.inputs[i])));
  GraphBuilder& g = rewriter.BuilderFor(norm);
  const Op op = norm.op == Op::kLayerNorm ? Op::kResidualLayerNorm : Op::kResidualRmsNorm;
  const std::vector<Tensor> results = g.Emit(op, inputs, norm.attributes);
  if (!results[0].valid()) return;
  rewriter.Replace(add.results[0], results[0].value);
  for (size_t i = 0; i < norm.results.size(); ++i) rewriter.Replace(norm.results[i], results[i + 1].value);
}

// Casts that only sums read which took what is before them.
void DropUnreadCasts(Graph& graph) {
  const std::vector<int> uses = graph.UseCounts();
  std::erase_if(graph.ops, [&](const OpNode& node) { return node.op == Op::kCast && uses[node.results[0].id] == 0; });
  graph.Compact();
}

}  // namespace

Status FuseResidualNorm(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    graph.Renumber();
    const Findings found = Finder(module, graph, context).Run();
    Rewriter rewriter(module, graph);
    std::vector<OpNode> ops = rewriter.TakeOps();
    for (size_t i = 0; i < ops.size(); ++i) {
      OpNode& node = ops[i];
      if (found.gone[i]) continue;
      if (const int norm = found.norm_of[i]; norm >= 0) {
        context.Done(ops[norm].location,
                     Cat(graph.name, ": ", NameOf(ops[norm].op), " takes the addition at ", node.location.Text()));
        RewriteForward(rewriter, graph, node, ops[norm]);
      } else if (const int sum = found.sum_of[i]; sum >= 0) {
        const OpNode& add = ops[sum];
        const Value dx = node.results[0];
        context.Done(node.location,
                     Cat(graph.name, ": ", NameOf(node.op), " takes the addition at ", add.location.Text()));
        node.inputs.push_back(add.inputs[add.inputs[0] == dx ? 1 : 0]);
        rewriter.Keep(node);
        rewriter.Replace(add.results[0], dx);
      } else {
        rewriter.Keep(std::move(node));
      }
    }
    RETURN_IF_ERROR(rewriter.Finish());
    DropUnreadCasts(graph);
  }
  return OkStatus();
}

}  // namespace gptc
