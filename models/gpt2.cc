// GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): a decoder of pre-norm transformer
// blocks with learned positions and, by default, the classifier tied to the token embedding.
#include <cmath>
#include <source_location>
#include <string>

#include "ir/builder.h"
#include "models/model.h"

namespace gptc {
namespace {

struct Gpt2Config {
  int64_t layers, heads, width, inner, context, vocab, head_size;
  double dropout, epsilon;
  bool bias, tied;
  std::string activation;
};

// Dimensions of the module, as symbols until gptc binds them.
const int64_t B = SymbolDim(0), T = SymbolDim(1), kDecodeB = SymbolDim(2), kPrefillT = SymbolDim(3),
              kContext = SymbolDim(4);

class Gpt2 {
 public:
  Gpt2(Module& module, const Gpt2Config& config) : module_(module), c_(config) {}

  Status Build() {
    DeclareParameters();
    for (Status status : {Train(), Score(), Prefill(), Decode()}) RETURN_IF_ERROR(status);
    return OkStatus();
  }

 private:
  using Where = std::source_location;

  // Where a block's parameters live abroad: its name in each format, and whether that format stores matrices [out, in].
  struct Abroad {
    std::string hf, gguf, llmc;
  };

  void Parameter(const std::string& name, Shape shape, InitRule init, const Abroad& abroad, int64_t layer = -1) {
    bool matrix = layer >= 0 && shape.size() == 2;  // the linear layers; embeddings are stored alike everywhere
    State state{.name = name,
                .type = {DType::kF32, shape},
                .kind = StateKind::kParameter,
                .init = init,
                .decay = shape.size() >= 2};
    state.names.push_back({.format = "hf", .name = abroad.hf});
    state.names.push_back({.format = "gguf", .name = abroad.gguf, .transposed = matrix});
    state.names.push_back({.format = "llmc", .name = abroad.llmc, .transposed = matrix, .part = layer});
    module_.states.push_back(std::move(state));
  }

  void Norm(const std::string& name, const Abroad& abroad, int64_t layer) {
    Parameter(name + ".weight", {c_.width}, {InitRule::Kind::kOnes},
              {abroad.hf + ".weight", abroad.gguf + ".weight", abroad.llmc + "w"}, layer);
    if (c_.bias)
      Parameter(name + ".bias", {c_.width}, {}, {abroad.hf + ".bias", abroad.gguf + ".bias", abroad.llmc + "b"}, layer);
  }

  void Linear(const std::string& name, int64_t in, int64_t out, double stddev, const Abroad& abroad, int64_t layer) {
    Parameter(name + ".weight", {in, out}, {InitRule::Kind::kNormal, stddev},
              {abroad.hf + ".weight", abroad.gguf + ".weight", abroad.llmc + "w"}, layer);
    if (c_.bias)
      Parameter(name + ".bias", {out}, {}, {abroad.hf + ".bias", abroad.gguf + ".bias", abroad.llmc + "b"}, layer);
  }

  void DeclareParameters() {
    const double stddev = 0.02, residual = stddev / std::sqrt(2.0 * static_cast<double>(c_.layers));
    Parameter("wte", {c_.vocab, c_.width}, {InitRule::Kind::kNormal, stddev},
              {"transformer.wte.weight", "token_embd.weight", "wte"});
    if (c_.tied) {
      module_.states.back().names.push_back({.format = "hf", .name = "lm_head.weight", .tied = true});
      module_.states.back().names.push_back({.format = "gguf", .name = "output.weight", .tied = true});
    }
    Parameter("wpe", {kContext, c_.width}, {InitRule::Kind::kNormal, stddev},
              {"transformer.wpe.weight", "position_embd.weight", "wpe"});
    for (int64_t i = 0; i < c_.layers; ++i) {
      std::string h = Cat("h", i, "."), hf = Cat("transformer.h.", i, "."), blk = Cat("blk.", i, ".");
      Norm(h + "norm1", {hf + "ln_1", blk + "attn_norm", "ln1"}, i);
      Linear(h + "qkv", c_.width, 3 * c_.width, stddev, {hf + "attn.c_attn", blk + "attn_qkv", "qkv"}, i);
      Linear(h + "projection", c_.width, c_.width, residual, {hf + "attn.c_proj", blk + "attn_output", "attproj"}, i);
      Norm(h + "norm2", {hf + "ln_2", blk + "ffn_norm", "ln2"}, i);
      Linear(h + "up", c_.width, c_.inner, stddev, {hf + "mlp.c_fc", blk + "ffn_up", "fc"}, i);
      Linear(h + "down", c_.inner, c_.width, residual, {hf + "mlp.c_proj", blk + "ffn_down", "fcproj"}, i);
    }
    Norm("norm", {"transformer.ln_f", "output_norm", "lnf"}, -1);
    if (!c_.tied) {
      Parameter("classifier", {c_.vocab, c_.width}, {InitRule::Kind::kNormal, stddev},
                {"lm_head.weight", "output.weight", "classifier"});
    }
    for (int64_t i = 0; i < c_.layers; ++i) {
      for (const char* part : {"k", "v"}) {
        module_.states.push_back({.name = Cat("cache.h", i, ".", part),
                                  .type = {DType::kF32, {kDecodeB, kContext, c_.width}},
                                  .kind = StateKind::kCache});
      }
    }
  }

