#include "tests/fuzz/random_graphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "ir/builder.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

constexpr int64_t kMostElements = 3000;

class Generator {
 public:
  Generator(Module& module, std::string graph, uint64_t seed, bool differentiable)
      : g_(module, std::move(graph)),
        random_(seed),
        differentiable_(differentiable),
        prefix_(differentiable ? "p" : "q") {}

  Status Train(int most_ops) {
    int64_t b = Pick(1, 3), t = Pick(1, 7), width = Pick(1, 9), vocab = Pick(2, 11);
    Tensor tokens = g_.Input("tokens", DType::kI32, {b, t}), targets = g_.Input("targets", DType::kI32, {b, t});
    tokens_ = tokens;
    Tensor table = Parameter({vocab, width});
    Add(g_.Embedding(table, tokens));
    Add(Parameter({t, width}));
    for (int i = 0; i < most_ops; ++i) Step();
    // The classifier is the embedding's table half of the time, so that two gradients meet.
    Tensor x = Reshaped(Any(), {b, t, -1});
    Tensor logits =
        Chance(2) ? g_.MatMul(Squash(g_.Linear(x, Parameter({x.shape().back(), width}))), table, {.transpose_b = true})
                  : g_.Linear(x, Parameter({x.shape().back(), vocab}), Parameter({vocab}));
    Tensor losses = g_.CrossEntropy(logits, targets, Pick(2, vocab)).losses;
    Tensor loss = g_.SumAll(losses);
    for (const Tensor& value : pool_) {
      if (Chance(4)) loss = loss + g_.SumAll(value) * 0.01;
    }
    g_.Return("loss", loss);
    Tensor valid = g_.Compare(targets, g_.Constant(0, DType::kI32), "ge");
    g_.Return("count", g_.SumAll(g_.Cast(valid, DType::kF32)));
    return g_.Finish();
  }

  Status Run(int most_ops) {
    tokens_ = g_.Input("tokens", DType::kI32, {Pick(1, 3), Pick(1, 5)});
    const int inputs = static_cast<int>(Pick(1, 3));
    for (int i = 0; i < inputs; ++i) Add(g_.Input(Cat("x", i), DType::kF32, RandomShape()));
    std::vector<std::pair<std::string, Type>> states;
    const int kinds = static_cast<int>(Pick(0, 2));
    for (int i = 0; i < kinds; ++i) {
      Shape shape = RandomShape();
      for (const char* twin : {"a", "b"}) {
        std::string name = Cat("s", i, twin);
        g_.Declare({.name = name, .type = {DType::kF32, shape}, .kind = StateKind::kCache});
        states.emplace_back(name, Type{DType::kF32, shape});
        Add(g_.State(name));
      }
    }
    for (int i = 0; i < most_ops; ++i) Step();
    for (const auto& [name, type] : states) {
      if (Chance(4)) continue;
      std::vector<Tensor> fitting;
      for (const Tensor& value : pool_) {
        if (value.type() == type) fitting.push_back(value);
        if (value.type().dtype == type.dtype && value.type() != type &&
            ElementCount(value.shape()) == ElementCount(type.shape)) {
          fitting.push_back(g_.Reshape(value, type.shape));
        }
      }
      // Late ones more often than the states themselves.
      size_t last = fitting.size() - 1;
      g_.StoreState(name, fitting[std::max(Below(last + 1), Below(last + 1))]);
    }
    int outputs = 0;
    for (const Tensor& value : pool_) {
      if (Chance(4)) g_.Return(Cat("y", outputs++), value);
    }
    g_.Return("last", pool_.back());
    return g_.Finish();
  }

 private:
  bool Chance(int n) { return random_() % static_cast<uint64_t>(n) == 0; }
  size_t Below(size_t n) { return static_cast<size_t>(random_() % n); }
  int64_t Pick(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(random_() % static_cast<uint64_t>(most - least + 1));
  }
  Shape RandomShape() {
    Shape shape;
    for (int64_t rank = Pick(1, 4); rank > 0; --rank) shape.push_back(Pick(1, rank > 2 ? 4 : 9));
    return shape;
  }

