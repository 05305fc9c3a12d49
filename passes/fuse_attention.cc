#include "passes/fuse_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "passes/attention_mask.h"
#include "passes/dce.h"
#include "passes/readers.h"
#include "passes/rewriter.h"
#include "passes/strided_view.h"

namespace gptc {
namespace {

constexpr int64_t kMaxHeadSize = 256;

// A finite number that, added to a score or in its place, hides it: no softmax gives such an entry any weight, but for
// scores so large that it has none to give to most others either.
constexpr double kHidden = -1e4;
constexpr double kNothing = -std::numeric_limits<double>::infinity();

struct Attention {
  Value result;        // what is replaced: the merged heads, or else the heads apart
  bool merged = true;  // which of them
  int at = -1;         // the op that makes it
  Value source;        // q, k and v side by side, [B, T, 3·C] but for reshapes
  Value scalars, segments;
  int64_t batch = 1, tokens = 0, heads = 1, head_size = 0;
  double scale = 1, rate = 0;
  int64_t key = 0;
  bool causal = false;
  Location location;

  int64_t width() const { return heads * head_size; }
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph) {}

  // The attention around graph.ops[softmax]. Where there is none, why() says why not; "" where nobody would expect one.
  std::optional<Attention> Find(int softmax) {
    why_.clear();
    Attention found;
    if (!LeadsToProduct(Op(softmax).results[0])) return {};
    std::vector<Part> q, k, v;
    if (!Scores(softmax, found, q, k) || !Weights(softmax, found, v) || !OneSource(q, k, v, found)) return {};
    found.location = Op(softmax).location;
    return found;
  }
  const std::string& why() const { return why_; }

