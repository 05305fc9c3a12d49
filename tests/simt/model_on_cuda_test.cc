// Whole models on the emulated device: compiled for it, trained, scored and generating.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "frontends/gptc/pipeline.h"
#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "models/model.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/device.h"
#include "runtime/exec/executor.h"
#include "tests/fuzz/check_module.h"
#include "tests/simt/generated_code.h"
#include "tests/simt/simt.h"

namespace gptc::simt {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

StatusOr<Module> Gpt2(const Settings& settings) {
  const Model* const gpt2 = *ModelNamed("gpt2");
  ASSIGN_OR_RETURN(const Config config, MakeConfig(*gpt2, "", settings));
  return gpt2->build(config);
}

class ModelOnCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasHostCompiler()) GTEST_SKIP() << "no g++, which stands in for NVRTC";
  }
};

// Three optimizer steps of three micro-steps each, scoring and generation.
TEST_F(ModelOnCuda, TrainsAndGeneratesAsTheEvaluatorDoes) {
  const auto device = CudaDevice::Create();
  ASSERT_TRUE(device.ok()) << device.status();
  struct Variant {
    const char *tied, *activation, *precision;
    DType residual;
    int64_t loss_chunk;
    const char *heads, *width;
  };
  for (const Variant& variant : {Variant{"true", "gelu_tanh", "f32", DType::kF32, 0, "3", "15"},
                                 Variant{"false", "gelu_erf", "f32", DType::kF32, 5, "3", "15"},
                                 Variant{"true", "gelu_tanh", "bf16", DType::kBF16, 0, "2", "128"},
                                 Variant{"false", "gelu_tanh", "bf16", DType::kF32, 5, "3", "24"}}) {
    const auto module = Gpt2({{"layers", "2"},
                              {"heads", variant.heads},
                              {"width", variant.width},
                              {"inner", "19"},
                              {"context", "11"},
                              {"vocab", "23"},
                              {"dropout", "0.25"},
                              {"tied", variant.tied},
                              {"bias", variant.tied},
                              {"epsilon", "1e-2"},
                              {"activation", variant.activation}});
    ASSERT_TRUE(module.ok()) << module.status();
    const Status status = CheckModule(*module, {.dimensions = {{"B", 2}, {"T", 7}, {"prefill_T", 5}},
                                                .seed = 11,
                                                .precision = variant.precision,
                                                .residual = variant.residual,
                                                .loss_chunk = variant.loss_chunk,
                                                .steps = 3,
                                                .target = "cuda:sm_90",
                                                .device = device->get(),
                                                .complete = &EmulateGenerated});
    EXPECT_TRUE(status.ok()) << variant.precision << " " << variant.activation << ": " << Message(status);
  }
}

// ---- training as on the CPU ----

constexpr int64_t kBatch = 2, kTokens = 70, kVocabulary = 97;
constexpr int kSteps = 3;

// A uniform number in [-1, 1) for the i-th element of what this is the name of.
float Uniform(std::string_view name, size_t i) {
  uint64_t hash = 1469598103934665603u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return static_cast<float>(Mix64(hash + i) >> 40) * 0x1p-23f - 1;
}

struct Trained {
  std::vector<double> losses;                       // of each step
  std::map<std::string, std::vector<float>> begin;  // parameters
  std::map<std::string, std::vector<float>> end;
};