  void Add(Tensor value) {
    if (!value.valid() || ElementCount(value.shape()) > kMostElements) return;
    pool_.push_back(value);
  }
  // The newest half of the time.
  Tensor Any() { return Chance(2) ? pool_.back() : pool_[Below(pool_.size())]; }
  Tensor AnyOfRank(size_t rank) {
    for (int attempt = 0; attempt < 8; ++attempt) {
      if (Tensor x = Any(); x.shape().size() >= rank) return x;
    }
    Tensor x = Any();
    Shape shape = x.shape();
    while (shape.size() < rank) shape.insert(shape.begin(), 1);
    return g_.Reshape(x, shape);
  }
  // Of x's shape, preferably another value.
  Tensor Like(Tensor x) {
    for (int attempt = 0; attempt < 6; ++attempt) {
      if (Tensor y = pool_[Below(pool_.size())]; y.shape() == x.shape()) return y;
    }
    return Chance(2) ? x : g_.Tanh(x);
  }
  Tensor Parameter(Shape shape) {
    std::string name = Cat(prefix_, parameters_++);
    g_.Declare({.name = name,
                .type = {DType::kF32, shape},
                .kind = StateKind::kParameter,
                .init = {InitRule::Kind::kNormal, 0.5},
                .decay = Chance(2)});
    return g_.State(name);
  }
  Tensor Reshaped(Tensor x, Shape shape) {  // one size is -1; pads where the elements do not divide
    int64_t known = 1, count = ElementCount(x.shape());
    for (int64_t dim : shape) known *= dim == -1 ? 1 : dim;
    Tensor flat = g_.Reshape(x, {count});
    if (count % known != 0) flat = g_.Pad(flat, 0, 0, known - count % known);
    std::replace(shape.begin(), shape.end(), int64_t{-1}, flat.shape()[0] / known);
    return g_.Reshape(flat, shape);
  }
  Tensor Squash(Tensor x) { return Chance(2) ? g_.Tanh(x) : x * 0.5; }
  Tensor Positive(Tensor x) { return x * x + 0.5; }
  // Something that broadcasts against x.
  Tensor Partner(Tensor x) {
    if (Chance(2)) return Like(x);
    if (Chance(3)) return g_.Constant(std::ldexp(static_cast<double>(Pick(-4, 4)), -2));
    Shape shape = x.shape();
    for (int64_t& dim : shape) dim = Chance(2) ? 1 : dim;
    while (!shape.empty() && Chance(3)) shape.erase(shape.begin());
    return Parameter(shape);
  }
  std::vector<int64_t> SomeAxes(Tensor x) {
    std::vector<int64_t> axes;
    for (size_t i = 0; i < x.shape().size(); ++i) {
      if (Chance(2)) axes.push_back(static_cast<int64_t>(i));
    }
    return axes;
  }
  int64_t AnAxis(Tensor x) { return Pick(0, static_cast<int64_t>(x.shape().size()) - 1); }

  void Step() {
    switch (Pick(0, differentiable_ ? 6 : 8)) {
      case 0:
        return Elementwise();
      case 1:
        return Unary();
      case 2:
        return Movement();
      case 3:
        return Product();
      case 4:
        return Rows();
      case 5:
        return Reduction();
      case 6:
        return Chance(2) ? Composite() : Unary();
      case 7:
        return Undifferentiable();
      default:
        return Types();
    }
  }

  void Elementwise() {
    Tensor x = Any(), y = Partner(x);
    if (Chance(3)) std::swap(x, y);
    switch (Pick(0, 5)) {
      case 0:
        return Add(g_.Add(x, y));
      case 1:
        return Add(g_.Sub(x, y));
      case 2:
        return Add(Squash(g_.Mul(x, y)));
      case 3:
        return Add(g_.Div(x, Positive(y)));
      case 4:
        return Add(g_.Max(x, y));
      default:
        return Add(g_.Select(g_.Compare(x, y, std::array{"lt", "le", "gt", "ge", "eq", "ne"}[Below(4)]), x, y));
    }
  }

