// Generated kernels on the emulated device, by the way of a plan: file, loader, executor, recorded graph.
#include "tests/simt/generated_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/parser.h"
#include "passes/emit_plan.h"
#include "passes/plan_memory.h"
#include "runtime/cuda/device.h"
#include "runtime/exec/executor.h"

namespace gptc::simt {
namespace {

using ::testing::HasSubstr;

// A plan for cuda:sm_90, whose generated kernels are those of the emulation.
StatusOr<std::unique_ptr<plan::PlanT>> PlanOf(const std::string& text) {
  ASSIGN_OR_RETURN(Module module, ParseModule(text, "test.graph"));
  PassContext context;
  RETURN_IF_ERROR(PlanMemory(module, context));
  ASSIGN_OR_RETURN(
      plan::PlanT plan,
      EmitPlan(module, context,
               {.compiler = "test", .target = "cuda:sm_90", .precision = "f32", .options = {}, .generate = false}));
  RETURN_IF_ERROR(EmulateGenerated(plan));
  return ParsePlan(SerializePlan(plan), "test.fb");
}

constexpr const char* kModel = R"(module test {
  graph score(x: f32[100, 36], bias: f32[36]) {
    %y: f32[100, 36], %d: f32[36], %m: f32[100, 1] = fused x, bias {region = "t0 = add a0, a1; t1 = relu t0; t2 = sum t1 {axes = [0]}; t3 = reduce_max t1 {axes = [1], keep = true}; return t1, t2, t3"}
    return y = %y, d = %d, m = %m
  }
}
)";

class GeneratedCode : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasHostCompiler()) GTEST_SKIP() << "no g++, which stands in for NVRTC";
  }
};

TEST_F(GeneratedCode, RunsAsAPlansStep) {
  const auto plan = PlanOf(kModel);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto device = CudaDevice::Create();
  ASSERT_TRUE(device.ok()) << device.status();
  const auto executor = Executor::Create(**plan, **device, {.entries = {}});
  ASSERT_TRUE(executor.ok()) << executor.status();
  BoundEntry& entry = *(*executor)->entry("score");
  for (int run = 0; run < 2; ++run) {
    const auto value = [&](int i, int j) { return static_cast<float>((i * 7 + j * 3 + run) % 11 - 5); };
    for (int i = 0; i < 100; ++i) {
      for (int j = 0; j < 36; ++j) entry.input("x").as<float>()[i * 36 + j] = value(i, j);
    }
    for (int j = 0; j < 36; ++j) entry.input("bias").as<float>()[j] = static_cast<float>(j % 2);
    ASSERT_TRUE(entry.Run().ok());
    std::vector<float> sums(36);
    for (int i = 0; i < 100; ++i) {
      float most = 0;
      for (int j = 0; j < 36; ++j) {
        const float y = std::max(0.0f, value(i, j) + static_cast<float>(j % 2));
        sums[j] += y;
        most = std::max(most, y);
        ASSERT_EQ(entry.output("y").as<float>()[i * 36 + j], y);
      }
      ASSERT_EQ(entry.output("m").as<float>()[i], most);
    }
    for (int j = 0; j < 36; ++j) ASSERT_EQ(entry.output("d").as<float>()[j], sums[j]);
  }
}

TEST_F(GeneratedCode, APlanWithoutItIsRefused) {
  const auto plan = PlanOf(kModel);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::string name = (*plan)->generated->kernels[0]->name;
  EXPECT_THAT(name, HasSubstr("fused_add_relu_sum_reduce_max_"));
  (*plan)->generated->kernels[0]->launches[0]->threads = 2000;
  EXPECT_THAT(Message(ValidatePlan(**plan)), HasSubstr(Cat(name, " launches 2 by 1 blocks of 2000 threads")));
  (*plan)->generated->kernels.clear();
  EXPECT_THAT(Message(ValidatePlan(**plan)), HasSubstr(Cat("its generated kernel ", name, " is missing")));
  const auto device = CudaDevice::Create();
  ASSERT_TRUE(device.ok()) << device.status();
  const auto executor = Executor::Create(**plan, **device, {.entries = {}});
  EXPECT_THAT(Message(executor.status()), HasSubstr(Cat("no generated kernel ", name)));
}

TEST_F(GeneratedCode, ForOtherGpusIsRefused) {
  const auto plan = PlanOf(kModel);
  ASSERT_TRUE(plan.ok()) << plan.status();
  GeneratedKernels kernels;
  const Status older = kernels.Load(*(*plan)->generated, 86);
  EXPECT_EQ(older.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      Message(older),
      HasSubstr("are for compute capability 9.0, this GPU has 8.6; compile the model with --target cuda:sm_86"));
  // A newer one takes the PTX, which here is none.
  EXPECT_THAT(Message(kernels.Load(*(*plan)->generated, 100)), HasSubstr("(PTX for sm_90) cannot be loaded"));
}

}  // namespace
}  // namespace gptc::simt
