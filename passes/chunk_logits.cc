#include "passes/chunk_logits.h"

#include <algorithm>
#include <optional>

#include "passes/readers.h"
#include "passes/rewriter.h"

namespace gptc {
namespace {

// What reads the gradient of the logits, by what becomes of its rows.
struct Reader {
  enum class Kind {
    kRows,    // rows of a product with a matrix: concatenated
    kLeft,    // dlogitsᵀ·other: added up
    kRight,   // otherᵀ·dlogits: added up
    kColumns  // a sum over rows: added up
  };
  Kind kind;
  int op;
  Value other;  // the second operand, of kLeft and kRight without reshapes

  bool adds_products() const { return kind == Kind::kLeft || kind == Kind::kRight; }
};

// A classifier, its loss and what reads its gradient.
struct Classifier {
  int product = -1, loss = -1;
  Value x;  // what the classifier reads, without reshapes
  int64_t rows = 0;
  std::vector<Reader> readers;
  std::vector<int> gone;  // ops, reshapes among them, that the chunks replace
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph) {}

  // The classifier of the loss graph.ops[loss]; else why() says why not.
  std::optional<Classifier> Find(int loss) {
    Classifier found;
    found.loss = loss;
    const OpNode& node = graph_.ops[loss];
    const Value logits = node.inputs[0];
    found.rows = ElementCount(graph_.type(node.inputs[1]).shape);
    found.product = ProducerOf(logits);
    if (found.product < 0 || !IsClassifier(graph_.ops[found.product])) {
      return No("the logits are not the product of rows with one matrix");
    }
    if (readers_.Of(logits).size() != 1) return No("the logits have another reader");
    found.x = Unshaped(graph_.ops[found.product].inputs[0]);
    found.gone = {found.product, loss};
    if (node.op == Op::kCrossEntropyGradient) {
      if (!Follow(node.results[1], found)) return No(why_);
      // Sums first: what comes last takes a chunk's gradient out of memory, and rows are less than what they take out,
      // so that the schedule has no reason to put them off.
      std::stable_partition(found.readers.begin(), found.readers.end(),
                            [](const Reader& reader) { return reader.kind != Reader::Kind::kRows; });
    } else if (!readers_.Of(node.results[1]).empty()) {
      return No("the rows' log-sum-exp has a reader");
    }
    return found;
  }
  const std::string& why() const { return why_; }

 private:
  const Shape& ShapeOf(Value value) const { return graph_.type(value).shape; }
  int ProducerOf(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }
  Value Unshaped(Value value) const {
    while (ProducerOf(value) >= 0 && graph_.ops[ProducerOf(value)].op == Op::kReshape) {
      value = graph_.ops[ProducerOf(value)].inputs[0];
    }
    return value;
  }
  std::nullopt_t No(std::string why) {
    why_ = std::move(why);
    return std::nullopt;
  }

  bool IsClassifier(const OpNode& node) const {
    if (node.op == Op::kLinear) return true;
    return node.op == Op::kMatMul && node.inputs.size() == 2 && !node.attributes.Bool("transpose_a") &&
           ShapeOf(node.inputs[1]).size() == 2;
  }

  // All readers of `gradient`, [.., columns] or a reshape of it to [rows, columns].
  bool Follow(Value gradient, Classifier& found) {
    for (int reader : readers_.Of(gradient)) {
      if (reader == Readers::kOutput) return Fail("the gradient of the logits is an output of the graph");
      if (reader == Readers::kStore) return Fail("the gradient of the logits is stored");
      const OpNode& node = graph_.ops[reader];
      found.gone.push_back(reader);
      if (node.op == Op::kReshape && ShapeOf(node.results[0]).back() == ShapeOf(gradient).back()) {
        if (!Follow(node.results[0], found)) return false;
      } else if (std::optional<Reader> known = Known(node, reader, gradient, found.loss)) {
        found.readers.push_back(*known);
      } else {
        return Fail(Cat("the gradient of the logits is also read by ", NameOf(node.op),
                        node.location.known() ? Cat(" at ", node.location.Text()) : ""));
      }
    }
    return true;
  }
  bool Fail(std::string why) {
    why_ = std::move(why);
    return false;
  }