  void Unary() {
    Tensor x = Any();
    switch (Pick(0, 12)) {
      case 0:
        return Add(g_.Neg(x));
      case 1:
        return Add(g_.Exp(g_.Tanh(x)));
      case 2:
        return Add(g_.Log(Positive(x)));
      case 3:
        return Add(g_.Tanh(x));
      case 4:
        return Add(g_.Erf(x));
      case 5:
        return Add(g_.Sqrt(Positive(x)));
      case 6:
        return Add(g_.Rsqrt(Positive(x)));
      case 7:
        return Add(g_.Gelu(x, Chance(2)));
      case 8:
        return Add(g_.Relu(x));
      case 9:
        return Add(g_.Sigmoid(x));
      case 10:
        return Add(g_.Silu(x));
      case 11:
        return Add(g_.Copy(x));
      default:
        return Add(g_.Dropout(AnyOfRank(1), 0.25 * static_cast<double>(Pick(0, 2)), Cat("d", parameters_)));
    }
  }

  void Movement() {
    Tensor x = AnyOfRank(1);
    Shape shape = x.shape();
    int64_t axis = AnAxis(x), size = shape[axis];
    switch (Pick(0, 7)) {
      case 0: {
        if (Chance(2)) return Add(g_.Reshape(x, {ElementCount(shape)}));
        std::vector<int64_t> divisors;
        for (int64_t d = 1; d <= ElementCount(shape); ++d) {
          if (ElementCount(shape) % d == 0) divisors.push_back(d);
        }
        int64_t rows = divisors[Below(divisors.size())];
        return Add(g_.Reshape(x, {rows, ElementCount(shape) / rows}));
      }
      case 1: {
        Shape wider = shape;
        for (int64_t& dim : wider) dim = dim == 1 ? Pick(1, 3) : dim;
        if (wider.size() < 4 && Chance(2)) wider.insert(wider.begin(), Pick(1, 3));
        return Add(g_.Broadcast(x, wider));
      }
      case 2:
      case 3: {
        std::vector<int64_t> permutation(shape.size());
        std::iota(permutation.begin(), permutation.end(), 0);
        std::shuffle(permutation.begin(), permutation.end(), random_);
        return Add(g_.Transpose(x, permutation));
      }
      case 4: {
        int64_t start = Pick(0, size - 1);
        return Add(g_.Slice(x, axis, start, Pick(1, size - start)));
      }
      case 5:
        return Add(g_.Pad(x, axis, Pick(0, 2), Pick(0, 2)));
      case 6: {
        for (int64_t parts = size; parts >= 1; --parts) {
          if (size % parts != 0 || Chance(3)) continue;
          for (Tensor part : g_.SplitParts(x, axis, parts)) Add(part);
          return;
        }
        return;
      }
      default: {
        std::vector<Tensor> parts = {x, Like(x)};
        if (Chance(3)) parts.push_back(x);
        return Add(g_.Concat(parts, axis));
      }
    }
  }

  void Product() {
    if (Chance(2)) {
      Tensor x = AnyOfRank(1);
      int64_t out = Pick(1, 9);
      double scale = 1 / std::sqrt(static_cast<double>(x.shape().back()));
      return Add(g_.Linear(x, Parameter({x.shape().back(), out}), Chance(2) ? Parameter({out}) : Tensor{}) * scale);
    }
    Tensor a = AnyOfRank(2);
    size_t rank = a.shape().size();
    bool transpose_a = Chance(2), transpose_b = Chance(2);
    int64_t rows = a.shape()[rank - 2], inner = a.shape()[rank - 1];
    if (transpose_a) std::swap(rows, inner);
    Tensor b;
    int64_t columns = Pick(1, 9);
    if (Chance(2) && transpose_a != transpose_b) {
      b = a;  // a·aᵀ
      columns = rows;
    } else {
      Shape shape = transpose_b ? Shape{columns, inner} : Shape{inner, columns};
      if (rank > 2 && Chance(2)) shape.insert(shape.begin(), a.shape()[rank - 3]);
      b = Parameter(shape);
    }
    Shape result(a.shape().begin(), a.shape().end() - 2);
    result.push_back(rows);
    result.push_back(columns);
    Tensor c;
    for (const Tensor& value : pool_) {
      if (value.shape() == result && Chance(2)) c = value;
    }
    Tensor scaled = a * (1 / std::sqrt(static_cast<double>(inner)));
    Tensor y = g_.MatMul(scaled, b, {.transpose_a = transpose_a, .transpose_b = transpose_b}, c);
    Add(y);
    // Sums that may become part of the product.
    if (Chance(2)) Add(g_.Add(Like(y), y));
  }

