#include "passes/mixed_precision.h"

#include <algorithm>
#include <array>

#include "ir/base/infer.h"
#include "ir/base/target.h"
#include "passes/derived_states.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

// What an op does with its f32 operands, a letter an operand; the last one holds for all that follow.
constexpr char kF32 = 'f';       // wants f32
constexpr char kBf16 = 'b';      // wants bf16
constexpr char kAsItIs = '=';    // reads either and computes in f32
constexpr char kNarrower = '<';  // the same, and reads the bf16 copy where there is one
constexpr char kMoves = 'm';     // commutes with rounding: bf16 where a reader wants that and none wants f32
constexpr char kFollows = 'y';   // bf16 between bf16 on both sides
constexpr char kStream = 'r';    // the residual stream in bf16: bf16 unless a reader wants f32

struct Rule {
  Op op;
  std::string_view takes;
  // The attribute by which the op gives f32 of bf16 operands (widen), or bf16 of an f32 one (narrow).
  std::string_view choice = "";
};

// By family. An op that is not named takes f32.
constexpr Rule kRules[] = {
    {Op::kMatMul, "bbf", "widen"},
    {Op::kLinear, "bbf", "widen"},

    {Op::kFlashAttention, "bf"},
    {Op::kFlashAttentionBackward, "bbbf"},
    {Op::kCacheUpdate, "b"},
    {Op::kCachedAttention, "b"},

    {Op::kLayerNorm, "=f", "narrow"},
    {Op::kRmsNorm, "=f", "narrow"},
    {Op::kLayerNormBackward, "==f"},
    {Op::kRmsNormBackward, "==f"},

    {Op::kSum, "<", "widen"},
    {Op::kCrossEntropy, "=f"},
    {Op::kCrossEntropyBackward, "=f"},
    {Op::kCrossEntropyGradient, "=f"},
    {Op::kEmbedding, "m"},
    {Op::kEmbeddingBackward, "f=f"},

    {Op::kGelu, "y"},
    {Op::kGeluBackward, "y"},
    {Op::kRelu, "y"},
    {Op::kSigmoid, "y"},
    {Op::kSilu, "y"},

    {Op::kDropout, "m"},
    {Op::kReshape, "m"},
    {Op::kBroadcast, "m"},
    {Op::kTranspose, "m"},
    {Op::kSlice, "m"},
    {Op::kPad, "m"},
    {Op::kSplit, "m"},
    {Op::kConcat, "m"},
    {Op::kCopy, "m"},
};
constexpr Rule kEverythingElse = {Op::kCopy, "f"};
constexpr Rule kResidualAdd = {Op::kAdd, "r"};
// cuBLASLt adds a bias of the result's type: it is then cast once an update, not beside every product.
constexpr Rule kLinearOnCuda = {Op::kLinear, "bbm", "widen"};

// By op; made once.
const std::array<const Rule*, kOpCount>& RuleTable() {
  static const auto* table = [] {
    auto* rules = new std::array<const Rule*, kOpCount>;
    rules->fill(&kEverythingElse);
    for (const Rule& rule : kRules) (*rules)[static_cast<size_t>(rule.op)] = &rule;
    return rules;
  }();
  return *table;
}

// Why an op that one may expect in bf16 is in f32; "" for others.
std::string_view WhyF32(const Graph& graph, const OpNode& node) {
  if (node.op == Op::kSoftmax || node.op == Op::kSoftmaxBackward) return "its exponentials and their sums";
  if (node.op == Op::kMean || node.op == Op::kReduceMax) return "a reduction";
  const std::string& family = InfoOf(node.op).family;
  if (family != "elementwise" || node.op == Op::kConstant || node.op == Op::kCast || node.op == Op::kCompare) return "";
  return graph.type(node.results[0]).shape.size() < 2 ? ""
                                                      : "arithmetic outside of products, as of the residual stream";
}

// The bf16 copies of parameters, made as they are asked for.
class Copies {
 public:
  explicit Copies(Module& module) : module_(module), states_(module), copy_(module.states.size(), -1) {}

  // The state that holds the copy of this parameter.
  StatusOr<int> Of(int parameter, const Location& reader) {
    if (copy_[parameter] >= 0) return copy_[parameter];
    const State& of = module_.states[parameter];
    State copy;
    copy.name = Cat("bf16.", of.name);
    copy.type = {DType::kBF16, of.type.shape};
    copy.kind = StateKind::kDerived;
    copy.logical_rows = of.logical_rows;
    copy.of = of.name;
    if (states_.Find(copy.name) >= 0) {
      return InvalidArgument("state '", copy.name, "' has the name that the bf16 copy of '", of.name, "' needs");
    }
    copy_[parameter] = static_cast<int>(module_.states.size());
    made_.push_back({.state = copy_[parameter],
                     .parameter = parameter,
                     .make = [](GraphBuilder& g, Tensor w) { return g.Cast(w, DType::kBF16); },
                     .location = reader});
    module_.states.push_back(std::move(copy));
    return copy_[parameter];
  }
  const std::vector<DerivedState>& made() const { return made_; }

