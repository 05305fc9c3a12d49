#include "runtime/cpu/roofline.h"

#include "gtest/gtest.h"
#include "runtime/plan/sample_plan_for_test.h"

namespace gptc {
namespace {

TEST(Roofline, TheSlowerOfOperationsAndBytesDecides) {
  plan::PlanT plan = SamplePlan();
  const plan::EntryT& entry = *plan.entries[0];
  plan::StepT& step = *entry.steps[0];
  const Roofline roofline = {.f32_gflops = 100, .bf16_gflops = 200, .levels = {{1000, 50, 80}, {1 << 20, 10, 16}}};
  step.flops = 1e6;
  step.bytes = 1000;
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 1e-5);  // 1 MFLOP at 100 GFLOP/s
  step.flops = 1;
  step.bytes = 24 + 900;                                    // it writes 24 bytes
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 1.8e-8);  // 900 bytes at 50 GB/s
  step.bytes = 32;
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 4e-10);  // 32 bytes at 80 GB/s, of which 8 are read
  step.bytes = 24 + 1e6;
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 1e-4);  // 1 MB at 10 GB/s
  step.bytes = 24 + 1e9;
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 0.1);  // past the last level: still its rate
  step.flops = 1e10;
  entry.buffers[0]->dtype = static_cast<uint8_t>(DType::kBF16);
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 0.1);
  step.bytes = 0;
  EXPECT_DOUBLE_EQ(roofline.Seconds(entry, step), 0.05);  // 10 GFLOP at 200 GFLOP/s
}

TEST(Roofline, IsMeasuredForAnyPlan) {
  const plan::PlanT plan = SamplePlan();
  const StatusOr<Roofline> roofline = MeasureRoofline(plan);
  ASSERT_TRUE(roofline.ok()) << roofline.status();
  EXPECT_GT(roofline->f32_gflops, 0);
  EXPECT_EQ(roofline->bf16_gflops, 0);
  EXPECT_EQ(roofline->levels.size(), 3u);
}

}  // namespace
}  // namespace gptc