  // Half of the time the sum of two, as in a residual stream, which goes on.
  Tensor MaybeSum(Tensor x) {
    if (Chance(2)) return x;
    Tensor sum = g_.Add(x, Like(x));
    Add(sum);
    return sum;
  }

  void Rows() {
    switch (Pick(0, 3)) {
      case 0: {
        Tensor x = MaybeSum(AnyOfRank(1));
        Shape width = {x.shape().back()};
        GraphBuilder::Norm norm = g_.LayerNorm(x, Parameter(width), Chance(2) ? Parameter(width) : Tensor{}, 0.5);
        Add(norm.y);
        if (!differentiable_ && Chance(2)) Add(norm.mean);
        if (!differentiable_ && Chance(2)) Add(norm.rstd);
        return;
      }
      case 1: {
        Tensor x = MaybeSum(AnyOfRank(1));
        return Add(g_.RmsNorm(x, Parameter({x.shape().back()}), 0.5).y);
      }
      case 2:
        return Add(g_.Softmax(AnyOfRank(1)));
      default: {
        Tensor x = AnyOfRank(2);
        const Shape& shape = x.shape();
        if (shape[shape.size() - 1] < shape[shape.size() - 2]) return Add(g_.Softmax(x));
        return Add(Chance(2) ? g_.Softmax(x, /*causal=*/true) : g_.Softmax(g_.CausalMask(x)));
      }
    }
  }

  void Reduction() {
    Tensor x = Any();
    std::vector<int64_t> axes = SomeAxes(x);
    bool keep = Chance(2);
    // Rows, and totals over them, with what is done to rows by what comes of them.
    if (Chance(3) && x.shape().size() >= 2) {
      const auto last = static_cast<int64_t>(x.shape().size()) - 1;
      std::vector<int64_t> outer(last);
      std::iota(outer.begin(), outer.end(), 0);
      Tensor row = Chance(2) ? g_.Mean(x, {last}, true) : g_.ReduceMax(x, {last}, true);
      Tensor centered = g_.Sub(x, Chance(2) ? row : g_.Broadcast(row, x.shape()));
      Add(g_.Sum(Squash(centered), outer));
      if (Chance(2)) Add(g_.Sum(g_.Mul(centered, centered), {last}, Chance(2)));
      return Add(centered);
    }
    switch (Pick(0, 2)) {
      case 0:
        return Add(g_.Sum(x, axes, keep) * 0.25);
      case 1:
        return Add(g_.Mean(x, axes, keep));
      default:
        return Add(g_.ReduceMax(x, axes, keep));
    }
  }

  // What models are made of.
  void Composite() {
    if (Chance(3)) return Add(g_.Embedding(Parameter({Pick(2, 5), Pick(1, 5)}), tokens_));
    Attention();
  }

