// The executor on a plan of hand, with kernels of its own.
#include "runtime/exec/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ir/base/available_memory.h"
#include "runtime/plan/sample_plan_for_test.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

// y = aᵀ·b + c.
StatusOr<BoundKernel> BindProduct(const KernelArgs& args) {
  args.scratch.Request(4096);
  return BoundKernel(
      [a = args.input(0), b = args.input(1), c = args.input(2), y = args.result(), scratch = &args.scratch] {
        static_cast<char*>(scratch->data())[4095] = 1;
        for (int64_t i = 0; i < y.dim(0); ++i) {
          for (int64_t j = 0; j < y.dim(1); ++j) {
            float sum = c.as<float>()[i * y.dim(1) + j];
            for (int64_t k = 0; k < a.dim(0); ++k)
              sum += a.as<float>()[k * a.dim(1) + i] * b.as<float>()[k * b.dim(1) + j];
            y.as<float>()[i * y.dim(1) + j] = sum;
          }
        }
      });
}

StatusOr<BoundKernel> BindExp(const KernelArgs& args) {
  return BoundKernel([x = args.input(0), y = args.result()] {
    for (int64_t i = 0; i < y.count(); ++i) y.as<float>()[i] = std::exp(x.as<float>()[i]);
  });
}

KernelFactory Kernels(std::string_view name) {
  return name == "matmul" ? &BindProduct : name == "exp" ? &BindExp : nullptr;
}

void Fill(TensorView view, float start) {
  for (int64_t i = 0; i < view.count(); ++i) view.as<float>()[i] = start + 0.125f * static_cast<float>(i % 5);
}

std::unique_ptr<Executor> Make(const plan::PlanT& plan, ExecutorOptions options = {}) {
  auto executor = Executor::Create(plan, &Kernels, options);
  EXPECT_TRUE(executor.ok()) << Message(executor.status());
  return executor.ok() ? *std::move(executor) : nullptr;
}

TEST(Executor, RunsAndKeepsStates) {
  plan::PlanT plan = SamplePlan();
  for (bool isolate : {false, true}) {
    std::unique_ptr<Executor> executor = Make(plan, {.entries = {}, .isolate = isolate});
    ASSERT_NE(executor, nullptr);
    BoundEntry* step = executor->entry("step");
    ASSERT_NE(step, nullptr);
    EXPECT_EQ(executor->entry("stop"), nullptr);
    EXPECT_TRUE(step->has_input("dy"));
    EXPECT_FALSE(step->has_input("y"));
    EXPECT_EQ(executor->scratch_bytes(), 4096u);
    double expected = 0;
    for (int run = 1; run <= 3; ++run) {
      Fill(step->input("x"), 0.25f);
      Fill(step->input("dy"), -0.5f);
      float x[12], dy[8];
      std::copy_n(step->input("x").as<float>(), 12, x);
      std::copy_n(step->input("dy").as<float>(), 8, dy);
      ASSERT_TRUE(step->Run().ok());
      for (int k = 0; k < 4; ++k) expected += x[k * 3 + 1] * dy[k * 2];
      EXPECT_FLOAT_EQ(executor->state(1).as<float>()[2], static_cast<float>(expected))
          << "run " << run << (isolate ? ", isolated" : "");
      EXPECT_FLOAT_EQ(step->output("y").as<float>()[2], static_cast<float>(std::exp(expected)));
    }
  }
}

TEST(Executor, RunsForStatesAlone) {
  plan::PlanT plan = SamplePlan();
  std::unique_ptr<Executor> whole = Make(plan), part = Make(plan, {.entries = {}, .isolate = true});
  ASSERT_TRUE(whole != nullptr && part != nullptr);
  for (int run = 0; run < 2; ++run) {
    for (Executor* executor : {whole.get(), part.get()}) {
      BoundEntry* step = executor->entry("step");
      Fill(step->input("x"), 0.25f);
      Fill(step->input("dy"), -0.5f);
      ASSERT_TRUE((executor == whole.get() ? step->Run() : step->RunForStates()).ok());
    }
    EXPECT_EQ(part->state(1).as<float>()[2], whole->state(1).as<float>()[2]);
    EXPECT_TRUE(std::isnan(part->entry("step")->output("y").as<float>()[2])) << "the output was computed";
  }
}

TEST(Executor, TimesEveryStep) {
  plan::PlanT plan = SamplePlan();
  std::unique_ptr<Executor> executor = Make(plan);
  std::vector<Device::Span> times;
  ASSERT_TRUE(executor->entry("step")->RunTimed(times).ok());
  ASSERT_EQ(times.size(), 2u);
  EXPECT_GT(times[0].seconds, 0);
  EXPECT_GE(times[0].begin, 0);
  EXPECT_GE(times[1].begin, times[0].begin + times[0].seconds);
}

TEST(Executor, StatesAreZeroAndEntriesAreChosen) {
  plan::PlanT plan = SamplePlan();
  plan.entries.push_back(std::make_unique<plan::EntryT>(*plan.entries[0]));
  plan.entries[1]->name = std::string("other");
  std::unique_ptr<Executor> executor = Make(plan, {.entries = {"other"}});
  EXPECT_EQ(executor->entry("step"), nullptr);
  EXPECT_NE(executor->entry("other"), nullptr);
  EXPECT_TRUE(executor->RunIfPresent("prepare").ok());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(executor->state(0).as<float>()[i], 0);
  EXPECT_TRUE(executor->RunIfPresent("other").ok());
}

