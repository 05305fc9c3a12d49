// `gptrun train`'s loop on the emulated device, where work waits in the stream until somebody waits for it: a step's
// loss and norm, read when the next step has been started, are those that are read at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "frontends/gptc/pipeline.h"
#include "ir/base/check.h"
#include "models/model.h"
#include "nlohmann/json.hpp"
#include "runtime/cuda/device.h"
#include "runtime/data/shards.h"
#include "runtime/exec/executor.h"
#include "runtime/formats/files.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/run_directory.h"
#include "runtime/train/trainer.h"
#include "tests/simt/generated_code.h"
#include "tests/simt/simt.h"

namespace gptc::simt {
namespace {

using ::testing::ContainsRegex;

constexpr int64_t kSteps = 7;

plan::PlanT PlanOf(const char* target) {
  const Model* const gpt2 = *ModelNamed("gpt2");
  const std::vector<std::pair<std::string, std::string>> settings = {
      {"layers", "1"}, {"heads", "2"}, {"width", "16"}, {"context", "8"}, {"vocab", "23"}};
  const auto config = MakeConfig(*gpt2, "", settings);
  CHECK_OK(config.status());
  const auto module = gpt2->build(*config);
  CHECK_OK(module.status());
  CompileOptions options;
  options.dimensions = {{"B", 2}, {"T", 8}, {"prefill_T", 5}};
  options.target = target;
  options.generate = false;
  auto compiled = Compile(*module, options);
  CHECK_OK(compiled.status());
  CHECK_OK(EmulateGenerated(compiled->plan));
  return std::move(compiled->plan);
}

std::string Shards() {
  const std::string folder = Cat(::testing::TempDir(), "/training_on_cuda_shards");
  CHECK_OK(RemoveAll(folder));
  ShardsInfo info;
  info.vocab_size = 23;
  auto writer = ShardWriter::Create(folder, "numbers", info);
  CHECK_OK(writer.status());
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 1000; ++i) ids.push_back(i * i % 23);
  CHECK_OK((*writer)->Add("train", ids));
  CHECK_OK((*writer)->Finish());
  return folder;
}

struct Outcome {
  Status status;
  std::vector<std::string> steps;            // metrics, without times
  std::map<std::string, std::string> files;  // of the newest checkpoint
};

Outcome TrainOn(Device& device, const plan::PlanT& plan, const std::string& name, TrainOptions options) {
  options.data = Shards();
  options.run = Cat(::testing::TempDir(), "/training_on_cuda_", name);
  CHECK_OK(RemoveAll(options.run));
  options.steps = kSteps;
  options.eval_every = 0;
  options.quiet = true;
  Trainer trainer(plan, device, "", options);
  Outcome outcome;
  outcome.status = trainer.Run();
  const auto metrics = ReadFileToString(JoinPath(options.run, kMetricsFile));
  CHECK_OK(metrics.status());
  for (size_t at = 0; at < metrics->size();) {
    const size_t end = metrics->find('\n', at);
    nlohmann::ordered_json line = nlohmann::ordered_json::parse(metrics->substr(at, end - at));
    line.erase("ms");
    line.erase("tokens_per_s");
    outcome.steps.push_back(line.dump());
    at = end + 1;
  }
  const auto newest = LatestCheckpoint(options.run);
  CHECK_OK(newest.status());
  if (!newest->has_value()) return outcome;
  for (const std::string& file : {std::string(kModelFile), OptimizerFile(0), std::string(kStateFile)}) {
    const auto bytes = ReadFileToString(JoinPath(**newest, file));
    CHECK_OK(bytes.status());
    outcome.files[file] = *bytes;
  }
  return outcome;
}

class TrainingOnCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasHostCompiler()) GTEST_SKIP() << "no g++, which stands in for NVRTC";
    auto device = CudaDevice::Create();
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    plan_ = std::make_unique<plan::PlanT>(PlanOf("cuda:sm_90"));
  }

  Outcome TrainWith(TrainOptions options, bool at_once) {
    options.read_at_once = at_once;
    return TrainOn(*device_, *plan_, at_once ? "at_once" : "late", options);
  }
  std::unique_ptr<CudaDevice> device_;
  std::unique_ptr<plan::PlanT> plan_;
};

