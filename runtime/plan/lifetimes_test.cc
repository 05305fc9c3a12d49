#include "runtime/plan/lifetimes.h"

#include <gtest/gtest.h>

#include "runtime/plan/sample_plan_for_test.h"

namespace gptc {
namespace {

TEST(Lifetimes, InputsResultsAndOutputs) {
  const plan::PlanT plan = SamplePlan();
  const plan::EntryT& entry = *plan.entries[0];
  const std::vector<ArenaBlock> blocks = ArenaBlocks(entry);
  ASSERT_EQ(blocks.size(), 3u);  // x, dy and y; the gradient is a state
  EXPECT_EQ(blocks[0].writer, -1);
  EXPECT_EQ(blocks[0].end, 0);
  EXPECT_EQ(blocks[2].buffer, 4u);
  EXPECT_EQ(blocks[2].begin, 1);
  EXPECT_EQ(LiveBytes(entry), (std::vector<int64_t>{48 + 32, 24}));
}

TEST(Lifetimes, AViewIsPartOfItsValueAndAResultMayReplaceItsOperand) {
  plan::PlanT plan = SamplePlan();
  plan::EntryT& entry = *plan.entries[0];
  auto add = [&](const char* kernel, uint32_t input, Shape shape) {
    auto buffer = std::make_unique<plan::BufferT>();
    buffer->shape = std::move(shape);
    buffer->dtype = static_cast<uint8_t>(DType::kF32);
    auto step = std::make_unique<plan::StepT>();
    step->kernel = kernel;
    step->inputs = {input};
    step->results = {static_cast<uint32_t>(entry.buffers.size())};
    entry.buffers.push_back(std::move(buffer));
    entry.steps.push_back(std::move(step));
  };
  add("reshape", 4, {6});
  add("exp", 5, {6});
  entry.outputs[0]->buffer = 6;
  const std::vector<ArenaBlock> blocks = ArenaBlocks(entry);
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(blocks[2].end, 3);  // y, through its view
  EXPECT_EQ(LiveBytes(entry), (std::vector<int64_t>{80, 24, 24, 24}));
  ASSERT_EQ(BlocksAt(blocks, 3).size(), 1u);
  EXPECT_EQ(BlocksAt(blocks, 3)[0].writer, 3);
}

}  // namespace
}  // namespace gptc
