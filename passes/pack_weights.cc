#include "passes/pack_weights.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ir/base/packing.h"
#include "passes/derived_states.h"

namespace gptc {
namespace {

constexpr int64_t kLeastRows = 16;
constexpr int64_t kShareOfProduct = 4;

// A weight as one kind of product reads it.
struct Key {
  int state;
  bool transposed;  // the product multiplies by its transpose
  auto operator<=>(const Key&) const = default;
};

struct Use {
  Graph* graph;
  int op;
};

struct Uses {
  std::vector<Use> all;
  int64_t rows = 0;  // the most of any product
  Location location;
};

int64_t RowsOf(const Type& x) {
  return x.shape.empty() ? 0 : ElementCount(std::span(x.shape).first(x.shape.size() - 1));
}

// Whether the op is x by a weight, and which.
bool ReadsWeight(const Module& module, const Graph& graph, const OpNode& node, Key& key) {
  switch (node.op) {
    case Op::kLinear:
    case Op::kLinearResidual:
    case Op::kLinearRelu:
    case Op::kLinearGelu:
    case Op::kLinearGeluSaved:
      if (node.attributes.Int("columns") != 0) return false;
      key.transposed = false;
      break;
    case Op::kLinearGeluBackward:
      if (node.attributes.Int("columns") != 0) return false;
      key.transposed = true;
      break;
    case Op::kMatMul:
      if (node.inputs.size() != 2 || node.attributes.Bool("transpose_a")) return false;
      key.transposed = node.attributes.Bool("transpose_b");
      break;
    default:
      return false;
  }
  const ValueInfo& w = graph.info(node.inputs[1]);
  if (w.kind != ValueInfo::Kind::kState || w.type.shape.size() != 2) return false;
  if (w.type.dtype != DType::kF32 && w.type.dtype != DType::kBF16) return false;
  key.state = w.producer;
  const State& state = module.states[key.state];
  return state.kind == StateKind::kParameter || (state.kind == StateKind::kDerived && !state.of.empty());
}

bool HasPackedProducts(const std::string& target, DType dtype) {
  return target == "cpu:avx512_bf16" || (target == "cpu:avx512" && dtype == DType::kF32);
}

}  // namespace

Status PackWeights(Module& module, PassContext& context) {
  const std::string& target = context.options().target;
  if (!HasPackedProducts(target, DType::kF32)) {
    context.Missed({}, Cat(target, " has no products that read packed weights"));
    return OkStatus();
  }
  std::map<Key, Uses> found;
  for (Graph& graph : module.graphs) {
    if (graph.name == "prepare" || graph.name == "update") continue;
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      Key key;
      if (!ReadsWeight(module, graph, graph.ops[i], key)) continue;
      Uses& uses = found[key];
      uses.all.push_back({&graph, static_cast<int>(i)});
      const int64_t rows = RowsOf(graph.type(graph.ops[i].inputs[0]));
      if (uses.all.size() == 1 || rows > uses.rows) uses.location = graph.ops[i].location;
      uses.rows = std::max(uses.rows, rows);
    }
  }

  StateIndex by_name(module);
  std::vector<DerivedState> derived;
  for (const auto& [key, uses] : found) {
    const State weight = module.states[key.state];
    const DType dtype = weight.type.dtype;
    const int64_t k = weight.type.shape[key.transposed ? 1 : 0], n = weight.type.shape[key.transposed ? 0 : 1];
    if (!HasPackedProducts(target, dtype) || uses.rows < kLeastRows || k == 0 || n == 0) continue;
    if (dtype == DType::kF32 &&
        static_cast<double>(k) * n > static_cast<double>(uses.rows) * (k + n) / kShareOfProduct) {
      context.Missed(uses.location, Cat(weight.name, key.transposed ? ", transposed," : "",
                                        " is not packed: a second copy in f32 would take ", HumanBytes(k * n * 4),
                                        ", and products of ", uses.rows, " rows gain little from it"));
      continue;
    }
    const std::string& name = weight.kind == StateKind::kParameter ? weight.name : weight.of;
    State packed;
    packed.name = Cat("packed.", name, key.transposed ? ".t" : "");
    packed.type = PackedType(dtype, k, n);
    packed.kind = StateKind::kDerived;
    packed.of = name;
    const int parameter = by_name.Find(name), state = static_cast<int>(module.states.size());
    if (parameter < 0 || module.states[parameter].type.dtype != DType::kF32 || by_name.Find(packed.name) >= 0) continue;
    context.Done(uses.location,
                 Cat(name, key.transposed ? ", transposed," : "", " is packed for ", uses.all.size(),
                     uses.all.size() == 1 ? " product" : " products", ": ", HumanBytes(ByteCount(packed.type))));
    module.states.push_back(std::move(packed));
    derived.push_back({.state = state,
                       .parameter = parameter,
                       .make =
                           [dtype, transposed = key.transposed](GraphBuilder& g, Tensor w) {
                             return g.EmitOne(Op::kPack, {w}, {{"transpose", transposed}, {"to", dtype}});
                           },
                       .location = uses.location});
    for (const Use& use : uses.all) {
      OpNode& node = use.graph->ops[use.op];
      node.inputs[1] = module.StateValue(*use.graph, state);
      if (node.op == Op::kMatMul) {
        const bool widen = node.attributes.Bool("widen");
        node.op = Op::kLinear;
        node.attributes = {{"widen", widen}};
      }
      node.attributes.Set("columns", n);
      RETURN_IF_ERROR(CompleteAttributes(InfoOf(node.op), node.attributes));
    }
  }
  if (derived.empty()) return OkStatus();
  RETURN_IF_ERROR(KeepDerived(module, derived));
  for (Graph& graph : module.graphs) graph.Compact();
  return DropUnreadDerived(module);
}

}  // namespace gptc
