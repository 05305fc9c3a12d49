#include "autodiff/autodiff.h"

#include <algorithm>
#include <string>

#include "autodiff/vjp.h"
#include "ir/base/check.h"

namespace gptc {
namespace {

// "model.gir:12: " in front of a message about an op, where its location is known.
std::string Prefix(const OpNode& op) { return op.location.known() ? Cat(op.location.Text(), ": ") : ""; }

// For each value: does it depend on one of wrt through floating-point values?
std::vector<bool> DependsOn(const Graph& graph, std::span<const Tensor> wrt) {
  std::vector<bool> depends(graph.value_count());
  for (const Tensor& tensor : wrt) depends[tensor.value.id] = true;
  for (const OpNode& op : graph.ops) {
    if (std::none_of(op.inputs.begin(), op.inputs.end(), [&](Value input) { return depends[input.id]; })) continue;
    for (const Value result : op.results) {
      if (IsFloat(graph.type(result).dtype)) depends[result.id] = true;
    }
  }
  return depends;
}

// The cotangents found so far, by value of the forward graph.
class CotangentTable {
 public:
  CotangentTable(GraphBuilder& g, int value_count) : g_(g), cotangents_(value_count), named_(value_count) {}

  // Several uses of a value give several cotangents, which add up.
  void Accumulate(Value value, Tensor cotangent) {
    const Type& type = g_.graph().type(value);
    CHECK(cotangent.shape() == type.shape, "cotangent of ", g_.graph().info(value).name);
    if (cotangent.type().dtype != type.dtype) cotangent = g_.Cast(cotangent, type.dtype);
    Tensor& sum = cotangents_[value.id];
    sum = sum.valid() ? g_.Add(sum, cotangent) : cotangent;
  }

  // The whole cotangent of a value: to be asked for when every use of it was walked. Named "d.<value>", unless the same
  // tensor is already the cotangent of another value, or a value of the forward graph.
  Tensor Of(Value value) {
    const Tensor cotangent = cotangents_[value.id];
    const bool emitted_here = cotangent.valid() && cotangent.value.id >= static_cast<int>(cotangents_.size());
    if (emitted_here) {
      named_.resize(std::max<size_t>(named_.size(), cotangent.value.id + 1));
      if (!named_[cotangent.value.id]) g_.Name(cotangent, Cat("d.", g_.graph().info(value).name));
      named_[cotangent.value.id] = true;
    }
    return cotangent;
  }

 private:
  GraphBuilder& g_;
  std::vector<Tensor> cotangents_;
  std::vector<bool> named_;
};

std::vector<Tensor> TensorsOf(GraphBuilder& g, const std::vector<Value>& values) {
  std::vector<Tensor> tensors;
  tensors.reserve(values.size());
  for (const Value value : values) tensors.push_back({&g, value});
  return tensors;
}

// One step of the walk: the op's operands get their share of its results' cotangents. `op` is a copy: its rule appends
// ops.
Status BackThrough(GraphBuilder& g, const OpNode& op, const std::vector<Tensor>& dresults,
                   const std::vector<bool>& depends, CotangentTable& table) {
  const OpInfo& info = InfoOf(op.op);
  const VjpRule rule = VjpRuleOf(op.op);
  const std::string& result_name = g.graph().info(op.results[0]).name;
  if (rule == nullptr) {
    return InvalidArgument(Prefix(op), "cannot differentiate ", info.name, ": the loss depends on its result %",
                           result_name, ", but the op has no gradient");
  }
  for (size_t i = 1; i < dresults.size() && !info.results[0].variadic; ++i) {
    if (!dresults[i].valid()) continue;
    return InvalidArgument(Prefix(op), "cannot differentiate ", info.name, ": the loss depends on %",
                           g.graph().info(op.results[i]).name, ", its result '", info.results[i].name, "'; only '",
                           info.results[0].name, "' has a gradient");
  }

  g.SetLocation(op.location);
  const std::vector<Tensor> inputs = TensorsOf(g, op.inputs), results = TensorsOf(g, op.results);
  const Cotangents cotangents = rule({g, inputs, results, dresults, op.attributes});
  RETURN_IF_ERROR(g.Finish());
  CHECK(cotangents.size() == inputs.size(), "gradient rule of ", info.name);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!depends[op.inputs[i].id]) continue;
    if (!cotangents[i].valid()) {
      return InvalidArgument(Prefix(op), "cannot differentiate ", info.name, " by its operand '", info.Input(i).name,
                             "' (%", g.graph().info(op.inputs[i]).name, ")");
    }
    table.Accumulate(op.inputs[i], cotangents[i]);
  }
  return OkStatus();
}