  std::optional<Reader> Known(const OpNode& node, int op, Value gradient, int loss) const {
    const size_t rank = ShapeOf(gradient).size();
    if (node.op == Op::kSum) {
      std::vector<int64_t> axes = node.attributes.Ints("axes");
      std::sort(axes.begin(), axes.end());
      for (size_t i = 0; i < axes.size(); ++i) {
        if (axes[i] != static_cast<int64_t>(i)) return {};
      }
      if (axes.size() + 1 != rank || node.attributes.Bool("keep")) return {};
      return Reader{Reader::Kind::kColumns, op, {}};
    }
    if (node.op != Op::kMatMul || node.inputs.size() != 2 || node.inputs[0] == node.inputs[1]) return {};
    const bool left = node.inputs[0] == gradient;
    Value other = node.inputs[left ? 1 : 0];
    if (left && !node.attributes.Bool("transpose_a")) {
      if (ShapeOf(other).size() != 2 || ProducerOf(other) >= loss) return {};
      return Reader{Reader::Kind::kRows, op, other};
    }
    if (rank != 2 || ShapeOf(other).size() != 2 || !node.attributes.Bool("transpose_a") ||
        node.attributes.Bool("transpose_b")) {
      return {};
    }
    other = Unshaped(other);  // the backward reshapes anew what the forward had
    if (ProducerOf(other) >= loss) return {};
    return Reader{left ? Reader::Kind::kLeft : Reader::Kind::kRight, op, other};
  }

  const Graph& graph_;
  Readers readers_;
  std::string why_;
};

// Emits the chunks of one classifier in place of its loss.
class Chunker {
 public:
  Chunker(Graph& graph, Rewriter& rewriter, const Classifier& found, std::vector<OpNode>& ops, int64_t chunk)
      : graph_(graph), rewriter_(rewriter), found_(found), ops_(ops), chunk_(chunk) {}

  void Run() {
    const OpNode &product = ops_[found_.product], &loss = ops_[found_.loss];
    const bool with_gradient = loss.op == Op::kCrossEntropyGradient;
    const Tensor x = Rows(found_.x), targets = Rows(loss.inputs[1], /*columns=*/false);
    const Tensor dlosses = with_gradient ? Rows(loss.inputs[2], false) : Tensor{};
    std::vector<Tensor> others;
    for (const Reader& reader : found_.readers) {
      others.push_back(!reader.other.valid()      ? Tensor{}
                       : !reader.adds_products()  ? Wrap(reader.other)
                       : reader.other == found_.x ? x
                                                  : Rows(reader.other));
    }
    std::vector<Tensor> losses;
    std::vector<std::vector<Tensor>> parts(found_.readers.size());
    for (int64_t start = 0; start < found_.rows; start += chunk_) {
      const int64_t count = std::min(chunk_, found_.rows - start);
      const auto slice = [&](Tensor t) { return At(loss).Slice(t, 0, start, count); };
      const Tensor rows = At(product).Slice(x, 0, start, count);
      std::vector<Tensor> operands = {rows};
      for (size_t i = 1; i < product.inputs.size(); ++i) operands.push_back(Wrap(product.inputs[i]));
      const Tensor logits = At(product).EmitOne(product.op, operands, product.attributes);
      operands = {logits, slice(targets)};
      if (with_gradient) operands.push_back(slice(dlosses));
      const std::vector<Tensor> results = At(loss).Emit(loss.op, operands, loss.attributes);
      losses.push_back(results[0]);
      for (size_t i = 0; i < parts.size(); ++i) {
        const Reader& reader = found_.readers[i];
        const Tensor other = reader.other == found_.x ? rows : reader.adds_products() ? slice(others[i]) : others[i];
        Add(reader, results[1], other, parts[i]);
      }
    }
    Replace(loss, At(loss).Concat(losses, 0));
    for (size_t i = 0; i < parts.size(); ++i) {
      const OpNode& reader = ops_[found_.readers[i].op];
      const bool rows = found_.readers[i].kind == Reader::Kind::kRows;
      Replace(reader, rows ? At(reader).Concat(parts[i], 0) : parts[i].back());
    }
  }