 private:
  Module& module_;
  StateIndex states_;
  std::vector<int> copy_;
  std::vector<DerivedState> made_;
};

// One graph. A value keeps its place and name and may change its type; whoever wants the other type gets a cast.
class GraphInBf16 {
 public:
  GraphInBf16(Module& module, Graph& graph, Copies& copies, const std::vector<bool>& bf16_caches, PassContext& context)
      : module_(module),
        graph_(graph),
        copies_(copies),
        bf16_caches_(bf16_caches),
        context_(context),
        rewriter_(module, graph),
        wants_f32_(graph.value_count()),
        wants_bf16_(graph.value_count()),
        may_be_bf16_(graph.value_count()),
        other_(graph.value_count()) {
    for (int id = 0; id < graph.value_count(); ++id) {
      written_f32_.push_back(graph.type(Value{id}).dtype == DType::kF32);
      const ValueInfo& info = graph.info(Value{id});
      if (info.kind == ValueInfo::Kind::kState && bf16_caches[info.producer])
        graph.info(Value{id}).type.dtype = kNarrow;
    }
  }

  Status Run() {
    for (const OpNode& node : graph_.ops) FindWhatMayBeBf16(node);
    FindWants();
    std::vector<OpNode> nodes = rewriter_.TakeOps();
    for (size_t i = 0; i < nodes.size(); ++i) RETURN_IF_ERROR(Rewrite(nodes[i], choices_[i]));
    for (Output& output : graph_.outputs) RETURN_IF_ERROR(KeepF32(output.value));
    for (Store& store : graph_.stores) {
      if (!bf16_caches_[store.state]) RETURN_IF_ERROR(KeepF32(store.value));
    }
    return rewriter_.Finish();
  }

 private:
  static constexpr DType kNarrow = DType::kBF16;
  // What an op gives that has the choice. kEither: as its operand is, for readers that do not care.
  enum class Gives : uint8_t { kF32, kBf16, kEither };

  const Rule& RuleFor(const OpNode& node) const {
    if (node.op == Op::kCacheUpdate || node.op == Op::kCachedAttention) {
      const Value cache = node.inputs[node.op == Op::kCacheUpdate ? 0 : 1];
      if (graph_.type(cache).dtype != kNarrow && !CachedInBf16(cache)) return kEverythingElse;
    }
    if (node.op == Op::kAdd && context_.options().residual == DType::kBF16) {
      const Shape &a = graph_.type(node.inputs[0]).shape, &b = graph_.type(node.inputs[1]).shape;
      if (a == b && a.size() >= 2) return kResidualAdd;
    }
    if (node.op == Op::kLinear && written_f32_[node.inputs[0].id] && IsCuda(context_.options().target)) {
      return kLinearOnCuda;
    }
    return *RuleTable()[static_cast<size_t>(node.op)];
  }
  // Whether this result of cache_update is of a cache that becomes bf16.
  bool CachedInBf16(Value value) const {
    const ValueInfo& info = graph_.info(value);
    if (info.kind == ValueInfo::Kind::kState) return bf16_caches_[info.producer];
    if (info.kind != ValueInfo::Kind::kResult || info.producer < 0) return false;
    const OpNode& node = graph_.ops[info.producer];
    return node.op == Op::kCacheUpdate && CachedInBf16(node.inputs[0]);
  }

