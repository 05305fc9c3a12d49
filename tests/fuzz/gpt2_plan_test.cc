// What the compiler promises about the plan of GPT-2 124M: operations by formula, memory near its lower bound,
// gradients and updates in place.
#include <gtest/gtest.h>

#include "frontends/gptc/pipeline.h"
#include "models/model.h"

namespace gptc {
namespace {

class Gpt2Plan : public ::testing::Test {
 protected:
  static constexpr int64_t kBatch = 4, kLength = 1024;
  static void SetUpTestSuite() {
    const Model* gpt2 = *ModelNamed("gpt2");
    auto module = gpt2->build(*MakeConfig(*gpt2, "124M", {}));
    ASSERT_TRUE(module.ok());
    auto compiled = Compile(*module, {.dimensions = {{"B", kBatch}, {"T", kLength}}});
    ASSERT_TRUE(compiled.ok()) << Message(compiled.status());
    plan_ = new plan::PlanT(std::move(compiled->plan));
  }
  static void TearDownTestSuite() { delete plan_; }
  static plan::PlanT* plan_;
};
plan::PlanT* Gpt2Plan::plan_ = nullptr;

// Forward and backward take 6 operations a parameter of a product and token, and 12 L·C·T for attention's two products
// of the whole square (Kaplan et al. 2020; Chowdhery et al. 2022).
TEST_F(Gpt2Plan, OperationsOfTheProductsFollowTheFormula) {
  const double layers = 12, width = 768, vocab = 50257, tokens = kBatch * kLength;
  const double in_products = layers * 12 * width * width + vocab * width;
  // Attention's two products, and five in its backward, count the half below the diagonal.
  const double expected = tokens * 6 * in_products, expected_attention = tokens * 7 * layers * width * kLength;
  for (const char* kind : {"first", "middle", "last", "only"}) {
    const plan::EntryT* entry = FindEntry(*plan_, Cat("micro_step.", kind));
    ASSERT_NE(entry, nullptr);
    double found = 0, attention = 0;
    for (const auto& step : entry->steps) {
      if (step->kernel == "matmul" || step->kernel.starts_with("linear")) found += step->flops;
      if (step->kernel == "flash_attention" || step->kernel == "flash_attention_backward") attention += step->flops;
    }
    EXPECT_NEAR(found / expected, 1, 0.01) << kind;
    EXPECT_NEAR(attention / expected_attention, 1, 0.03) << kind;  // with its softmax
  }
}

TEST_F(Gpt2Plan, TheArenaIsWithinAFewPercentOfItsLowerBound) {
  for (const auto& entry : plan_->entries) {
    EXPECT_LE(static_cast<double>(entry->arena_bytes), 1.05 * static_cast<double>(entry->arena_lower_bound))
        << entry->name;
    EXPECT_GE(entry->arena_bytes, entry->arena_lower_bound) << entry->name;
  }
}

TEST_F(Gpt2Plan, EveryStoredValueLiesInItsState) {
  for (const auto& entry : plan_->entries) {
    for (const auto& store : entry->stores) {
      EXPECT_EQ(entry->buffers[store->buffer]->state, static_cast<int>(store->state))
          << entry->name << ": " << plan_->states[store->state]->name;
    }
  }
}

TEST_F(Gpt2Plan, NoGradientIsAddedByAnOpOfItsOwn) {
  for (const char* kind : {"first", "only"}) {
    const plan::EntryT& entry = *FindEntry(*plan_, Cat("micro_step.", kind));
    for (const auto& step : entry.steps) {
      for (uint32_t input : step->inputs) {
        int state = entry.buffers[input]->state;
        bool old_gradient =
            state >= 0 && plan_->states[state]->kind == plan::StateKind::Gradient && step->kernel == "add";
        EXPECT_FALSE(old_gradient) << entry.name << ": " << step->location;
      }
    }
  }
}

}  // namespace
}  // namespace gptc
