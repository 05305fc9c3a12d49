#include "passes/fuse_linear.h"

#include <algorithm>
#include <map>
#include <set>

#include "passes/rewriter.h"

namespace gptc {
namespace {

// What takes the place of the op at the key; the ops in `gone_` vanish.
struct Fused {
  enum class Kind { kResidual, kActivation, kBackward } kind;
  int product = -1;       // the linear, or of kBackward the matmul
  int follower = -1;      // the add, relu, gelu or gelu_backward
  Value residual;         // kResidual
  bool saved = false;     // kActivation: the product is read elsewhere too
  std::vector<int> sums;  // kBackward: the bias gradients (one, or none)
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph.value_count()) {
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      for (const Value input : graph.ops[i].inputs) readers_[input.id].push_back(static_cast<int>(i));
    }
    for (const Output& output : graph.outputs) readers_[output.value.id].push_back(-1);
    for (const Store& store : graph.stores) readers_[store.value.id].push_back(-1);
  }

  // Where the fused op stands: the product's place for kActivation, whose other readers may come before the
  // activation, else the follower's.
  std::map<int, Fused> Find(PassContext& context) {
    std::map<int, Fused> found;
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      const OpNode& node = graph_.ops[i];
      if (node.op == Op::kAdd) Residual(i, found, context);
      if (node.op == Op::kRelu || node.op == Op::kGelu) Activation(i, found, context);
      if (node.op == Op::kGeluBackward) Backward(i, found);
    }
    return found;
  }
  bool gone(int op) const { return gone_.contains(op); }

 private:
  const OpNode& At(int index) const { return graph_.ops[index]; }
  int ProducerOf(Value value, Op op) const {
    const ValueInfo& info = graph_.info(value);
    const bool made = info.kind == ValueInfo::Kind::kResult && info.producer >= 0 && At(info.producer).op == op;
    return made && !gone(info.producer) ? info.producer : -1;
  }
  bool ReadOnce(Value value) const { return readers_[value.id].size() == 1; }

  void Residual(int add, std::map<int, Fused>& found, PassContext& context) {
    const OpNode& node = At(add);
    const Type& type = graph_.type(node.results[0]);
    // The later product, so that what it is added to is there; of `add %t, %t` neither.
    for (const int side : {1, 0}) {
      const Value term = node.inputs[side], residual = node.inputs[1 - side];
      const int product = ProducerOf(term, Op::kLinear);
      if (product < 0) {
        const int dropout = ProducerOf(term, Op::kDropout);
        if (dropout >= 0 && ProducerOf(At(dropout).inputs[0], Op::kLinear) >= 0) {
          context.Missed(node.location, Cat(graph_.name, ": not fused: ", "the product of linear at ",
                                            At(ProducerOf(At(dropout).inputs[0], Op::kLinear)).location.Text(),
                                            " goes through dropout before it is added"));
        }
        continue;
      }
      if (!ReadOnce(term) || term == residual) {
        context.Missed(node.location, Cat(graph_.name, ": not fused: the product %", graph_.info(term).name,
                                          " is read elsewhere too"));
        continue;
      }
      if (graph_.type(term).shape != type.shape || graph_.type(residual) != type) continue;
      found[add] = {
          .kind = Fused::Kind::kResidual, .product = product, .follower = add, .residual = residual, .sums = {}};
      gone_.insert(product);
      return;
    }
  }

  void Activation(int activation, std::map<int, Fused>& found, PassContext& context) {
    const OpNode& node = At(activation);
    const Value u = node.inputs[0];
    const int product = ProducerOf(u, Op::kLinear);
    if (product < 0 || found.contains(product)) return;
    const Type& type = graph_.type(u);
    if (type != graph_.type(node.results[0]) || type.dtype != graph_.type(At(product).inputs[0]).dtype) return;
    if (type.dtype != DType::kF32 && type.dtype != DType::kBF16) return;
    if (node.op == Op::kRelu && !ReadOnce(u)) {  // relu's own backward reads what relu gives
      context.Missed(node.location, Cat(graph_.name, ": not fused: what relu is taken of is read elsewhere too"));
      return;
    }
    found[product] = {.kind = Fused::Kind::kActivation,
                      .product = product,
                      .follower = activation,
                      .saved = !ReadOnce(u),
                      .sums = {}};
    gone_.insert(activation);
  }

  void Backward(int follower, std::map<int, Fused>& found) {
    const OpNode& node = At(follower);
    const Value dy = node.inputs[1], u = node.inputs[0], du = node.results[0];
    const int product = ProducerOf(dy, Op::kMatMul);
    if (product < 0 || !ReadOnce(dy)) return;
    const OpNode& matmul = At(product);
    if (matmul.inputs.size() != 2 || matmul.attributes.Bool("transpose_a") || !matmul.attributes.Bool("transpose_b"))
      return;
    if (graph_.type(matmul.inputs[1]).shape.size() != 2) return;
    const DType dtype = graph_.type(u).dtype;
    if (graph_.type(matmul.inputs[0]).dtype != dtype || graph_.type(du).dtype != dtype) return;
    if (dtype != DType::kF32 && dtype != DType::kBF16) return;
    Fused fused{.kind = Fused::Kind::kBackward, .product = product, .follower = follower, .sums = {}};
    for (const int reader : readers_[du.id]) {
      if (reader < 0) continue;
      if (SumsColumns(reader)) fused.sums.push_back(reader);
      if (At(reader).op != Op::kReshape) continue;
      for (const int behind : readers_[At(reader).results[0].id]) {
        if (behind >= 0 && SumsColumns(behind)) fused.sums.push_back(behind);
      }
    }
    std::erase_if(fused.sums, [&](int sum) {
      const Type& type = graph_.type(At(sum).results[0]);
      return type.dtype != DType::kF32 || type.shape != Shape{graph_.type(du).shape.back()};
    });
    gone_.insert(product);
    gone_.insert(fused.sums.begin(), fused.sums.end());
    found[follower] = std::move(fused);
  }

  // A sum over all axes but the last.
  bool SumsColumns(int index) const {
    const OpNode& node = At(index);
    if (node.op != Op::kSum) return false;
    const size_t rank = graph_.type(node.inputs[0]).shape.size();
    const std::vector<int64_t>& axes = node.attributes.Ints("axes");
    return axes.size() + 1 == rank && std::find(axes.begin(), axes.end(), static_cast<int64_t>(rank) - 1) == axes.end();
  }

  const Graph& graph_;
  std::vector<std::vector<int>> readers_;  // by value: ops, -1 for an output or store
  std::set<int> gone_;
};