  // Attention in the shapes in which people write it, and in some that only look like it.
  void Attention() {
    const int64_t batch = tokens_.shape()[0], t = tokens_.shape()[1], heads = Pick(1, 3), size = Pick(1, 4);
    const Tensor x = Reshaped(Any(), {batch, t, -1});
    const int64_t width = x.shape().back(), packed = 3 * heads * size;
    Tensor qkv = g_.Linear(x, Parameter({width, packed}), Parameter({packed}));
    const bool one_axis = heads > 1 && Chance(4);  // [B · heads, T, D] instead of [B, heads, T, D]
    const bool three_axes = one_axis || (heads == 1 && Chance(2));
    const Shape apart = three_axes ? Shape{batch * heads, t, size} : Shape{batch, heads, t, size};
    std::array<Tensor, 3> parts = Parts(qkv, heads, size);
    if (Chance(8)) std::swap(parts[Below(3)], parts[Below(3)]);
    for (Tensor& part : parts) part = g_.Reshape(part, apart);
    auto [q, k, v] = parts;
    if (Chance(3)) q = q * 0.5;
    if (Chance(6)) k = k / 2.0;
    if (Chance(12)) v = v * 0.5;
    Tensor scores = g_.MatMul(q, k, {.transpose_b = true});
    if (Chance(2)) scores = scores * (Chance(6) ? -0.5 : 0.5);
    for (int64_t masks = Pick(0, 2); masks > 0; --masks) scores = Masked(scores, batch, t);
    if (Chance(4)) scores = scores * (Chance(4) ? -0.5 : 0.25);
    Tensor weights = g_.Softmax(scores, /*causal=*/Chance(2));
    if (Chance(2)) weights = g_.Dropout(weights, 0.25, Cat("a", parameters_));
    if (Chance(8)) Add(Chance(2) ? scores : weights);
    Tensor heads_out = g_.MatMul(weights, v);
    if (Chance(8)) Add(heads_out);
    heads_out = g_.Transpose(g_.Reshape(heads_out, {batch, heads, t, size}), {0, 2, 1, 3});
    Add(Chance(2) ? heads_out : g_.Reshape(heads_out, {batch, t, heads * size}));
  }

  // q, k and v, each [B, heads, T, D] but for a reshape.
  std::array<Tensor, 3> Parts(Tensor qkv, int64_t heads, int64_t size) {
    const int64_t batch = qkv.shape()[0], t = qkv.shape()[1];
    std::array<Tensor, 3> parts;
    const int64_t how = Pick(0, 9);
    if (how < 4) {
      parts = g_.Split<3>(qkv, 2);
      for (Tensor& part : parts) {
        part = g_.Transpose(g_.Reshape(part, {batch, t, heads, size}), {0, 2, 1, 3});
      }
    } else if (how < 6) {
      for (int64_t i = 0; i < 3; ++i) {
        const Tensor part = g_.Slice(g_.Reshape(qkv, {batch, t, 3, heads, size}), 2, i, 1);
        parts[i] = g_.Transpose(g_.Reshape(part, {batch, t, heads, size}), {0, 2, 1, 3});
      }
    } else if (how < 8) {
      parts = g_.Split<3>(g_.Transpose(g_.Reshape(qkv, {batch, t, 3, heads, size}), {2, 0, 3, 1, 4}), 0);
    } else if (how < 9) {  // q, k and v of each head side by side
      parts = g_.Split<3>(g_.Transpose(g_.Reshape(qkv, {batch, t, heads, 3, size}), {3, 0, 2, 1, 4}), 0);
    } else {  // heads cut out of other places
      parts = g_.Split<3>(g_.Reshape(qkv, {batch, heads, t, 3 * size}), 3);
    }
    return parts;
  }

  Tensor Masked(Tensor scores, int64_t batch, int64_t t) {
    if (Chance(4)) return g_.CausalMask(scores);
    Tensor seen;
    const bool by_batch = scores.shape()[0] == batch;
    if (by_batch && Chance(2)) {
      Shape rows = scores.shape(), columns = scores.shape();
      if (rows.size() == 4) rows[1] = columns[1] = 1;
      rows.back() = columns.end()[-2] = 1;
      seen = g_.Compare(g_.Reshape(tokens_, rows), g_.Reshape(tokens_, columns), Chance(8) ? "ne" : "eq");
    } else {
      const Tensor rows = Chance(2) ? g_.Iota(0, {t, t}) : g_.Reshape(g_.Iota(0, {t}), {t, 1}),
                   columns = g_.Iota(1, {t, t});
      seen = Chance(8)   ? g_.Compare(rows, columns, std::array{"gt", "le", "ne"}[Below(3)])
             : Chance(2) ? g_.Compare(rows, columns, "ge")
                         : g_.Compare(columns, rows, "le");
    }
    const double low = Chance(6) ? -2 : std::array{-1e4, -1e9}[Below(2)];
    if (Chance(2)) return g_.Select(seen, scores, g_.Constant(low));
    const Tensor hidden = 1.0 - g_.Cast(seen, DType::kF32);
    return Chance(2) ? scores + hidden * low : scores - hidden * -low;
  }