  // The parameter's value; an invalid tensor ("none") where the model has no biases.
  Tensor Bias(GraphBuilder& g, const std::string& name) { return c_.bias ? g.State(name + ".bias") : Tensor{}; }

  // Both remember the line that calls them, so that `gptc explain` tells one layer's parts apart.
  Tensor Normalize(GraphBuilder& g, Tensor x, const std::string& name, Where where = Where::current()) {
    return g.LayerNorm(x, g.State(name + ".weight"), Bias(g, name), c_.epsilon, where).y;
  }
  Tensor Project(GraphBuilder& g, Tensor x, const std::string& name, Where where = Where::current()) {
    return g.Linear(x, g.State(name + ".weight"), Bias(g, name), where);
  }

  // softmax(q·kᵀ/√d, causal)·v, each head apart.  x: [B, T, C]
  Tensor Attention(GraphBuilder& g, Tensor x, const std::string& h, double dropout) {
    auto [q, k, v] = g.Split<3>(Project(g, x, h + "qkv"), /*axis=*/2);
    auto heads = [&](Tensor t) { return g.Transpose(g.Reshape(t, {B, T, c_.heads, c_.head_size}), {0, 2, 1, 3}); };
    Tensor scores = g.MatMul(heads(q), heads(k), {.transpose_b = true}) *
                    (1 / std::sqrt(static_cast<double>(c_.head_size)));  // [B, H, T, T]
    Tensor weights = g.Dropout(g.Softmax(g.CausalMask(scores)), dropout, h + "attention");
    Tensor y = g.Reshape(g.Transpose(g.MatMul(weights, heads(v)), {0, 2, 1, 3}), {B, T, c_.width});
    return Project(g, y, h + "projection");
  }

  // The same for generation: keys and values of earlier positions come from the cache.  x: [b, t, C]
  Tensor CachedAttention(GraphBuilder& g, Tensor x, int64_t layer, Tensor start, Tensor slots) {
    std::string h = Cat("h", layer, "."), cache = Cat("cache.h", layer, ".");
    auto [q, k, v] = g.Split<3>(Project(g, x, h + "qkv"), /*axis=*/2);
    Tensor keys = g.CacheUpdate(g.State(cache + "k"), k, start, slots),
           values = g.CacheUpdate(g.State(cache + "v"), v, start, slots);
    g.StoreState(cache + "k", keys);
    g.StoreState(cache + "v", values);
    Tensor y =
        g.CachedAttention(q, keys, values, start, slots, c_.heads, 1 / std::sqrt(static_cast<double>(c_.head_size)));
    return Project(g, y, h + "projection");
  }

  Tensor FeedForward(GraphBuilder& g, Tensor x, const std::string& h) {
    Tensor up = Project(g, x, h + "up");
    Tensor active = c_.activation == "relu" ? g.Relu(up) : g.Gelu(up, /*tanh=*/c_.activation == "gelu_tanh");
    return Project(g, active, h + "down");
  }

  Tensor Classify(GraphBuilder& g, Tensor x) {
    return g.MatMul(Normalize(g, x, "norm"), g.State(c_.tied ? "wte" : "classifier"), {.transpose_b = true});
  }

  Tensor Logits(GraphBuilder& g, Tensor tokens, double dropout) {  // [B, T] -> [B, T, V]
    Tensor positions = g.Slice(g.State("wpe"), /*axis=*/0, /*start=*/0, T);
    Tensor x = g.Dropout(g.Embedding(g.State("wte"), tokens) + positions, dropout, "embedding");
    for (int64_t i = 0; i < c_.layers; ++i) {
      std::string h = Cat("h", i, ".");
      x = x + g.Dropout(Attention(g, Normalize(g, x, h + "norm1"), h, dropout), dropout, h + "projection");
      x = x + g.Dropout(FeedForward(g, Normalize(g, x, h + "norm2"), h), dropout, h + "down");
    }
    return Classify(g, x);
  }

  Status Train() {
    GraphBuilder g(module_, "train");
    Tensor tokens = g.Input("tokens", DType::kI32, {B, T}), targets = g.Input("targets", DType::kI32, {B, T});
    Tensor losses = g.CrossEntropy(Logits(g, tokens, c_.dropout), targets, c_.vocab).losses;
    g.Return("loss", g.Name(g.SumAll(losses), "loss"));
    Tensor valid = g.Compare(targets, g.Constant(0, DType::kI32), "ge");
    g.Return("count", g.Name(g.SumAll(g.Cast(valid, DType::kF32)), "count"));
    return g.Finish();
  }

  Status Score() {
    GraphBuilder g(module_, "score");
    Tensor tokens = g.Input("tokens", DType::kI32, {B, T}), targets = g.Input("targets", DType::kI32, {B, T});
    g.Return("losses", g.CrossEntropy(Logits(g, tokens, /*dropout=*/0), targets, c_.vocab).losses);
    return g.Finish();
  }