  static char TakenAs(const Rule& rule, size_t operand) { return rule.takes[std::min(operand, rule.takes.size() - 1)]; }
  // Whether there is an f32 operand for the rule to choose about.
  bool Applies(const Rule& rule, const OpNode& node) const {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (TakenAs(rule, i) != kF32 && written_f32_[node.inputs[i].id]) return true;
    }
    return false;
  }
  // matmul adds c to its sums, in c's type.
  static bool AddsInF32(const OpNode& node) { return node.op == Op::kMatMul && node.inputs.size() > 2; }

  // A guess that errs on the side of a cast: what comes out in bf16 if its readers allow.
  void FindWhatMayBeBf16(const OpNode& node) {
    const Rule& rule = RuleFor(node);
    if (!Applies(rule, node)) return;
    const bool makes = rule.takes[0] == kBf16 || rule.takes[0] == kStream || rule.choice == "narrow";
    bool follows = rule.choice.empty(), any = false;
    Shape read;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (TakenAs(rule, i) == kF32 || !written_f32_[node.inputs[i].id]) continue;
      // Of several, the last: the gradient of a norm has the type of x, not of dy.
      if (TakenAs(rule, i) == kAsItIs) follows = true;
      follows = follows && may_be_bf16_[node.inputs[i].id];
      read = graph_.type(node.inputs[i]).shape;
      any = true;
    }
    if (makes) follows = false, may_be_bf16_[node.results[0].id] = !AddsInF32(node);
    for (Value result : node.results) {
      const bool same = rule.takes[0] == kMoves || graph_.type(result).shape == read;
      if (any && follows && same) may_be_bf16_[result.id] = true;
    }
  }

  // From the last op to the first: what each value's readers want, and so which type each op gives.
  void FindWants() {
    for (const Output& output : graph_.outputs) wants_f32_[output.value.id] = true;
    for (const Store& store : graph_.stores) {
      (bf16_caches_[store.state] ? wants_bf16_ : wants_f32_)[store.value.id] = true;
    }
    choices_.resize(graph_.ops.size(), Gives::kF32);
    for (size_t at = graph_.ops.size(); at-- > 0;) {
      const OpNode& node = graph_.ops[at];
      const Rule& rule = RuleFor(node);
      const bool applies = Applies(rule, node);
      if (applies) choices_[at] = Choose(rule, node);
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const Gives wanted = Wanted(applies ? TakenAs(rule, i) : kF32, choices_[at]);
        if (wanted == Gives::kF32) wants_f32_[node.inputs[i].id] = true;
        if (wanted == Gives::kBf16) wants_bf16_[node.inputs[i].id] = true;
      }
    }
  }

  // What an op wants of an operand that it takes so.
  static Gives Wanted(char taken, Gives choice) {
    if (taken == kAsItIs || taken == kNarrower) return Gives::kEither;
    return taken == kBf16 ? Gives::kBf16 : taken == kF32 ? Gives::kF32 : choice;
  }

  Gives Choose(const Rule& rule, const OpNode& node) const {
    const auto wanted = [&](const std::vector<bool>& wants) {
      return std::any_of(node.results.begin(), node.results.end(), [&](Value r) { return wants[r.id]; });
    };
    if (rule.takes[0] == kBf16 && rule.choice.empty()) return Gives::kBf16;
    const bool wants_f32 = rule.takes[0] == kMoves ? wanted(wants_f32_) : wants_f32_[node.results[0].id];
    if (AddsInF32(node) || wants_f32) return Gives::kF32;
    if (rule.takes[0] == kFollows && !may_be_bf16_[node.results[0].id]) return Gives::kF32;
    if (rule.takes[0] != kMoves || wanted(wants_bf16_)) return Gives::kBf16;
    return node.op == Op::kConcat ? Gives::kF32 : Gives::kEither;  // its operands may differ
  }

  Status Rewrite(OpNode& node, Gives choice) {
    const Rule& rule = RuleFor(node);
    const bool applies = Applies(rule, node);
    std::vector<Type> types;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      ASSIGN_OR_RETURN(node.inputs[i], Operand(node, node.inputs[i], applies ? TakenAs(rule, i) : kF32, choice));
      types.push_back(graph_.type(node.inputs[i]));
    }
    if (applies) {
      const bool read_bf16 = types[0].dtype == kNarrow;
      if (rule.choice == "widen") {
        node.attributes.Set("widen", read_bf16 && (node.op == Op::kSum || (choice == Gives::kF32 && !AddsInF32(node))));
      } else if (rule.choice == "narrow") {
        node.attributes.Set("narrow", !read_bf16 && choice == Gives::kBf16);
      }
      ASSIGN_OR_RETURN(const std::vector<Type> results, InferTypes({InfoOf(node.op), types, node.attributes, {}, {}}));
      for (size_t r = 0; r < results.size(); ++r) graph_.info(node.results[r]).type = results[r];
    }
    Remark(node, rule, applies);
    rewriter_.Keep(std::move(node));
    return OkStatus();
  }

  void Remark(const OpNode& node, const Rule& rule, bool applies) {
    if (applies && rule.takes[0] == kBf16) {
      context_.Done(node.location, Cat(graph_.name, ": ", NameOf(node.op), " takes bf16"));
    } else if (applies && rule.choice == "narrow" && graph_.type(node.results[0]).dtype == kNarrow) {
      context_.Done(node.location, Cat(graph_.name, ": ", NameOf(node.op), " gives bf16; its statistics stay f32"));
    } else if (!applies && graph_.type(node.results[0]).dtype == DType::kF32 && !AddsToGradient(node)) {
      const std::string_view why = WhyF32(graph_, node);
      if (!why.empty()) context_.Missed(node.location, Cat(graph_.name, ": ", NameOf(node.op), " stays f32: ", why));
    }
  }

  bool AddsToGradient(const OpNode& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](Value input) {
      const ValueInfo& info = graph_.info(input);
      return info.kind == ValueInfo::Kind::kState && module_.states[info.producer].kind == StateKind::kGradient;
    });
  }

  StatusOr<Value> Operand(const OpNode& node, Value value, char taken, Gives choice) {
    if (!written_f32_[value.id]) return value;
    const Gives wanted = Wanted(taken, choice);
    if (wanted != Gives::kEither) return As(node, value, wanted == Gives::kBf16 ? kNarrow : DType::kF32);
    const bool reads_copy = taken == kNarrower || context_.options().residual == DType::kBF16;
    return reads_copy && wants_bf16_[value.id] ? As(node, value, kNarrow) : value;
  }

  // The value in this type, for `reader`.
  StatusOr<Value> As(const OpNode& reader, Value value, DType dtype) {
    const ValueInfo& info = graph_.info(value);
    if (info.type.dtype == dtype) return value;
    if (other_[value.id].valid()) return other_[value.id];
    if (info.kind == ValueInfo::Kind::kState && module_.states[info.producer].kind == StateKind::kParameter) {
      ASSIGN_OR_RETURN(const int copy, copies_.Of(info.producer, reader.location));
      return other_[value.id] = module_.StateValue(graph_, copy);
    }
    return other_[value.id] = rewriter_.BuilderFor(reader).Cast(rewriter_.Wrap(value), dtype).value;
  }
  Status KeepF32(Value& value) {
    if (!written_f32_[value.id]) return OkStatus();
    const OpNode* producer = rewriter_.Producer(value);
    ASSIGN_OR_RETURN(value, As(producer != nullptr ? *producer : OpNode{}, value, DType::kF32));
    return OkStatus();
  }

  Module& module_;
  Graph& graph_;
  Copies& copies_;
  const std::vector<bool>& bf16_caches_;  // by state
  PassContext& context_;
  Rewriter rewriter_;
  // By value, as the graph was written.
  std::vector<bool> written_f32_, wants_f32_, wants_bf16_, may_be_bf16_;
  std::vector<Value> other_;    // the same value in the other type, once somebody asked
  std::vector<Gives> choices_;  // by op
};