  // Ops that have no gradient, or are one.
  void Undifferentiable() {
    Tensor x = AnyOfRank(2), y = Like(x);
    const Shape shape = x.shape();
    switch (Pick(0, 5)) {
      case 0:
        return Add(g_.GeluBackward(x, y, Chance(2)));
      case 1:
        return Add(g_.EmitOne(Op::kSoftmaxBackward, {x, y}, {{"causal", false}}));
      case 2: {
        Tensor weight = Parameter({shape.back()});
        GraphBuilder::Norm norm = g_.LayerNorm(x, weight, {}, 0.5);
        for (Tensor value : g_.Emit(Op::kLayerNormBackward, {y, x, weight, norm.mean, norm.rstd})) Add(Squash(value));
        return;
      }
      case 3: {
        int64_t width = Pick(1, 5), rows = Pick(2, 5);
        Tensor dy = Parameter({tokens_.shape()[0], tokens_.shape()[1], width});
        std::vector<Tensor> inputs = {tokens_, dy};
        if (Chance(2)) inputs.push_back(Parameter({rows, width}));
        Tensor table = g_.EmitOne(Op::kEmbeddingBackward, inputs, {{"rows", rows}});
        Add(table);
        if (Chance(2)) Add(g_.Add(Like(table), table));
        return;
      }
      case 4:
        return Add(g_.EmitOne(Op::kGlobalNorm, {x, y}));
      default:
        return Cache();
    }
  }

  void Cache() {
    // One stream: random slots of two could be the same, and no order of writing is promised then.
    int64_t context = Pick(2, 6), width = 2 * Pick(1, 4);
    Tensor slot = Chance(2) ? g_.Constant(0, DType::kI32, {1}) : g_.Input(Cat("slots", parameters_), DType::kI32, {1});
    std::string name = Cat("cache", parameters_++);
    g_.Declare({.name = name, .type = {DType::kF32, {Pick(2, 3), context, width}}, .kind = StateKind::kCache});
    Tensor x = Parameter({1, Pick(1, context - 1), width});
    Tensor positions = g_.Input(Cat("positions", parameters_), DType::kI32, {1});
    Tensor keys = g_.CacheUpdate(g_.State(name), x, positions, slot);
    g_.StoreState(name, keys);
    Add(g_.CachedAttention(x, keys, keys, positions, slot, Chance(2) ? 2 : 1, 0.5));
  }

  // Through another element type and back.
  void Types() {
    DType other = std::array{DType::kF64, DType::kF64, DType::kI32}[Below(3)];
    Tensor x = Any();
    if (other == DType::kI32) {
      Tensor rounded = g_.Cast(g_.Tanh(x) * 0.0 + 2.5, other);
      return Add(g_.Cast(g_.Add(rounded, rounded), DType::kF32) * 0.125);
    }
    Tensor wide = g_.Cast(x, other);
    Add(g_.Cast(Chance(2) ? g_.Tanh(wide) : wide + wide, DType::kF32));
  }

  GraphBuilder g_;
  std::mt19937_64 random_;
  bool differentiable_;
  std::string prefix_;
  std::vector<Tensor> pool_;
  Tensor tokens_;
  int parameters_ = 0;
};

}  // namespace

StatusOr<Module> RandomModule(uint64_t seed, int most_ops) {
  Module module;
  module.name = "random";
  RETURN_IF_ERROR(Generator(module, "train", seed * 2, true).Train(most_ops));
  RETURN_IF_ERROR(Generator(module, "run", seed * 2 + 1, false).Run(most_ops));
  RETURN_IF_ERROR(Verify(module));
  return module;
}

}  // namespace gptc