StatusOr<Trained> Train(const plan::PlanT& plan, Device& device) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                   Executor::Create(plan, device, {.entries = {"micro_step.only", "update", "prepare"}}));
  Trained trained;
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const std::string& name = plan.states[i]->name;
    RETURN_IF_ERROR(executor->WriteState(static_cast<int>(i), [&](const TensorView& view) {
      std::memset(view.data, 0, view.bytes());
      if (plan.states[i]->kind != plan::StateKind::Parameter) return OkStatus();
      const float centre = view.rank() == 1 && name.ends_with("weight") ? 1 : 0;
      const int64_t count = ElementCount(LogicalTypeOf(*plan.states[i]).shape);
      for (int64_t k = 0; k < count; ++k) view.as<float>()[k] = centre + 0.1f * Uniform(name, k);
      trained.begin[name] = {view.as<float>(), view.as<float>() + count};
      return OkStatus();
    }));
  }
  constexpr double kValues[kScalarCount] = {/*kLearningRate*/ 1e-2,
                                            /*kBeta1*/ 0.9,
                                            /*kBeta2*/ 0.95,
                                            // Large, so that an update is no coin toss where the gradient is noise.
                                            /*kEpsilon*/ 1e-2,
                                            /*kWeightDecay*/ 0.1,
                                            /*kClip*/ 1,
                                            /*kStep*/ 1,
                                            /*kInverseTokens*/ 1.0 / (kBatch * kTokens),
                                            /*kLossScale*/ 1,
                                            /*kSeed*/ 1,
                                            /*kFirstSequence*/ 0};
  for (int scalar = 0; scalar < kScalarCount; ++scalar) executor->SetScalar(scalar, kValues[scalar]);
  RETURN_IF_ERROR(executor->RunIfPresent("prepare"));
  BoundEntry *step = executor->entry("micro_step.only"), *update = executor->entry("update");
  if (step == nullptr || update == nullptr) return NotFound("the plan does not train");
  for (int i = 0; i < kSteps; ++i) {
    executor->SetScalar(kStep, i + 1);
    for (const char* name : {"tokens", "targets"}) {
      const TensorView ids = step->input(name);
      for (int64_t k = 0; k < ids.count(); ++k)
        ids.as<int32_t>()[k] = static_cast<int32_t>(std::abs(Uniform(Cat(name, i), k)) * kVocabulary);
    }
    RETURN_IF_ERROR(step->Run());
    trained.losses.push_back(static_cast<double>(*step->output("loss").as<float>()));
    RETURN_IF_ERROR(update->Run());
  }
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i]->kind != plan::StateKind::Parameter) continue;
    RETURN_IF_ERROR(executor->ReadState(static_cast<int>(i), [&](const TensorView& view) {
      const int64_t count = ElementCount(LogicalTypeOf(*plan.states[i]).shape);
      trained.end[plan.states[i]->name] = {view.as<float>(), view.as<float>() + count};
      return OkStatus();
    }));
  }
  return trained;
}

TEST_F(ModelOnCuda, TrainsInBf16AsTheCpuDoes) {
  const auto device = CudaDevice::Create();
  ASSERT_TRUE(device.ok()) << device.status();
  const auto module = Gpt2({{"layers", "2"}, {"heads", "2"}, {"width", "128"}, {"context", "70"}, {"vocab", "97"}});
  ASSERT_TRUE(module.ok()) << module.status();
  for (const DType residual : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(Cat("residual stream in ", NameOf(residual)));
    // With the other stream, what `gptrun tune` may choose: bias gradients by epilogue, GELU by kernels of its own.
    if (residual == DType::kBF16) SetWay(1);
    CompileOptions options;
    options.dimensions = {{"B", kBatch}, {"T", kTokens}, {"prefill_T", 5}};
    options.precision = "bf16";
    options.residual = residual;
    const auto on_host = Compile(*module, options);
    ASSERT_TRUE(on_host.ok()) << on_host.status();
    options.target = "cuda:sm_90";
    options.generate = false;
    auto on_device = Compile(*module, options);
    ASSERT_TRUE(on_device.ok()) << on_device.status();
    const Status generated = EmulateGenerated(on_device->plan);
    ASSERT_TRUE(generated.ok()) << generated;
    HostDevice host(&CpuKernel);
    const auto wanted = Train(on_host->plan, host);
    ASSERT_TRUE(wanted.ok()) << wanted.status();
    const auto trained = Train(on_device->plan, **device);
    ASSERT_TRUE(trained.ok()) << trained.status();
    const auto again = Train(on_device->plan, **device);
    SetWay(std::nullopt);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(trained->losses, again->losses);
    EXPECT_EQ(trained->end == again->end, true) << "two trainings differ in some bits";
    for (int i = 0; i < kSteps; ++i) EXPECT_NEAR(trained->losses[i] / wanted->losses[i], 1, 2e-3);
    for (const auto& [name, expected] : wanted->end) {
      const std::vector<float>&begin = wanted->begin.at(name), &found = trained->end.at(name);
      ASSERT_EQ(found.size(), expected.size());
      double difference = 0, change = 0;
      for (size_t i = 0; i < found.size(); ++i) {
        difference += std::pow(found[i] - expected[i], 2);
        change += std::pow(expected[i] - begin[i], 2);
      }
      EXPECT_LT(std::sqrt(difference), 0.03 * std::sqrt(change)) << name << " changed by " << std::sqrt(change);
    }
  }
}

}  // namespace
}  // namespace gptc::simt
