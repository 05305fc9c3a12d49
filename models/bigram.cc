// The bigram model: the next token's logits are a row of a table, looked up by the last token. The smallest model there
// is, and the shortest example of one.
#include "ir/builder.h"
#include "models/model.h"

namespace gptc {
namespace {

StatusOr<Module> BuildBigram(const Config& config) {
  const int64_t vocab = IntOf(config, "vocab"), context = IntOf(config, "context");
  const int64_t B = SymbolDim(0), T = SymbolDim(1), decode_B = SymbolDim(2), prefill_T = SymbolDim(3);
  Module module;
  module.name = "bigram";
  module.config = config;
  module.dimensions = {
      {"B"}, {"T"}, {"decode_B", 1}, {"prefill_T", std::min<int64_t>(64, context)}, {"context", context}};
  State table;
  table.name = "table";
  table.type = {DType::kF32, {vocab, vocab}};
  table.init = {InitRule::Kind::kNormal, 0.02};
  table.decay = true;
  table.names.push_back({.format = "hf", .name = "table"});
  module.states.push_back(std::move(table));
  {
    GraphBuilder g(module, "train");
    Tensor tokens = g.Input("tokens", DType::kI32, {B, T}), targets = g.Input("targets", DType::kI32, {B, T});
    Tensor logits = g.Embedding(g.State("table"), tokens);
    g.Return("loss", g.Name(g.SumAll(g.CrossEntropy(logits, targets, vocab).losses), "loss"));
    Tensor valid = g.Compare(targets, g.Constant(0, DType::kI32), "ge");
    g.Return("count", g.Name(g.SumAll(g.Cast(valid, DType::kF32)), "count"));
    RETURN_IF_ERROR(g.Finish());
  }
  {
    GraphBuilder g(module, "score");
    Tensor tokens = g.Input("tokens", DType::kI32, {B, T}), targets = g.Input("targets", DType::kI32, {B, T});
    g.Return("losses", g.CrossEntropy(g.Embedding(g.State("table"), tokens), targets, vocab).losses);
    RETURN_IF_ERROR(g.Finish());
  }
  {
    GraphBuilder g(module, "prefill");
    Tensor tokens = g.Input("tokens", DType::kI32, {1, prefill_T});
    g.Input("positions", DType::kI32, {1, prefill_T});
    g.Input("slots", DType::kI32, {1});
    Tensor last = g.Input("last", DType::kI32, {1});
    Tensor logits = g.Embedding(g.State("table"), tokens);
    g.Return("logits", g.Embedding(g.Reshape(logits, {prefill_T, vocab}), last));
    RETURN_IF_ERROR(g.Finish());
  }
  {
    GraphBuilder g(module, "decode");
    Tensor tokens = g.Input("tokens", DType::kI32, {decode_B, 1});
    g.Input("positions", DType::kI32, {decode_B, 1});
    g.Input("slots", DType::kI32, {decode_B});
    g.Return("logits", g.Reshape(g.Embedding(g.State("table"), tokens), {decode_B, vocab}));
    RETURN_IF_ERROR(g.Finish());
  }
  return module;
}

}  // namespace

Model BigramModel() {
  return {
      "bigram",
      "a table from each token to the next one's logits",
      {{"vocab", int64_t{50257}, "tokens", 1, {}}, {"context", int64_t{64}, "positions of a training window", 1, {}}},
      {},
      &BuildBigram};
}

}  // namespace gptc