  Tensor Cached(GraphBuilder& g, Tensor tokens, Tensor positions, Tensor slots, int64_t b) {
    Tensor start = g.Reshape(g.Slice(positions, /*axis=*/1, /*start=*/0, 1), {b});
    Tensor x = g.Embedding(g.State("wte"), tokens) + g.Embedding(g.State("wpe"), positions);
    for (int64_t i = 0; i < c_.layers; ++i) {
      std::string h = Cat("h", i, ".");
      x = x + CachedAttention(g, Normalize(g, x, h + "norm1"), i, start, slots);
      x = x + FeedForward(g, Normalize(g, x, h + "norm2"), h);
    }
    return x;
  }

  // A chunk of one prompt into the cache; logits of its row `last`.
  Status Prefill() {
    GraphBuilder g(module_, "prefill");
    Tensor tokens = g.Input("tokens", DType::kI32, {1, kPrefillT}),
           positions = g.Input("positions", DType::kI32, {1, kPrefillT});
    Tensor slots = g.Input("slots", DType::kI32, {1}), last = g.Input("last", DType::kI32, {1});
    Tensor x = Cached(g, tokens, positions, slots, 1);
    g.Return("logits", Classify(g, g.Embedding(g.Reshape(x, {kPrefillT, c_.width}), last)));
    return g.Finish();
  }

  // One token of each stream.
  Status Decode() {
    GraphBuilder g(module_, "decode");
    Tensor tokens = g.Input("tokens", DType::kI32, {kDecodeB, 1}),
           positions = g.Input("positions", DType::kI32, {kDecodeB, 1});
    Tensor slots = g.Input("slots", DType::kI32, {kDecodeB});
    Tensor x = Cached(g, tokens, positions, slots, kDecodeB);
    g.Return("logits", Classify(g, g.Reshape(x, {kDecodeB, c_.width})));
    return g.Finish();
  }

  Module& module_;
  const Gpt2Config& c_;
};

StatusOr<Module> BuildGpt2(const Config& config) {
  Gpt2Config c{.layers = IntOf(config, "layers"),
               .heads = IntOf(config, "heads"),
               .width = IntOf(config, "width"),
               .inner = IntOf(config, "inner"),
               .context = IntOf(config, "context"),
               .vocab = IntOf(config, "vocab"),
               .head_size = 0,
               .dropout = DoubleOf(config, "dropout"),
               .epsilon = DoubleOf(config, "epsilon"),
               .bias = BoolOf(config, "bias"),
               .tied = BoolOf(config, "tied"),
               .activation = StringOf(config, "activation")};
  if (c.inner == 0) c.inner = 4 * c.width;
  Config resolved = config;
  for (auto& [key, value] : resolved) {
    if (key == "inner") value = c.inner;
  }
  if (c.width % c.heads != 0)
    return InvalidArgument("gpt2: width ", c.width, " is not a multiple of ", c.heads, " heads");
  if (c.dropout >= 1) return InvalidArgument("gpt2: dropout ", c.dropout, " would drop everything; it must be below 1");
  c.head_size = c.width / c.heads;
  Module module;
  module.name = "gpt2";
  module.config = std::move(resolved);
  module.dimensions = {
      {"B"}, {"T"}, {"decode_B", 1}, {"prefill_T", std::min<int64_t>(128, c.context)}, {"context", c.context}};
  RETURN_IF_ERROR(Gpt2(module, c).Build());
  return module;
}

Preset Gpt2Preset(std::string name, int64_t layers, int64_t heads, int64_t width) {
  return {std::move(name), {{"layers", layers}, {"heads", heads}, {"width", width}}};
}

}  // namespace

Model Gpt2Model() {
  return {
      "gpt2",
      "GPT-2: a pre-norm transformer decoder",
      {{"layers", int64_t{12}, "transformer blocks", 1, {}},
       {"heads", int64_t{12}, "attention heads", 1, {}},
       {"width", int64_t{768}, "size of the residual stream", 1, {}},
       {"inner", int64_t{0}, "width of the feed-forward layer; 0: four times the width", 0, {}},
       {"context", int64_t{1024}, "positions", 1, {}},
       {"vocab", int64_t{50257}, "tokens", 1, {}},
       {"dropout", 0.0, "share of activations dropped in training", 0, {}},
       {"bias", true, "biases in linear layers and norms", 0, {}},
       {"activation", std::string("gelu_tanh"), "of the feed-forward layer", 0, {"gelu_tanh", "gelu_erf", "relu"}},
       {"tied", true, "classifier and token embedding share weights", 0, {}},
       {"epsilon", 1e-5, "of the norms", 0, {}}},
      {Gpt2Preset("124M", 12, 12, 768),
       Gpt2Preset("350M", 24, 16, 1024),
       Gpt2Preset("774M", 36, 20, 1280),
       Gpt2Preset("1558M", 48, 25, 1600),
       {"baby", {{"layers", int64_t{4}}, {"heads", int64_t{4}}, {"width", int64_t{128}}, {"context", int64_t{64}}}}},
      &BuildGpt2};
}

}  // namespace gptc
