#include "passes/fuse_elementwise.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "ir/base/fused_region.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

constexpr size_t kMostOps = 32, kMostOperands = 16;
constexpr int64_t kLongestReducedRow = 32768;

bool IsScalarConstant(const Graph& graph, const OpNode& node) {
  return node.op == Op::kConstant && graph.type(node.results[0]).shape.empty();
}

// sum, mean or reduce_max over the last axis.
bool ReducesRows(const Graph& graph, const OpNode& node) {
  if (InfoOf(node.op).family != "reduction") return false;
  const auto rank = static_cast<int64_t>(graph.type(node.inputs[0]).shape.size());
  return node.attributes.Ints("axes") == std::vector<int64_t>{rank - 1};
}
// The same without a 1 in place of the axis: a region keeps it, and a reshape takes it away.
bool DropsAxis(const Graph& graph, const OpNode& node) {
  return ReducesRows(graph, node) && !node.attributes.Bool("keep");
}

std::vector<int64_t> AxesBelow(size_t end) {
  std::vector<int64_t> axes(end);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// Ops that shall become one, and the place in the order of ops, that of one of its members, where it will stand.
struct Cluster {
  std::vector<int> members;  // ascending
  int place = 0;
};

// A cluster as a region.
struct Draft {
  FusedRegion region;
  std::vector<Value> inputs;
  std::vector<int> results;  // members whose results are read outside
};

class Clusterer {
 public:
  Clusterer(const Module& module, const Graph& graph)
      : module_(module), graph_(graph), cluster_of_(graph.ops.size(), -1), readers_(graph.value_count()) {
    const int count = static_cast<int>(graph.ops.size());
    for (int i = 0; i < count; ++i) {
      for (Value input : graph.ops[i].inputs) readers_[input.id].push_back(i);
    }
    for (const Output& output : graph.outputs) readers_[output.value.id].push_back(count);
    for (const Store& store : graph.stores) readers_[store.value.id].push_back(count);
    for (int i = 0; i < count; ++i) {
      if (!Joins(graph.ops[i])) continue;
      cluster_of_[i] = static_cast<int>(clusters_.size());
      clusters_.push_back({{i}, i});
    }
  }

  void Run(PassContext& context) {
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      if (cluster_of_[i] < 0) continue;
      for (Value operand : graph_.ops[i].inputs) {
        const Value input = BehindRows(graph_.ops[i], operand);
        const int producer = ProducerOf(input);
        if (producer < 0 || cluster_of_[producer] < 0 || cluster_of_[producer] == cluster_of_[i]) continue;
        const std::string problem = Merge(cluster_of_[producer], cluster_of_[i], input);
        if (problem.empty()) continue;
        const OpNode &reader = graph_.ops[i], &made = graph_.ops[producer];
        context.Missed(
            reader.location,
            Cat(graph_.name, ": ", NameOf(reader.op), " is not fused with the ", NameOf(made.op),
                made.location.known() ? Cat(" at ", made.location.Text()) : "", " that it reads: ", problem));
      }
    }
  }

  // The cluster that op i belongs to, if it has more than one op; null otherwise.
  const Cluster* ClusterOf(int i) const {
    if (cluster_of_[i] < 0 || clusters_[cluster_of_[i]].members.size() < 2) return nullptr;
    return &clusters_[cluster_of_[i]];
  }

  // Whether all readers of a scalar constant have it in their regions.
  bool IsAbsorbed(int constant) const {
    if (!IsScalarConstant(graph_, graph_.ops[constant])) return false;
    const std::vector<int>& readers = readers_[graph_.ops[constant].results[0].id];
    return !readers.empty() && std::all_of(readers.begin(), readers.end(), [&](int reader) {
      return reader < static_cast<int>(graph_.ops.size()) && ClusterOf(reader) != nullptr;
    });
  }

  Draft DraftOf(const std::vector<int>& members) const {
    Draft draft;
    std::map<int, int> value_of;  // by id in the graph: inputs from 0, instructions from kMade
    constexpr int kMade = 1 << 20;
    for (int member : members) {
      const OpNode& node = graph_.ops[member];
      FusedInstruction instruction{node.op, {}, node.attributes};
      if (DropsAxis(graph_, node)) instruction.attributes.Set("keep", true);
      for (Value operand : node.inputs) {
        const Value input = BehindRows(node, operand);
        if (input != operand) instruction.attributes.Set("axes", AxesBelow(graph_.type(input).shape.size() - 1));
        auto at = value_of.find(input.id);
        const int producer = ProducerOf(input);
        if (at == value_of.end() && producer >= 0 && IsScalarConstant(graph_, graph_.ops[producer])) {
          at = value_of.emplace(input.id, kMade + static_cast<int>(draft.region.code.size())).first;
          draft.region.code.push_back({Op::kConstant, {}, graph_.ops[producer].attributes});
        } else if (at == value_of.end()) {
          at = value_of.emplace(input.id, static_cast<int>(draft.inputs.size())).first;
          draft.inputs.push_back(input);
        }
        instruction.operands.push_back(at->second);
      }
      const Value result = node.results[0];
      value_of[result.id] = kMade + static_cast<int>(draft.region.code.size());
      draft.region.code.push_back(std::move(instruction));
      const std::vector<int>& readers = readers_[result.id];
      const bool outside = std::any_of(readers.begin(), readers.end(), [&](int reader) {
        return !std::binary_search(members.begin(), members.end(), reader);
      });
      if (!outside) continue;
      draft.results.push_back(member);
      draft.region.results.push_back(value_of[result.id]);
    }
    const auto number = [&](int& value) {
      if (value >= kMade) value += static_cast<int>(draft.inputs.size()) - kMade;
    };
    draft.region.inputs = static_cast<int>(draft.inputs.size());
    for (FusedInstruction& instruction : draft.region.code)
      std::for_each(instruction.operands.begin(), instruction.operands.end(), number);
    std::for_each(draft.region.results.begin(), draft.region.results.end(), number);
    return draft;
  }

 private:
  int ProducerOf(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }
  // What a sum over all rows adds up: a reshape that only numbers the rows otherwise changes nothing in it.
  Value BehindRows(const OpNode& node, Value operand) const {
    const Shape& shape = graph_.type(operand).shape;
    const int producer = ProducerOf(operand);
    if (node.op != Op::kSum || shape.size() < 2 || producer < 0 || graph_.ops[producer].op != Op::kReshape ||
        node.attributes.Bool("keep") || node.attributes.Ints("axes") != AxesBelow(shape.size() - 1))
      return operand;
    const Value before = graph_.ops[producer].inputs[0];
    const Shape& other = graph_.type(before).shape;
    return other.size() > 1 && other.back() == shape.back() ? before : operand;
  }
  int64_t Bytes(Value value) const { return ByteCount(graph_.type(value)); }
  // Where op i will stand.
  int PlaceOf(int i) const {
    return i < static_cast<int>(graph_.ops.size()) && cluster_of_[i] >= 0 ? clusters_[cluster_of_[i]].place : i;
  }

  bool Joins(const OpNode& node) const {
    if (!IsFusible(node.op) || node.op == Op::kConstant || readers_[node.results[0].id].empty() || IsAccumulation(node))
      return false;
    for (const std::vector<Value>* values : {&node.inputs, &node.results}) {
      for (Value value : *values) {
        const DType dtype = graph_.type(value).dtype;
        if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kBool) return false;
      }
    }
    // By itself it must have one of a region's forms.
    return Infer(DraftOf({static_cast<int>(&node - graph_.ops.data())})).ok();
  }

  // What fuse_accumulate makes part of a product, and specialize_micro_steps drops.
  bool IsAccumulation(const OpNode& node) const {
    if (node.op != Op::kAdd) return false;
    for (Value input : node.inputs) {
      const ValueInfo& info = graph_.info(input);
      if (info.kind == ValueInfo::Kind::kState && module_.states[info.producer].kind == StateKind::kGradient)
        return true;
      const int producer = ProducerOf(input);
      if (producer < 0 || readers_[input.id].size() != 1) continue;
      const Op op = graph_.ops[producer].op;
      const bool same = graph_.type(node.inputs[0]) == graph_.type(node.inputs[1]);
      if (same && info.type.dtype == DType::kF32 && (op == Op::kMatMul || op == Op::kEmbeddingBackward)) return true;
    }
    return false;
  }

  StatusOr<FusedTypes> Infer(const Draft& draft) const {
    std::vector<Type> types;
    for (Value input : draft.inputs) types.push_back(graph_.type(input));
    return InferFusedRegion(draft.region, types);
  }

  // Makes one cluster of two, the second of which reads `value` of the first. "" or why not.
  std::string Merge(int first, int second, Value value) {
    Cluster merged;
    const Cluster &a = clusters_[first], &b = clusters_[second];
    std::merge(a.members.begin(), a.members.end(), b.members.begin(), b.members.end(),
               std::back_inserter(merged.members));
    const Draft draft = DraftOf(merged.members);
    if (draft.region.code.size() > kMostOps)
      return Cat("together they are ", draft.region.code.size(), " ops, more than ", kMostOps);
    if (draft.inputs.size() + draft.results.size() > kMostOperands)
      return Cat("together they have more than ", kMostOperands, " operands and results");
    if (std::any_of(merged.members.begin(), merged.members.end(), [&](int member) {
          const Value result = graph_.ops[member].results[0];
          return DropsAxis(graph_, graph_.ops[member]) &&
                 std::any_of(readers_[result.id].begin(), readers_[result.id].end(), [&](int reader) {
                   return std::binary_search(merged.members.begin(), merged.members.end(), reader);
                 });
        }))
      return "a reduced axis vanishes between them";
    const StatusOr<FusedTypes> types = Infer(draft);
    if (!types.ok()) return "their shapes are not those of one loop over rows";
    if (types->space.back() > kLongestReducedRow &&
        std::find(types->forms.begin(), types->forms.end(), FusedForm::kColumn) != types->forms.end())
      return Cat("rows of ", types->space.back(), " elements are too long to be held at once");
    if (!Place(draft, merged)) return "an op between them reads the one and makes what the other needs";
    if (!IsWorthItsMemory(a, b, merged, value)) return "it would keep more alive than it saves";
    for (int member : merged.members) cluster_of_[member] = first;
    clusters_[second] = {};
    clusters_[first] = std::move(merged);
    return "";
  }

  // The last member's place after everything that the cluster reads and before everything that reads it.
  bool Place(const Draft& draft, Cluster& cluster) const {
    int after = -1, before = static_cast<int>(graph_.ops.size());
    for (Value input : draft.inputs) {
      if (const int producer = ProducerOf(input); producer >= 0) after = std::max(after, PlaceOf(producer));
    }
    for (int member : draft.results) {
      for (int reader : readers_[graph_.ops[member].results[0].id]) {
        if (!std::binary_search(cluster.members.begin(), cluster.members.end(), reader))
          before = std::min(before, PlaceOf(reader));
      }
    }
    for (auto member = cluster.members.rbegin(); member != cluster.members.rend(); ++member) {
      if (*member <= after || *member >= before) continue;
      cluster.place = *member;
      return true;
    }
    return false;
  }

  // A cluster that stands where the one part stood makes the other's operands live on, or its results live from
  // earlier. That may cost what no longer needs memory at all, and a little for the traffic saved.
  bool IsWorthItsMemory(const Cluster& a, const Cluster& b, const Cluster& merged, Value value) const {
    const auto is_member = [&](int op) { return std::binary_search(merged.members.begin(), merged.members.end(), op); };
    bool neighbours = true;
    for (int i = std::min(a.place, b.place) + 1; neighbours && i < std::max(a.place, b.place); ++i)
      neighbours = is_member(i) || InfoOf(graph_.ops[i].op).execution == Execution::kView;
    if (neighbours) return true;
    int64_t kept = 0, gone = 0;
    for (const Cluster* part : {&a, &b}) {
      const Draft draft = DraftOf(part->members);
      for (Value input : draft.inputs) {
        const int producer = ProducerOf(input);
        const bool dies = std::all_of(readers_[input.id].begin(), readers_[input.id].end(),
                                      [&](int reader) { return PlaceOf(reader) <= part->place; });
        if (producer >= 0 && !is_member(producer) && dies && merged.place > part->place) kept += Bytes(input);
      }
      for (int member : draft.results) {
        const Value result = graph_.ops[member].results[0];
        const bool inside = std::all_of(readers_[result.id].begin(), readers_[result.id].end(), is_member);
        if (inside) gone += Bytes(result);
        if (!inside && merged.place < part->place) kept += Bytes(result);
      }
    }
    return kept <= gone + Bytes(value) / 8;
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<Cluster> clusters_;
  std::vector<int> cluster_of_;            // by op; -1: cannot be fused
  std::vector<std::vector<int>> readers_;  // by value; an output or a store is op ops.size()
};