Status FuseGraph(Module& module, Graph& graph, PassContext& context) {
  graph.Renumber();
  Finder finder(graph);
  std::map<int, Fused> found = finder.Find(context);
  if (found.empty()) return OkStatus();

  Rewriter rewriter(module, graph);
  const std::vector<OpNode> ops = rewriter.TakeOps();
  for (int at = 0; at < static_cast<int>(ops.size()); ++at) {
    const auto here = found.find(at);
    if (here == found.end()) {
      if (!finder.gone(at)) rewriter.Keep(ops[at]);
      continue;
    }
    const Fused& fused = here->second;
    const OpNode &product = ops[fused.product], &follower = ops[fused.follower];
    GraphBuilder& g = rewriter.BuilderFor(product);
    std::vector<Tensor> inputs;
    for (const Value input : product.inputs) inputs.push_back(rewriter.Wrap(rewriter.Resolve(input)));
    const auto replace = [&](Value from, Tensor to) {
      if (to.valid()) rewriter.Replace(from, to.value);
    };
    switch (fused.kind) {
      case Fused::Kind::kResidual: {
        inputs.insert(inputs.begin() + 2, rewriter.Wrap(rewriter.Resolve(fused.residual)));
        replace(follower.results[0], g.EmitOne(Op::kLinearResidual, inputs));
        context.Done(product.location, Cat(graph.name, ": the residual is added by linear"));
        break;
      }
      case Fused::Kind::kActivation: {
        if (follower.op == Op::kRelu) {
          replace(follower.results[0], g.EmitOne(Op::kLinearRelu, inputs));
          context.Done(product.location, Cat(graph.name, ": relu is computed by linear"));
          break;
        }
        const Op op = fused.saved ? Op::kLinearGeluSaved : Op::kLinearGelu;
        const std::vector<Tensor> results = g.Emit(op, inputs, {{"tanh", follower.attributes.Bool("tanh")}});
        replace(follower.results[0], results[0]);
        if (fused.saved) replace(product.results[0], results[1]);
        context.Done(product.location, Cat(graph.name, ": gelu is computed by linear",
                                           fused.saved ? ", which keeps what it is taken of" : ""));
        break;
      }
      case Fused::Kind::kBackward: {
        inputs.push_back(rewriter.Wrap(rewriter.Resolve(follower.inputs[0])));
        const std::vector<Tensor> results =
            g.Emit(Op::kLinearGeluBackward, inputs, {{"tanh", follower.attributes.Bool("tanh")}});
        replace(follower.results[0], results[0]);
        for (const int sum : fused.sums) replace(ops[sum].results[0], results[1]);
        context.Done(product.location,
                     Cat(graph.name, ": gelu's derivative ", fused.sums.empty() ? "is" : "and the bias gradient are",
                         " computed by the product"));
        break;
      }
    }
    RETURN_IF_ERROR(g.Finish());
  }
  return rewriter.Finish();
}

}  // namespace

Status FuseLinear(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(FuseGraph(module, graph, context));
  return OkStatus();
}

}  // namespace gptc
