// Random modules, and a small GPT-2, through the whole pipeline.
#include "gtest/gtest.h"
#include "models/model.h"
#include "tests/fuzz/check_module.h"
#include "tests/fuzz/random_graphs.h"

namespace gptc {
namespace {

class Fuzz : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Fuzz, PlansComputeWhatTheirModulesSay) {
  constexpr uint64_t kSeeds = 30;
  for (uint64_t seed = GetParam() * kSeeds; seed < (GetParam() + 1) * kSeeds; ++seed) {
    Status status = CheckSeed(seed, static_cast<int>(seed % 40), /*thorough=*/seed % 8 == 0);
    ASSERT_TRUE(status.ok()) << Message(status);
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, Fuzz, ::testing::Range<uint64_t>(0, 8));

TEST(Fuzz, AModuleIsItsSeeds) {
  StatusOr<Module> a = RandomModule(7, 20), b = RandomModule(7, 20);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->graphs.size(), 2u);
  EXPECT_EQ(a->graphs[0].ops.size(), b->graphs[0].ops.size());
}

// Three optimizer steps of three micro-steps each, scoring and generation.
TEST(Gpt2, TrainsAndGeneratesAsTheEvaluatorDoes) {
  const Model* gpt2 = *ModelNamed("gpt2");
  for (const char* tied : {"true", "false"}) {
    for (const char* activation : {"gelu_tanh", "gelu_erf", "relu"}) {
      std::vector<std::pair<std::string, std::string>> settings = {
          {"layers", "2"},   {"heads", "3"},      {"width", "15"},           {"inner", "19"},
          {"context", "11"}, {"vocab", "23"},     {"dropout", "0.25"},       {"tied", tied},
          {"bias", tied},    {"epsilon", "1e-2"}, {"activation", activation}};
      StatusOr<Config> config = MakeConfig(*gpt2, "", settings);
      ASSERT_TRUE(config.ok()) << Message(config.status());
      StatusOr<Module> module = gpt2->build(*config);
      ASSERT_TRUE(module.ok()) << Message(module.status());
      CheckOptions options{.dimensions = {{"B", 2}, {"T", 7}, {"prefill_T", 5}}, .seed = 11, .steps = 3};
      Status status = CheckModule(*module, options);
      EXPECT_TRUE(status.ok()) << tied << " " << activation << ": " << Message(status);
      options.disabled = {"canonicalize", "canonicalize_backward", "fuse_accumulate"};
      status = CheckModule(*module, options);
      EXPECT_TRUE(status.ok()) << tied << " " << activation << ", without passes: " << Message(status);
      options.disabled = {};
      options.loss_chunk = 5;
      status = CheckModule(*module, options);
      EXPECT_TRUE(status.ok()) << tied << " " << activation << ", in chunks: " << Message(status);
      options.loss_chunk = 0;
      // Next to ReLU's kink one rounding decides whether a gradient is there: the evaluator is no oracle then.
      if (std::string_view(activation) == "relu") continue;
      for (const DType residual : {DType::kF32, DType::kBF16}) {
        options.precision = "bf16";
        options.residual = residual;
        status = CheckModule(*module, options);
        EXPECT_TRUE(status.ok()) << tied << " " << activation << ", bf16, residual stream " << NameOf(residual) << ": "
                                 << Message(status);
      }
    }
  }
}

// One token of one sequence, one head of one element, heads of 12.
TEST(Gpt2, TrainsAtTheEdgesOfItsShapes) {
  const Model* gpt2 = *ModelNamed("gpt2");
  struct Edge {
    const char *heads, *width, *vocab;
    int64_t batch, tokens, loss_chunk;
  };
  for (const Edge& edge : {Edge{"1", "1", "2", 1, 1, 0}, Edge{"1", "4", "2", 2, 3, 1}, Edge{"2", "24", "7", 1, 5, 2}}) {
    const std::vector<std::pair<std::string, std::string>> settings = {
        {"layers", "1"},  {"heads", edge.heads}, {"width", edge.width}, {"inner", "3"},
        {"context", "5"}, {"vocab", edge.vocab}, {"epsilon", "1e-2"}};
    StatusOr<Config> config = MakeConfig(*gpt2, "", settings);
    ASSERT_TRUE(config.ok()) << Message(config.status());
    StatusOr<Module> module = gpt2->build(*config);
    ASSERT_TRUE(module.ok()) << Message(module.status());
    const Status status = CheckModule(*module, {.disabled = {},
                                                .dimensions = {{"B", edge.batch}, {"T", edge.tokens}, {"prefill_T", 2}},
                                                .seed = 3,
                                                .loss_chunk = edge.loss_chunk,
                                                .steps = 2});
    EXPECT_TRUE(status.ok()) << edge.heads << " heads, width " << edge.width << ": " << Message(status);
  }
}

}  // namespace
}  // namespace gptc