// The fused op in place of the cluster's members.
void EmitFused(Rewriter& rewriter, const Graph& graph, const std::vector<OpNode>& ops, const Cluster& cluster,
               const Draft& draft, PassContext& context) {
  const OpNode& place = ops[cluster.place];
  GraphBuilder& g = rewriter.BuilderFor(place);
  std::vector<Tensor> inputs;
  int64_t before = 0, after = 0;
  for (Value input : draft.inputs) {
    inputs.push_back(rewriter.Wrap(rewriter.Resolve(input)));
    after += ByteCount(graph.type(input));
  }
  std::vector<std::string> names;
  for (int member : cluster.members) {
    names.push_back(NameOf(ops[member].op));
    for (Value input : ops[member].inputs) before += ByteCount(graph.type(input));
    before += ByteCount(graph.type(ops[member].results[0]));
  }
  for (int member : draft.results) after += ByteCount(graph.type(ops[member].results[0]));
  const std::vector<Tensor> results = g.Emit(Op::kFused, inputs, {{"region", FusedRegionText(draft.region)}});
  for (size_t r = 0; r < draft.results.size(); ++r) {
    const Value old = ops[draft.results[r]].results[0];
    const Shape shape = graph.type(old).shape;
    const bool keeps = results[r].valid() && results[r].shape() == shape;
    if (results[r].valid()) rewriter.Replace(old, keeps ? results[r].value : g.Reshape(results[r], shape).value);
  }
  context.Done(place.location, Cat(graph.name, ": ", names.size(), " ops in one (", Join(names, ", "),
                                   "), which moves ", HumanBytes(after), " instead of ", HumanBytes(before)));
}

}  // namespace

Status FuseElementwise(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    graph.Renumber();
    Clusterer clusterer(module, graph);
    clusterer.Run(context);
    const int count = static_cast<int>(graph.ops.size());
    // The clusterer looks at the graph, which the rewriter takes apart.
    std::vector<const Cluster*> clusters;
    std::vector<Draft> drafts(count);
    std::vector<bool> absorbed;
    for (int i = 0; i < count; ++i) {
      clusters.push_back(clusterer.ClusterOf(i));
      absorbed.push_back(clusterer.IsAbsorbed(i));
      if (clusters[i] != nullptr && clusters[i]->place == i) drafts[i] = clusterer.DraftOf(clusters[i]->members);
    }
    Rewriter rewriter(module, graph);
    std::vector<OpNode> ops = rewriter.TakeOps();
    for (int i = 0; i < count; ++i) {
      if (absorbed[i]) continue;
      if (clusters[i] == nullptr) {
        rewriter.Keep(ops[i]);
      } else if (clusters[i]->place == i) {
        EmitFused(rewriter, graph, ops, *clusters[i], drafts[i], context);
      }
    }
    RETURN_IF_ERROR(rewriter.Finish());
  }
  return OkStatus();
}

}  // namespace gptc