// The f32 caches that cache_update and cached_attention touch and nothing else does, by state.
std::vector<bool> CachesForAttention(const Module& module) {
  std::vector<bool> found, used(module.states.size());
  for (const State& state : module.states)
    found.push_back(state.kind == StateKind::kCache && state.type.dtype == DType::kF32);
  for (const Graph& graph : module.graphs) {
    // The cache that a value is, or is the update of.
    std::vector<int> cache(graph.value_count(), -1);
    for (int id = 0; id < graph.value_count(); ++id) {
      const ValueInfo& info = graph.info(Value{id});
      if (info.kind == ValueInfo::Kind::kState && found[info.producer]) cache[id] = info.producer;
    }
    const auto refuse = [&](Value value) {
      if (cache[value.id] >= 0) found[cache[value.id]] = false;
    };
    for (const OpNode& node : graph.ops) {
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const bool update = node.op == Op::kCacheUpdate && i == 0;
        const bool attention = node.op == Op::kCachedAttention && (i == 1 || i == 2);
        if (!update && !attention) refuse(node.inputs[i]);
        if (cache[node.inputs[i].id] >= 0) used[cache[node.inputs[i].id]] = true;
      }
      if (node.op == Op::kCacheUpdate) cache[node.results[0].id] = cache[node.inputs[0].id];
    }
    for (const Output& output : graph.outputs) refuse(output.value);
    for (const Store& store : graph.stores) {
      if (cache[store.value.id] == store.state) continue;
      refuse(store.value);
      found[store.state] = false;
    }
  }
  for (size_t i = 0; i < found.size(); ++i) found[i] = found[i] && used[i];
  return found;
}

}  // namespace

Status MixedPrecision(Module& module, PassContext& context) {
  const PassOptions& options = context.options();
  if (options.compute == DType::kF32) return OkStatus();
  if (options.compute != DType::kBF16) {
    return UsageError("products in ", NameOf(options.compute), " are for CUDA targets; ", options.target,
                      " computes in f32 or bf16");
  }
  if (!HasBf16Products(options.target)) {
    context.Missed({}, Cat(options.target, " has no products of bf16: they are computed in f32"));
  }

  const std::vector<bool> caches = CachesForAttention(module);
  for (size_t i = 0; i < caches.size(); ++i) {
    if (caches[i]) module.states[i].type.dtype = DType::kBF16;
  }
  Copies copies(module);
  for (Graph& graph : module.graphs) {
    RETURN_IF_ERROR(GraphInBf16(module, graph, copies, caches, context).Run());
  }
  return KeepDerived(module, copies.made());
}

}  // namespace gptc
