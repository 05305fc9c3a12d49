#include "passes/fuse_attention.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "passes/dce.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

constexpr int64_t kMaxHeadSize = 256;

using Permutation = std::vector<int64_t>;
const Permutation kHeadsFirst = {0, 2, 1, 3};  // [B, T, H, D] <-> [B, H, T, D]
const Permutation kKeysAcross = {0, 2, 3, 1};  // [B, T, H, D] -> [B, H, D, T]
const Permutation kLastSwapped = {0, 2, 1};    // the same of one head, [B, T, D]

struct Attention {
  int merge = -1;  // the op whose result is replaced: the transpose that merges the heads, or of one head the product
  Value qkv, scalars;
  int64_t heads = 1, head_size = 0;
  double scale = 1, rate = 0;
  int64_t key = 0;
  bool causal = false;
  Location location;
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph.value_count()) {
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      for (Value input : graph.ops[i].inputs) readers_[input.id].push_back(static_cast<int>(i));
    }
    for (const Output& output : graph.outputs) readers_[output.value.id].push_back(kOutput);
    for (const Store& store : graph.stores) readers_[store.value.id].push_back(kStore);
  }

  // The attention around graph.ops[softmax]. Where there is none, why() says why not; "" where nobody would expect one.
  std::optional<Attention> Find(int softmax) {
    why_.clear();
    Attention found;
    if (!LeadsToProduct(Op(softmax).results[0])) return {};
    if (!Scores(softmax, found) || !Weights(softmax, found)) return {};
    found.location = Op(softmax).location;
    return found;
  }
  const std::string& why() const { return why_; }

 private:
  static constexpr int kOutput = -1, kStore = -2;
  // A value that is q, k or v: which third of what.
  struct Part {
    Value source;
    int64_t index = -1, heads = 1, head_size = 0;
    double scale = 1;
  };
  struct Scaled {
    Value value;
    double factor;
  };

  const OpNode& Op(int index) const { return graph_.ops[index]; }
  const Shape& ShapeOf(Value value) const { return graph_.type(value).shape; }
  int ProducerIndex(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }
  const OpNode* Producer(Value value, gptc::Op op) const {
    int index = ProducerIndex(value);
    return index >= 0 && Op(index).op == op ? &Op(index) : nullptr;
  }
  std::string Text(Value value) const { return Cat("%", graph_.info(value).name); }
  static std::string At(const OpNode& node) {
    return Cat(NameOf(node.op), node.location.known() ? Cat(" at ", node.location.Text()) : "");
  }

  bool No(std::string why) {
    why_ = std::move(why);
    return false;
  }

  // Whether `expected` is all that reads the value; if not, why() names another reader.
  bool OnlyReader(Value value, const char* what, int expected) {
    const std::vector<int>& readers = readers_[value.id];
    if (readers.size() == 1 && readers[0] == expected) return true;
    int other = expected;
    for (int reader : readers) {
      if (reader != expected) other = reader;
    }
    return No(Cat("the ", what, " ", Text(value),
                  other == expected  ? " are read twice by "
                  : other == kOutput ? " are an output of the graph as well"
                  : other == kStore  ? " are stored as well"
                                     : " are also read by ",
                  other >= 0 ? At(Op(other)) : ""));
  }

  // x · c or x / c with a constant c that does not change x's type.
  std::optional<Scaled> Factor(const OpNode& node) const {
    if (node.op != Op::kMul && node.op != Op::kDiv) return {};
    for (int side = 0; side < (node.op == Op::kMul ? 2 : 1); ++side) {
      const OpNode* constant = Producer(node.inputs[1 - side], Op::kConstant);
      if (constant == nullptr || graph_.type(node.inputs[side]) != graph_.type(node.results[0])) continue;
      double number = constant->attributes.Double("value");
      return Scaled{node.inputs[side], node.op == Op::kMul ? number : 1 / number};
    }
    return {};
  }

  // The reader of `value`, directly or through dropout, that multiplies it by something from the right.
  bool LeadsToProduct(Value value) const {
    for (int reader : readers_[value.id]) {
      if (reader < 0 || Op(reader).inputs[0] != value) continue;
      if (Op(reader).op == Op::kMatMul) return true;
      if (Op(reader).op == Op::kDropout && LeadsToProduct(Op(reader).results[0])) return true;
    }
    return false;
  }

  // From the softmax back to q and k.
  bool Scores(int softmax, Attention& found) {
    found.causal = Op(softmax).attributes.Bool("causal");
    int reader = softmax;
    std::vector<std::pair<Value, int>> way;  // each value between, and what reads it
    while (true) {
      Value scores = Op(reader).inputs[0];
      // A factor may have the scores as its second operand.
      if (reader != softmax && Op(reader).op != Op::kCausalMask) scores = Factor(Op(reader))->value;
      way.emplace_back(scores, reader);
      reader = ProducerIndex(scores);
      if (reader < 0) return false;
      const OpNode& node = Op(reader);
      if (node.op == Op::kMatMul) break;
      if (node.op == Op::kCausalMask) {
        if (!(found.scale > 0)) return No(Cat("the scores are multiplied by ", found.scale, " after ", At(node)));
        found.causal = true;
      } else if (std::optional<Scaled> factor = Factor(node)) {
        found.scale *= factor->factor;
      } else {
        if (std::none_of(node.inputs.begin(), node.inputs.end(), [&](Value v) { return ComesFromProduct(v); }))
          return false;
        return No(Cat("the scores go through ", At(node), "; only a causal mask and constant factors can be fused"));
      }
    }
    const OpNode& product = Op(reader);
    if (product.inputs.size() != 2 || product.attributes.Bool("transpose_a")) {
      return No(Cat("the scores' product ", At(product), " has another form than q·kᵀ"));
    }
    for (const auto& [value, expected] : way) {
      if (!OnlyReader(value, "scores", expected)) return false;
    }
    if (DType dtype = graph_.type(product.results[0]).dtype; dtype != DType::kF32 && dtype != DType::kBF16) {
      return No(Cat("the scores are ", NameOf(dtype), "; there are kernels for f32 and bf16"));
    }
    Part q, k;
    if (!HeadsOf(product.inputs[0], "q", true, q)) return false;
    if (!HeadsOf(product.inputs[1], "k", product.attributes.Bool("transpose_b"), k)) return false;
    if (q.source != k.source || q.index != 0 || k.index != 1 || q.heads != k.heads) return NotOneSplit();
    found.qkv = q.source;
    found.heads = q.heads;
    found.head_size = q.head_size;
    found.scale *= q.scale * k.scale;
    if (found.head_size > kMaxHeadSize) return No(Cat("the head size ", found.head_size, " is above ", kMaxHeadSize));
    if (!std::isfinite(found.scale)) return No("the scores' factor is not finite");
    return true;
  }

  // From the softmax on to the merged heads.
  bool Weights(int softmax, Attention& found) {
    int at = softmax;
    if (!WeightsReader(at)) return false;
    if (Op(at).op == Op::kDropout) {
      found.rate = Op(at).attributes.Double("rate");
      found.key = Op(at).attributes.Int("key");
      found.scalars = Op(at).inputs[1];
      if (!WeightsReader(at)) return false;
    }
    const OpNode& product = Op(at);
    if (product.op != Op::kMatMul || product.inputs.size() != 2 || product.attributes.Bool("transpose_a") ||
        product.attributes.Bool("transpose_b")) {
      return No(Cat("the weights' product ", At(product), " has another form than weights·v"));
    }
    Part v;
    if (!HeadsOf(product.inputs[1], "v", true, v)) return false;
    if (v.source != found.qkv || v.index != 2 || v.heads != found.heads) return NotOneSplit();
    if (v.scale != 1) return No("v is multiplied by a constant");
    found.merge = at;
    if (ShapeOf(product.results[0]).size() == 3) return true;
    const std::vector<int>& readers = readers_[product.results[0].id];
    auto merges = [&](int reader) {
      return reader >= 0 && Op(reader).op == Op::kTranspose && Op(reader).attributes.Ints("permutation") == kHeadsFirst;
    };
    auto merge = std::find_if(readers.begin(), readers.end(), merges);
    if (merge == readers.end())
      return No(Cat("the heads of ", Text(product.results[0]), " are not merged by transpose"));
    if (!OnlyReader(product.results[0], "heads", *merge)) return false;
    found.merge = *merge;
    return true;
  }

  // Goes on to the op that reads the only result of `at`: a product or dropout.
  bool WeightsReader(int& at) {
    Value weights = Op(at).results[0];
    for (int reader : readers_[weights.id]) {
      if (reader < 0 || Op(reader).inputs[0] != weights) continue;
      if (Op(reader).op != Op::kMatMul && Op(reader).op != Op::kDropout) continue;
      at = reader;
      return OnlyReader(weights, "weights", reader);
    }
    return No(Cat("the weights ", Text(weights), " are not multiplied by v"));
  }

  bool NotOneSplit() { return No("q, k and v are not the three parts of one split, in this order"); }

  // Takes the factors off a value.
  Value Unscaled(Value value, double& scale) const {
    for (int index = ProducerIndex(value); index >= 0; index = ProducerIndex(value)) {
      std::optional<Scaled> factor = Factor(Op(index));
      if (!factor) break;
      scale *= factor->factor;
      value = factor->value;
    }
    return value;
  }

  // q, k or v as the products read it: [B, H, T, D], or [B, T, D] of one head; its last two axes exchanged unless
  // `by_row`.
  bool HeadsOf(Value value, const char* what, bool by_row, Part& part) {
    auto no = [&] { return No(Cat(what, " is not split into heads by reshape and transpose")); };
    value = Unscaled(value, part.scale);
    const bool many = ShapeOf(value).size() == 4;
    if (!many && ShapeOf(value).size() != 3) return no();
    if (many || !by_row) {
      const OpNode* transpose = Producer(value, Op::kTranspose);
      const Permutation& wanted = !many ? kLastSwapped : by_row ? kHeadsFirst : kKeysAcross;
      if (transpose == nullptr || transpose->attributes.Ints("permutation") != wanted) return no();
      value = Unscaled(transpose->inputs[0], part.scale);
    }
    if (many) {
      const OpNode* reshape = Producer(value, Op::kReshape);
      if (reshape == nullptr) return no();
      const Shape apart = ShapeOf(value);
      value = reshape->inputs[0];
      if (ShapeOf(value) != Shape{apart[0], apart[1], apart[2] * apart[3]}) return no();
      part.heads = apart[2];
      value = Unscaled(value, part.scale);
    }
    const Shape& shape = ShapeOf(value);
    part.head_size = part.heads == 0 ? 0 : shape[2] / part.heads;
    if (part.head_size == 0) return no();
    if (const OpNode* split = Producer(value, Op::kSplit)) {
      if (split->attributes.Int("axis") != 2 || split->results.size() != 3) return NotOneSplit();
      part.source = split->inputs[0];
      part.index = graph_.info(value).result_index;
      return true;
    }
    const OpNode* slice = Producer(value, Op::kSlice);
    if (slice == nullptr || slice->attributes.Int("axis") != 2 || ShapeOf(slice->inputs[0])[2] != 3 * shape[2] ||
        slice->attributes.Int("start") % shape[2] != 0) {
      return NotOneSplit();
    }
    part.source = slice->inputs[0];
    part.index = slice->attributes.Int("start") / shape[2];
    return true;
  }

  // A product, but for factors and masks.
  bool ComesFromProduct(Value value) const {
    double scale = 1;
    value = Unscaled(value, scale);
    if (const OpNode* mask = Producer(value, Op::kCausalMask)) value = Unscaled(mask->inputs[0], scale);
    return Producer(value, Op::kMatMul) != nullptr;
  }

  const Graph& graph_;
  std::vector<std::vector<int>> readers_;  // by value id: ops, kOutput, kStore; as often as they read it
  std::string why_;
};

