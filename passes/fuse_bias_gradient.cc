#include "passes/fuse_bias_gradient.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "ir/base/target.h"
#include "passes/readers.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph) {}

  // By product: the sum that it takes along.
  std::map<int, int> Find(PassContext& context) {
    std::map<int, std::vector<int>> sums;  // by the value whose columns they add up
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      if (SumsColumns(graph_.ops[i])) sums[BehindRows(graph_.ops[i].inputs[0]).id].push_back(i);
    }
    std::map<int, int> found;
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      const OpNode& node = graph_.ops[i];
      if (!IsWeightGradient(node)) continue;
      const auto of_dy = sums.find(BehindRows(node.inputs[1]).id);
      if (of_dy == sums.end() || of_dy->second.empty()) continue;
      const int sum = of_dy->second.front();
      const std::vector<int>& readers = readers_.Of(graph_.ops[sum].results[0]);
      if (std::any_of(readers.begin(), readers.end(), [&](int reader) { return reader >= 0 && reader < i; })) {
        context.Missed(graph_.ops[sum].location,
                       Cat(graph_.name, ": not fused: the bias gradient %",
                           graph_.info(graph_.ops[sum].results[0]).name, " is read before the weight's is made"));
        continue;
      }
      of_dy->second.erase(of_dy->second.begin());
      found[i] = sum;
    }
    return found;
  }

 private:
  const Type& TypeOf(Value value) const { return graph_.type(value); }

  // dw = xᵀ·dy of matrices.
  bool IsWeightGradient(const OpNode& node) const {
    if (node.op != Op::kMatMul || node.inputs.size() != 2 || !node.attributes.Bool("transpose_a") ||
        node.attributes.Bool("transpose_b"))
      return false;
    const Type &x = TypeOf(node.inputs[0]), &dy = TypeOf(node.inputs[1]);
    return x.shape.size() == 2 && dy.shape.size() == 2 && (x.dtype == DType::kF32 || x.dtype == DType::kBF16) &&
           TypeOf(node.results[0]).dtype == DType::kF32;
  }
  // A sum over all axes but the last, in f32.
  bool SumsColumns(const OpNode& node) const {
    if (node.op != Op::kSum || node.attributes.Bool("keep") || TypeOf(node.results[0]).dtype != DType::kF32)
      return false;
    const size_t rank = TypeOf(node.inputs[0]).shape.size();
    std::vector<int64_t> all(std::max<size_t>(rank, 1) - 1);
    std::iota(all.begin(), all.end(), 0);
    return rank >= 2 && node.attributes.Ints("axes") == all;
  }
  // The value before reshapes that number its rows otherwise.
  Value BehindRows(Value value) const {
    while (true) {
      const ValueInfo& info = graph_.info(value);
      if (info.kind != ValueInfo::Kind::kResult || graph_.ops[info.producer].op != Op::kReshape) return value;
      const Value before = graph_.ops[info.producer].inputs[0];
      const Shape &from = TypeOf(before).shape, &to = info.type.shape;
      if (from.size() < 2 || to.size() < 2 || from.back() != to.back()) return value;
      value = before;
    }
  }

  const Graph& graph_;
  Readers readers_;
};

Status FuseGraph(Module& module, Graph& graph, PassContext& context) {
  graph.Renumber();
  const std::map<int, int> found = Finder(graph).Find(context);
  if (found.empty()) return OkStatus();
  std::set<int> gone;
  for (const auto& [product, sum] : found) gone.insert(sum);

  Rewriter rewriter(module, graph);
  const std::vector<OpNode> ops = rewriter.TakeOps();
  for (int at = 0; at < static_cast<int>(ops.size()); ++at) {
    const auto here = found.find(at);
    if (here == found.end()) {
      if (!gone.contains(at)) rewriter.Keep(ops[at]);
      continue;
    }
    const OpNode& product = ops[at];
    GraphBuilder& g = rewriter.BuilderFor(product);
    std::vector<Tensor> inputs;
    for (const Value input : product.inputs) inputs.push_back(rewriter.Wrap(rewriter.Resolve(input)));
    const std::vector<Tensor> results = g.Emit(Op::kLinearWeightGradient, inputs);
    RETURN_IF_ERROR(g.Finish());
    rewriter.Replace(product.results[0], results[0].value);
    rewriter.Replace(ops[here->second].results[0], results[1].value);
    context.Done(product.location, Cat(graph.name, ": the bias gradient is computed by the product of the weight's"));
  }
  return rewriter.Finish();
}

}  // namespace

Status FuseBiasGradient(Module& module, PassContext& context) {
  if (!IsCuda(context.options().target)) return OkStatus();
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(FuseGraph(module, graph, context));
  return OkStatus();
}

}  // namespace gptc
