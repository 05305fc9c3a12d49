// Every pattern that the repository ships compiles and runs, with all passes and with none of the optional ones.
#include "bench/lib/workload.h"

#include "frontends/gptc/pipeline.h"
#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Workload, EveryPatternRuns) {
  const auto patterns = PatternWorkloads(Cat(GPTC_SOURCE_DIR, "/bench/patterns"));
  ASSERT_TRUE(patterns.ok()) << patterns.status();
  EXPECT_GE(patterns->size(), 6u);
  std::vector<std::string> optional;
  for (const Pass& pass : Pipeline()) {
    if (pass.optional) optional.push_back(pass.name);
  }
  for (const Workload& pattern : *patterns) {
    const auto with = CompileWorkload(pattern, "f32", {});
    ASSERT_TRUE(with.ok()) << pattern.name << ": " << with.status();
    const auto without = CompileWorkload(pattern, "f32", optional);
    ASSERT_TRUE(without.ok()) << pattern.name << ": " << without.status();
    EXPECT_FALSE(RunAlike(**with, **without)) << pattern.name << " is changed by no pass";
    EXPECT_TRUE(RunAlike(**with, **with));
    EXPECT_LE(CostsOf(**with).bytes_moved, CostsOf(**without).bytes_moved) << pattern.name;
    const auto runner = StepRunner::Create(**with);
    ASSERT_TRUE(runner.ok()) << pattern.name << ": " << runner.status();
    EXPECT_GT((*runner)->Sample(), 0) << pattern.name;
  }
}

TEST(Workload, AModelOfFewerLayers) {
  const auto model = ModelWorkload("124M", 1, 1, 16);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto plan = CompileWorkload(*model, "f32", {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlanCosts costs = CostsOf(**plan);
  EXPECT_GT(costs.kernels, 20);
  EXPECT_GT(costs.flops, 1e9);
  EXPECT_GT(costs.state_bytes, costs.arena_bytes);
  EXPECT_FALSE(ModelWorkload("125M", 0, 1, 16).ok());
  EXPECT_FALSE(PatternWorkloads("/nowhere").ok());
}

}  // namespace
}  // namespace gptc