TEST_F(TrainingOnCuda, ReadsLateWhatItWouldReadAtOnce) {
  for (const int64_t micro_batches : {1, 5}) {
    SCOPED_TRACE(Cat(micro_batches, " micro-batches"));
    const TrainOptions options{.grad_accum = micro_batches, .checkpoint_every = 3};
    const Outcome late = TrainWith(options, false), at_once = TrainWith(options, true);
    EXPECT_TRUE(late.status.ok()) << late.status;
    EXPECT_TRUE(at_once.status.ok()) << at_once.status;
    EXPECT_EQ(late.steps.size(), static_cast<size_t>(kSteps));
    EXPECT_EQ(late.steps, at_once.steps);
    EXPECT_EQ(late.files.size(), 3u);
    EXPECT_EQ(late.files == at_once.files, true) << "checkpoints differ";
  }
}

// A learning rate that overflows the weights: a step's loss is found to be wrong when the next one is under way.
TEST_F(TrainingOnCuda, NamesTheStepThatFailedAndKeepsTheCheckpoint) {
  TrainOptions options{.checkpoint_every = 2};
  options.schedule.lr = options.schedule.floor = 2e9;
  options.schedule.warmup = kSteps;
  options.weight_decay = 0;
  const Outcome late = TrainWith(options, false), at_once = TrainWith(options, true);
  EXPECT_TRUE(absl::IsAborted(late.status)) << late.status;
  EXPECT_EQ(late.status, at_once.status);
  EXPECT_EQ(late.steps, at_once.steps);
  EXPECT_EQ(late.files == at_once.files, true) << "checkpoints differ";
  EXPECT_LT(late.steps.size(), static_cast<size_t>(kSteps));
  EXPECT_NE(std::string(late.status.message()).find(Cat("step ", late.steps.size() + 1, ": the ")), std::string::npos)
      << late.status;
  EXPECT_NE(std::string(late.status.message()).find("is intact"), std::string::npos) << late.status;
}

// ---- a machine that something is wrong with ----

class Faulty : public TrainingOnCuda {
 protected:
  void TearDown() override {
    SetFaults({});
    SetComputeCapability(9);
  }
  static std::string Refusal() {
    const auto device = CudaDevice::Create();
    return device.ok() ? "" : Message(device.status());
  }
};

TEST_F(Faulty, NoDriverNoGpuOrTooOldOnes) {
  SetFaults({.driver = 0});
  EXPECT_EQ(Refusal(),
            "no NVIDIA driver is installed on this machine (libcuda.so.1); plans for CUDA need one of CUDA 13.0 or "
            "newer");
  SetFaults({.driver = 12080});
  EXPECT_EQ(Refusal(), "the NVIDIA driver is too old: it knows CUDA 12.8, this program needs 13.0; update the driver");
  SetFaults({.devices = 0});
  EXPECT_EQ(Refusal(), "this machine has a driver and no GPU that it may use");
  SetFaults({});
  SetComputeCapability(7);
  EXPECT_EQ(Refusal(),
            "emulated GPU is sm_70, and the kernels of this program need sm_80 (Ampere) or newer; compile the model "
            "with --target native");
}

TEST_F(Faulty, APlanForANewerGpu) {
  plan::GeneratedCodeT code;
  code.sm = 90;
  code.kernels.push_back(std::make_unique<plan::GeneratedKernelT>());
  GeneratedKernels kernels;
  const Status status = kernels.Load(code, 80);
  EXPECT_EQ(Message(status),
            "the plan's generated kernels are for compute capability 9.0, this GPU has 8.0; compile the model with "
            "--target cuda:sm_80");
  EXPECT_EQ(ExitCode(status), 3);
}

TEST_F(Faulty, TooLittleMemoryIsSaidBeforeTheFirstStep) {
  SetFaults({.memory = 100000});
  const auto executor = Executor::Create(*plan_, *device_);
  EXPECT_EQ(ExitCode(executor.status()), 4);
  EXPECT_THAT(
      Message(executor.status()),
      ContainsRegex("the plan needs [0-9.]+ KiB \\(states .*, arena .*\\), and 9[0-9.]+ KiB of memory are free"));
}

TEST_F(Faulty, ALostGpuLeavesTheLastCheckpoint) {
  const TrainOptions options{.checkpoint_every = 2};
  SetFaults({.grids = 200});
  const Outcome outcome = TrainWith(options, false);
  const size_t steps = outcome.steps.size();
  EXPECT_LT(steps, static_cast<size_t>(kSteps));
  EXPECT_THAT(Message(outcome.status),
              ContainsRegex(Cat("step ", steps + 1,
                                ": emulated GPU: CUDA says cudaErrorLaunchFailure .*the emulated GPU is lost.*the "
                                "checkpoint of step ",
                                steps / 2 * 2, " is intact")));
  EXPECT_EQ(outcome.files.size(), 3u);
}

}  // namespace
}  // namespace gptc::simt