Status FuseGraph(Module& module, Graph& graph, PassContext& context, bool& changed) {
  graph.Renumber();
  std::vector<Attention> found;
  Finder finder(graph);
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    if (graph.ops[i].op != Op::kSoftmax) continue;
    std::optional<Attention> attention = finder.Find(static_cast<int>(i));
    if (attention) {
      found.push_back(*attention);
    } else if (!finder.why().empty()) {
      context.Missed(graph.ops[i].location, Cat(graph.name, ": not fused: ", finder.why()));
    }
  }
  if (found.empty()) return OkStatus();
  changed = true;

  Rewriter rewriter(module, graph);
  int at = 0;
  for (OpNode& node : rewriter.TakeOps()) {
    auto attention = std::find_if(found.begin(), found.end(), [&](const Attention& a) { return a.merge == at; });
    ++at;
    if (attention != found.end()) {
      const Attention& a = *attention;
      OpNode origin = node;
      origin.location = a.location;
      GraphBuilder& g = rewriter.BuilderFor(origin);
      Tensor scalars = a.rate > 0 ? rewriter.Wrap(rewriter.Resolve(a.scalars)) : Tensor{};
      Tensor y = g.FlashAttention(rewriter.Wrap(rewriter.Resolve(a.qkv)), scalars, a.heads, a.scale, a.causal, a.rate,
                                  a.rate > 0 ? a.key : 0)
                     .y;
      RETURN_IF_ERROR(g.Finish());
      const Shape& shape = graph.type(node.results[0]).shape;
      rewriter.Replace(node.results[0], shape == y.shape() ? y.value : g.Reshape(y, shape).value);
      const Shape& tokens = y.shape();
      context.Done(a.location,
                   Cat(graph.name, ": attention of ", a.heads, a.heads == 1 ? " head" : " heads", " of size ",
                       a.head_size, ": no ", ShapeText({tokens[0], a.heads, tokens[1], tokens[1]}), " tensor is made"));
      continue;
    }
    rewriter.ResolveInputs(node);
    // A reshape that merges the heads reads what flash_attention gives, or is it.
    const OpNode* inner = node.op == Op::kReshape ? rewriter.Producer(node.inputs[0]) : nullptr;
    const OpNode* source =
        inner != nullptr && inner->op == Op::kReshape ? rewriter.Producer(inner->inputs[0]) : nullptr;
    if (source != nullptr && source->op == Op::kFlashAttention) {
      node.inputs[0] = inner->inputs[0];
      if (graph.type(node.inputs[0]) == graph.type(node.results[0])) {
        rewriter.Replace(node.results[0], node.inputs[0]);
        continue;
      }
    }
    rewriter.Keep(std::move(node));
  }
  return rewriter.Finish();
}

}  // namespace

Status FuseAttention(Module& module, PassContext& context) {
  bool changed = false;
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(FuseGraph(module, graph, context, changed));
  // What only the fused ops read.
  return changed ? EliminateDeadCode(module, context) : OkStatus();
}

}  // namespace gptc