// Rules emit a cotangent for every operand; those that led nowhere go. Ops before `first` stay.
void DropUnread(Graph& graph, size_t first, const std::vector<Tensor>& wanted) {
  std::vector<bool> read(graph.value_count());
  for (const Tensor& tensor : wanted) {
    if (tensor.valid()) read[tensor.value.id] = true;
  }
  std::vector<bool> keep(graph.ops.size(), true);
  for (size_t i = graph.ops.size(); i-- > first;) {
    const OpNode& op = graph.ops[i];
    keep[i] = std::any_of(op.results.begin(), op.results.end(), [&](Value result) { return read[result.id]; });
    if (!keep[i]) continue;
    for (const Value input : op.inputs) read[input.id] = true;
  }
  std::vector<OpNode> kept;
  kept.reserve(graph.ops.size());
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    if (keep[i]) kept.push_back(std::move(graph.ops[i]));
  }
  graph.ops = std::move(kept);
  graph.Renumber();
}

Status CheckArguments(const Graph& graph, Tensor loss, std::span<const Tensor> wrt, Tensor seed) {
  const auto name = [&](Tensor tensor) { return Cat("%", graph.info(tensor.value).name); };
  if (!loss.valid()) return InvalidArgument("graph ", graph.name, ": there is no loss to differentiate");
  if (!IsFloat(loss.type().dtype)) {
    return InvalidArgument("graph ", graph.name, ": the loss ", name(loss), " is ", NameOf(loss.type().dtype),
                           "; only floating-point values have gradients");
  }
  if (seed.valid() ? seed.type() != loss.type() : !loss.shape().empty()) {
    return InvalidArgument(
        "graph ", graph.name, ": the loss ", name(loss), " is ", TypeText(loss.type()),
        seed.valid() ? Cat("; its seed is ", TypeText(seed.type())) : "; it must be a scalar: sum it first");
  }
  for (const Tensor& tensor : wrt) {
    if (!tensor.valid()) return InvalidArgument("graph ", graph.name, ": a value to differentiate by does not exist");
    if (IsFloat(tensor.type().dtype)) continue;
    return InvalidArgument("graph ", graph.name, ": cannot differentiate by ", name(tensor), ": it is ",
                           NameOf(tensor.type().dtype));
  }
  for (int id = 0; id < graph.value_count(); ++id) {
    if (!IsStatic(graph.type({id}).shape)) {
      return FailedPrecondition("graph ", graph.name, ": the shape of ", name({nullptr, {id}}),
                                " has unbound dimensions; bind them before differentiating");
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<Tensor>> AppendBackward(GraphBuilder& g, Tensor loss, std::span<const Tensor> wrt, Tensor seed) {
  RETURN_IF_ERROR(g.Finish());
  RETURN_IF_ERROR(CheckArguments(g.graph(), loss, wrt, seed));

  const std::vector<bool> depends = DependsOn(g.graph(), wrt);
  const size_t forward_ops = g.graph().ops.size();
  CotangentTable table(g, g.graph().value_count());
  if (depends[loss.value.id]) table.Accumulate(loss.value, seed.valid() ? seed : g.Constant(1, loss.type().dtype));

  // A value's uses come after its producer, so on the way back its cotangent is complete when its producer is reached.
  for (size_t i = forward_ops; i-- > 0;) {
    const OpNode op = g.graph().ops[i];
    if (std::none_of(op.inputs.begin(), op.inputs.end(), [&](Value input) { return depends[input.id]; })) continue;
    std::vector<Tensor> dresults;
    for (const Value result : op.results) dresults.push_back(table.Of(result));
    if (std::none_of(dresults.begin(), dresults.end(), [](Tensor t) { return t.valid(); })) continue;
    const Status status = BackThrough(g, op, dresults, depends, table);
    if (!status.ok()) {
      g.SetLocation({});
      return status;
    }
  }
  g.SetLocation({});

  std::vector<Tensor> cotangents;
  for (const Tensor& tensor : wrt) cotangents.push_back(table.Of(tensor.value));
  RETURN_IF_ERROR(g.Finish());
  DropUnread(g.graph(), forward_ops, cotangents);
  return cotangents;
}

}  // namespace gptc