// What is copied at the end goes to the state whose memory the value does not lie in.
TEST(Executor, CopiesWhatLiesElsewhere) {
  plan::PlanT plan = SamplePlan();
  plan.entries[0]->stores[0]->buffer = 4;  // grad.w = exp of the sum
  std::unique_ptr<Executor> executor = Make(plan);
  BoundEntry* step = executor->entry("step");
  Fill(step->input("x"), 0);
  Fill(step->input("dy"), 0);
  std::fill_n(step->input("x").as<float>(), 12, 0.0f);
  ASSERT_TRUE(step->Run().ok());
  EXPECT_EQ(executor->state(1).as<float>()[0], 1.0f);
}

// A kernel that reads what it has not been given shows: poison is NaN.
TEST(Executor, IsolationPoisonsResults) {
  plan::PlanT plan = SamplePlan();
  auto lazy = [](std::string_view) -> KernelFactory {
    return [](const KernelArgs&) -> StatusOr<BoundKernel> { return BoundKernel([] {}); };
  };
  auto executor = Executor::Create(plan, lazy, {.entries = {}, .isolate = true});
  ASSERT_TRUE(executor.ok());
  ASSERT_TRUE((*executor)->entry("step")->Run().ok());
  EXPECT_TRUE(std::isnan((*executor)->entry("step")->output("y").as<float>()[0]));
}

TEST(Executor, NamesAllMissingKernelsAtOnce) {
  plan::PlanT plan = SamplePlan();
  auto none = [](std::string_view name) -> KernelFactory {
    if (name == "exp") return nullptr;
    return [](const KernelArgs&) -> StatusOr<BoundKernel> { return absl::UnimplementedError("no f32"); };
  };
  auto executor = Executor::Create(plan, none);
  ASSERT_EQ(executor.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Message(executor.status()),
            "the device has no kernel for exp; matmul (no f32); compile the model for this device");
}

TEST(Executor, NamesTheStepWhoseKernelCannotBeBound) {
  plan::PlanT plan = SamplePlan();
  auto broken = [](std::string_view) -> KernelFactory {
    return [](const KernelArgs&) -> StatusOr<BoundKernel> { return Failure("the library says no"); };
  };
  EXPECT_EQ(Message(Executor::Create(plan, broken).status()), "step: matmul from sample.graph:3: the library says no");
}

TEST(Executor, RefusesWhatDoesNotFitWithTheNumbers) {
  plan::PlanT plan = SamplePlan();
  plan.arena_bytes = plan.entries[0]->arena_bytes = int64_t{1} << 49;
  auto executor = Executor::Create(plan, &Kernels);
  ASSERT_EQ(executor.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(executor.status()), HasSubstr(Cat("arena ", HumanBytes(int64_t{1} << 49))));
  EXPECT_THAT(Message(executor.status()), HasSubstr("of memory are free; compile with a smaller --batch or --seq"));
}

TEST(Executor, RefusesAKernelThatTakesMoreThanThePlanCounts) {
  const plan::PlanT plan = SamplePlan();
  const KernelTable greedy = [](std::string_view name) -> KernelFactory {
    if (name != "matmul") return Kernels(name);
    return [](const KernelArgs& args) -> StatusOr<BoundKernel> {
      args.scratch.Request(size_t{1} << 30);
      return BoundKernel([] {});
    };
  };
  auto executor = Executor::Create(plan, greedy);
  ASSERT_FALSE(executor.ok());
  EXPECT_THAT(Message(executor.status()), HasSubstr("the kernel of matmul asks for 1,073,741,824 bytes of workspace"));
}

TEST(Executor, NamesTheMemoryThatEntryPointsUse) {
  const plan::PlanT plan = SamplePlan();
  std::unique_ptr<Executor> executor = Make(plan);
  ASSERT_NE(executor, nullptr);
  const std::vector<std::string> step = {"step"}, none = {"stop"};
  size_t bytes = 0, idle = 0;
  for (std::span<std::byte> part : executor->MemoryOf(step)) bytes += part.size();
  for (std::span<std::byte> part : executor->MemoryOf(none)) idle += part.size();
  EXPECT_GE(bytes, static_cast<size_t>(plan.arena_bytes) + executor->scratch_bytes());
  EXPECT_EQ(idle, executor->scratch_bytes());
}

TEST(Region, GivesZeroedMemoryAndMoves) {
  auto region = Region::Allocate(1 << 20, "a test");
  ASSERT_TRUE(region.ok());
  EXPECT_EQ(region->bytes(), size_t{1} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(region->data()) % 64, 0u);
  EXPECT_EQ(region->data()[12345], std::byte{0});
  std::byte* data = region->data();
  Region other = *std::move(region);
  EXPECT_EQ(other.data(), data);
  EXPECT_EQ(Region::Allocate(0, "nothing")->data(), nullptr);
  auto huge = Region::Allocate(size_t{1} << 60, "a test");
  ASSERT_EQ(huge.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(huge.status()), HasSubstr("for a test"));
  EXPECT_GT(AvailableMemory(), 0);
}

}  // namespace
}  // namespace gptc