 private:
  GraphBuilder& At(const OpNode& node) { return rewriter_.BuilderFor(node); }
  Tensor Wrap(Value value) { return rewriter_.Wrap(rewriter_.Resolve(value)); }

  // [rows, columns], or [rows].
  Tensor Rows(Value value, bool columns = true) {
    const Tensor t = Wrap(value);
    Shape shape = {found_.rows};
    if (columns) shape.push_back(ElementCount(t.shape()) / found_.rows);
    return shape == t.shape() ? t : At(ops_[found_.loss]).Reshape(t, shape);
  }

  // What one reader makes of a chunk's gradient: rows of its own, or the sum so far.
  void Add(const Reader& reader, Tensor gradient, Tensor other, std::vector<Tensor>& parts) {
    const OpNode& node = ops_[reader.op];
    GraphBuilder& g = At(node);
    const Tensor sum = parts.empty() ? Tensor{} : parts.back();
    switch (reader.kind) {
      case Reader::Kind::kRows:
        return parts.push_back(g.EmitOne(Op::kMatMul, {gradient, other}, node.attributes));
      case Reader::Kind::kLeft:
        return parts.push_back(g.MatMul(gradient, other, {.transpose_a = true}, sum));
      case Reader::Kind::kRight:
        return parts.push_back(g.MatMul(other, gradient, {.transpose_a = true}, sum));
      case Reader::Kind::kColumns:
        const Tensor part = g.Sum(gradient, {0}, false);
        return parts.push_back(sum.valid() ? g.Add(sum, part) : part);
    }
  }

  void Replace(const OpNode& node, Tensor by) {
    if (!by.valid()) return;  // the builder holds the error
    const Shape shape = graph_.type(node.results[0]).shape;
    rewriter_.Replace(node.results[0], shape == by.shape() ? by.value : At(node).Reshape(by, shape).value);
  }

  Graph& graph_;
  Rewriter& rewriter_;
  const Classifier& found_;
  std::vector<OpNode>& ops_;
  int64_t chunk_;
};

Status ChunkGraph(Module& module, Graph& graph, PassContext& context, int64_t chunk) {
  graph.Renumber();
  Finder finder(graph);
  std::vector<Classifier> found;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const OpNode& node = graph.ops[i];
    if (node.op != Op::kCrossEntropy && node.op != Op::kCrossEntropyGradient) continue;
    if (ElementCount(graph.type(node.inputs[1]).shape) <= chunk) continue;
    if (std::optional<Classifier> classifier = finder.Find(static_cast<int>(i))) {
      found.push_back(std::move(*classifier));
    } else {
      context.Missed(node.location, Cat(graph.name, ": not in chunks: ", finder.why()));
    }
  }
  if (found.empty()) return OkStatus();

  std::vector<bool> gone(graph.ops.size(), false);
  for (const Classifier& classifier : found) {
    for (int op : classifier.gone) gone[op] = true;
  }
  Rewriter rewriter(module, graph);
  std::vector<OpNode> ops = rewriter.TakeOps();
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!gone[i]) {
      rewriter.Keep(ops[i]);
      continue;
    }
    const auto at =
        std::find_if(found.begin(), found.end(), [&](const Classifier& c) { return c.loss == static_cast<int>(i); });
    if (at == found.end()) continue;
    Chunker(graph, rewriter, *at, ops, chunk).Run();
    const int64_t columns = graph.type(ops[i].inputs[0]).shape.back();
    context.Done(ops[i].location,
                 Cat(graph.name, ": logits of ", at->rows, " rows in chunks of ", ShapeText({chunk, columns})));
  }
  return rewriter.Finish();
}

}  // namespace

Status ChunkLogits(Module& module, PassContext& context) {
  const int64_t chunk = context.options().loss_chunk;
  if (chunk == 0) return OkStatus();
  for (Graph& graph : module.graphs) RETURN_IF_ERROR(ChunkGraph(module, graph, context, chunk));
  return OkStatus();
}

}  // namespace gptc