 private:
  // Where q, k or v may come from: a third of `source`, times a factor.
  struct Part {
    Value source;
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
  bool OnlyReader(Value value, std::string_view what, int expected) {
    const std::vector<int>& readers = readers_.Of(value);
    if (readers.size() == 1 && readers[0] == expected) return true;
    int other = expected;
    for (int reader : readers) {
      if (reader != expected) other = reader;
    }
    return No(Cat("the ", what, " ", Text(value),
                  other == expected           ? " are read twice by "
                  : other == Readers::kOutput ? " are an output of the graph as well"
                  : other == Readers::kStore  ? " are stored as well"
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
    for (int reader : readers_.Of(value)) {
      if (reader < 0 || Op(reader).inputs[0] != value) continue;
      if (Op(reader).op == Op::kMatMul) return true;
      if (Op(reader).op == Op::kDropout && LeadsToProduct(Op(reader).results[0])) return true;
    }
    return false;
  }

  // From the softmax back to q and k.
  bool Scores(int softmax, Attention& found, std::vector<Part>& q, std::vector<Part>& k) {
    const OpNode& node = Op(softmax);
    found.causal = node.attributes.Bool("causal");
    MaskReader masks(graph_, ShapeOf(node.results[0]));
    Value scores = node.inputs[0];
    std::vector<std::pair<Value, int>> way = {{scores, softmax}};  // each value between, and what reads it
    int product = ProducerIndex(scores);
    for (; product >= 0 && Op(product).op != Op::kMatMul; product = ProducerIndex(scores)) {
      const std::optional<Value> before = BeforeStep(Op(product), masks, found);
      if (!before) return false;
      scores = *before;
      way.emplace_back(scores, product);
    }
    if (product < 0) return false;
    if (Op(product).inputs.size() != 2 || Op(product).attributes.Bool("transpose_a")) {
      return No(Cat("the scores' product ", At(Op(product)), " has another form than q·kᵀ"));
    }
    for (const auto& [value, expected] : way) {
      if (!OnlyReader(value, "scores", expected)) return false;
    }
    if (DType dtype = graph_.type(scores).dtype; dtype != DType::kF32 && dtype != DType::kBF16) {
      return No(Cat("the scores are ", NameOf(dtype), "; there are kernels for f32 and bf16"));
    }
    const Value left = Op(product).inputs[0], right = Op(product).inputs[1];
    const Shape& heads = ShapeOf(left);
    if (heads.size() != 3 && heads.size() != 4) return No("the scores' product is not one of heads");
    if (ElementCount(heads) == 0) return false;
    found.tokens = heads.end()[-2];
    found.head_size = heads.back();
    found.batch = ElementCount(heads) / (found.tokens * found.head_size);
    if (heads.size() == 4) SetHeads(heads[1], found);
    q = PartsOf(left, true, 0, found);
    k = PartsOf(right, Op(product).attributes.Bool("transpose_b"), 1, found);
    if (q.empty() || k.empty()) return NotSideBySide();
    if (found.head_size > kMaxHeadSize) return No(Cat("the head size ", found.head_size, " is above ", kMaxHeadSize));
    if (found.segments.valid() && heads.size() == 3 && found.heads != 1) {
      return No("the segments are those of each head");
    }
    return true;
  }

  // `node` makes scores of others, by a constant factor or by hiding some: notes what it does, and returns the others.
  std::optional<Value> BeforeStep(const OpNode& node, MaskReader& masks, Attention& found) {
    if (std::optional<Scaled> factor = Factor(node)) {
      found.scale *= factor->factor;
      return factor->value;
    }
    if (node.op == Op::kCausalMask) {
      return Hide(node, node.inputs[0], {{{kNothing, kNothing}, {0, 0}}}, {}, found);
    }
    if (node.op == Op::kAdd || node.op == Op::kSub) {
      for (int side = 0; side < (node.op == Op::kAdd ? 2 : 1); ++side) {
        std::optional<AttentionMask> mask = masks.Read(node.inputs[1 - side]);
        if (!mask) continue;
        if (node.op == Op::kSub) {
          for (auto& row : mask->values) row = {-row[0], -row[1]};
        }
        return Hide(node, node.inputs[side], mask->values, mask->segments, found);
      }
    }
    if (node.op == Op::kSelect) {
      const std::optional<AttentionMask> condition = masks.Read(node.inputs[0]);
      for (int side = 1; condition && side <= 2; ++side) {
        std::optional<AttentionMask> instead = masks.Read(node.inputs[3 - side]);
        if (!instead || !instead->constant()) continue;
        if (const double value = instead->values[0][0]; !(value * found.scale <= kHidden)) {
          No(Cat(At(node), " puts ", value, " in the place of scores, which hides them only below ", kHidden));
          return {};
        }
        for (int i = 0; i < 4; ++i) {
          const bool kept = (condition->values[i / 2][i % 2] != 0) == (side == 1);
          if (kept) instead->values[i / 2][i % 2] = 0;
        }
        return Hide(node, node.inputs[side], instead->values, condition->segments, found);
      }
    }
    if (std::any_of(node.inputs.begin(), node.inputs.end(), [&](Value v) { return ComesFromProduct(v); })) {
      No(Cat("the scores go through ", At(node),
             "; only constant factors and masks by position or segment can be fused"));
    }
    return {};
  }

  // Notes a mask: by [not after the query][same segment] 0 where a score stays and else what hides it.
  std::optional<Value> Hide(const OpNode& node, Value scores, const std::array<std::array<double, 2>, 2>& mask,
                            Value segments, Attention& found) {
    if (graph_.type(scores) != graph_.type(node.results[0])) {
      No(Cat("the scores grow in ", At(node)));
      return {};
    }
    if (!(found.scale > 0)) {
      No(Cat("the scores are multiplied by ", found.scale, " after ", At(node)));
      return {};
    }
    bool hidden[4];
    for (int i = 0; i < 4; ++i) {
      const double value = mask[i / 2][i % 2] * found.scale;
      hidden[i] = value <= kHidden;
      if (!hidden[i] && value != 0) {
        No(Cat("the mask in ", At(node), " is neither 0 nor below ", kHidden));
        return {};
      }
    }
    const bool causal = hidden[1], by_segment = hidden[2];
    if (hidden[3] || hidden[0] != (causal || by_segment)) {
      No(Cat("the mask in ", At(node), " hides what is neither later nor of another segment"));
      return {};
    }
    if (by_segment && found.segments.valid() && found.segments != segments) {
      No(Cat("the mask in ", At(node), " knows other segments than the one after it"));
      return {};
    }
    found.causal |= causal;
    if (by_segment) found.segments = segments;
    return scores;
  }

  void SetHeads(int64_t heads, Attention& found) const {
    found.batch = found.batch * found.heads / heads;
    found.heads = heads;
  }

  // From the softmax on to the merged heads.
  bool Weights(int softmax, Attention& found, std::vector<Part>& v) {
    int at = softmax;
    if (!WeightsReader(at)) return false;
    if (Op(at).op == Op::kDropout) {
      found.rate = Op(at).attributes.Double("rate");
      found.key = Op(at).attributes.Int("key");
      found.scalars = Op(at).inputs[1];
      if (ShapeOf(Op(at).results[0]).size() == 3 && found.heads != 1) {
        return No(Cat(At(Op(at)), " counts each head as a sequence"));
      }
      if (!WeightsReader(at)) return false;
    }
    const OpNode& product = Op(at);
    if (product.op != Op::kMatMul || product.inputs.size() != 2 || product.attributes.Bool("transpose_a")) {
      return No(Cat("the weights' product ", At(product), " has another form than weights·v"));
    }
    v = PartsOf(product.inputs[1], !product.attributes.Bool("transpose_b"), 2, found);
    if (v.empty()) return NotSideBySide();
    found.at = at;
    found.result = product.results[0];
    found.merged = Merged(found);
    return true;
  }

  // Follows the heads to where they lie merged, [B, T, C] but for reshapes; false where they do not come to.
  bool Merged(Attention& found) const {
    const int64_t rows = found.tokens * found.head_size;
    StridedView::Steps merged;
    StridedView::Append(merged, {found.batch, found.heads * rows});
    StridedView::Append(merged, {found.tokens, found.head_size});
    StridedView::Append(merged, {found.heads, rows});
    StridedView::Append(merged, {found.head_size, 1});
    Value value = found.result;
    for (std::vector<int> way;;) {
      std::optional<StridedView> view = StridedView(ShapeOf(value));
      for (size_t i = way.size(); view && i-- > 0;) view = view->Through(graph_, Op(way[i]), 0);
      if (!view) return false;
      if (view->offset() == 0 && view->Merged(0, ShapeOf(value).size()) == merged) {
        found.result = value;
        if (!way.empty()) found.at = way.back();
        return true;
      }
      const std::vector<int>& readers = readers_.Of(value);
      if (readers.size() != 1 || readers[0] < 0) return false;
      const OpNode& reader = Op(readers[0]);
      if (reader.op != Op::kReshape && reader.op != Op::kTranspose) return false;
      value = reader.results[0];
      way.push_back(readers[0]);
    }
  }

  // Goes on to the op that reads the only result of `at`: a product or dropout.
  bool WeightsReader(int& at) {
    Value weights = Op(at).results[0];
    for (int reader : readers_.Of(weights)) {
      if (reader < 0 || Op(reader).inputs[0] != weights) continue;
      if (Op(reader).op != Op::kMatMul && Op(reader).op != Op::kDropout) continue;
      at = reader;
      return OnlyReader(weights, "weights", reader);
    }
    return No(Cat("the weights ", Text(weights), " are not multiplied by v"));
  }

  bool NotSideBySide() { return No("q, k and v do not lie side by side, in this order, in one tensor [B, T, 3·C]"); }

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

  // The tensors of which `value`, q, k or v as a product reads it, is the third `part` of every head: [B, heads, T, D],
  // [B · heads, T, D] or, of one head, [B, T, D]; the last two axes exchanged unless `by_row`.
  std::vector<Part> PartsOf(Value value, bool by_row, int64_t part, Attention& found) const {
    std::vector<Part> parts;
    const Shape shape = ShapeOf(value);
    const size_t rank = shape.size(), row = rank - (by_row ? 2 : 1), column = rank - (by_row ? 1 : 2);
    const int64_t tokens = found.tokens, size = found.head_size, leading = found.batch * found.heads;
    if ((rank != 3 && rank != 4) || shape[row] != tokens || shape[column] != size) return parts;
    if (rank == 4 ? shape[0] != found.batch || shape[1] != found.heads : shape[0] != leading) return parts;
    double scale = 1;
    for (std::optional<StridedView> view = StridedView(shape); view;) {
      value = Unscaled(value, scale);
      const StridedView::Steps lead = view->Merged(0, rank - 2);
      // Whether the leading axis of three counts heads shows in its innermost step.
      if (part == 0 && rank == 3 && !lead.empty() && lead.back().stride == size) SetHeads(lead.back().size, found);
      const int64_t packed = 3 * found.width();
      StridedView::Steps leads, rows, columns;
      StridedView::Append(leads, {found.batch, tokens * packed});
      StridedView::Append(leads, {found.heads, size});
      StridedView::Append(rows, {tokens, packed});
      StridedView::Append(columns, {size, 1});
      if (view->offset() == part * found.width() && lead == leads && view->axis(row) == rows &&
          view->axis(column) == columns && ElementCount(ShapeOf(value)) == 3 * leading * tokens * size) {
        Value source = value;
        while (const OpNode* reshape = Producer(source, Op::kReshape)) source = reshape->inputs[0];
        parts.push_back({source, scale});
      }
      const int index = ProducerIndex(value);
      if (index < 0) break;
      view = view->Through(graph_, Op(index), graph_.info(value).result_index);
      value = Op(index).inputs.empty() ? value : Op(index).inputs[0];
    }
    return parts;
  }

  // The tensor that all three come from.
  bool OneSource(const std::vector<Part>& q, const std::vector<Part>& k, const std::vector<Part>& v, Attention& found) {
    for (const Part& a : q) {
      for (const Part& b : k) {
        for (const Part& c : v) {
          if (a.source != b.source || a.source != c.source) continue;
          if (c.scale != 1) return No("v is multiplied by a constant");
          found.source = a.source;
          found.scale *= a.scale * b.scale;
          return std::isfinite(found.scale) || No("the scores' factor is not finite");
        }
      }
    }
    return NotSideBySide();
  }

  // A product, but for factors and masks.
  bool ComesFromProduct(Value value) const {
    double scale = 1;
    value = Unscaled(value, scale);
    if (const OpNode* mask = Producer(value, Op::kCausalMask)) value = Unscaled(mask->inputs[0], scale);
    return Producer(value, Op::kMatMul) != nullptr;
  }

  const Graph& graph_;
  Readers readers_;
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
    auto attention = std::find_if(found.begin(), found.end(), [&](const Attention& a) { return a.at == at; });
    ++at;
    if (attention != found.end()) {
      const Attention& a = *attention;
      OpNode origin = node;
      origin.location = a.location;
      GraphBuilder& g = rewriter.BuilderFor(origin);
      const auto of = [&](Value value) { return value.valid() ? rewriter.Wrap(rewriter.Resolve(value)) : Tensor{}; };
      const auto shaped = [&](Tensor t, const Shape& to) {
        return !t.valid() || t.shape() == to ? t : g.Reshape(t, to);
      };
      const Tensor qkv = shaped(of(a.source), {a.batch, a.tokens, 3 * a.width()});
      const Tensor segments = shaped(of(a.segments), {a.batch, a.tokens});
      Tensor y = g.FlashAttention(qkv, a.rate > 0 ? of(a.scalars) : Tensor{}, segments, a.heads, a.scale, a.causal,
                                  a.rate, a.rate > 0 ? a.key : 0)
                     .y;
      RETURN_IF_ERROR(g.Finish());
      if (!a.merged) {
        y = g.Transpose(g.Reshape(y, {a.batch, a.tokens, a.heads, a.head_size}), {0, 2, 1, 3});
      }
      rewriter.Replace(a.result, shaped(y, graph.type(a.result).shape).value);
      context.Done(a.location,
                   Cat(graph.name, ": attention of ", a.heads, a.heads == 1 ? " head" : " heads", " of size ",
                       a.head_size, ": no ", ShapeText({a.batch, a.heads, a.tokens, a.tokens}), " tensor is made"));
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
