#include "runtime/train/weights.h"

#include <cstring>
#include <memory>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/hf_config.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

// Parameters alone, no entry points: an embedding of 3 rows padded to 4 that is tied, and a matrix that is stored
// transposed.
class WeightsTest : public ::testing::Test {
 protected:
  WeightsTest() {
    plan_.model = "gpt2";
    Add("wte", {4, 2}, "transformer.wte.weight", false, 3);
    auto tied = std::make_unique<plan::ExternalNameT>();
    tied->format = "hf";
    tied->name = "lm_head.weight";
    tied->tied = true;
    plan_.states[0]->names.push_back(std::move(tied));
    Add("up", {2, 3}, "transformer.h.0.up.weight", true, -1);
    executor_ = *Executor::Create(plan_, [](std::string_view) { return KernelFactory(nullptr); });
    std::memset(executor_->state(0).data, 0xff, executor_->state(0).bytes());
  }

  void Add(const std::string& name, Shape shape, const std::string& abroad, bool transposed, int64_t rows) {
    auto state = std::make_unique<plan::StateT>();
    state->name = name;
    state->kind = plan::StateKind::Parameter;
    state->dtype = static_cast<uint8_t>(DType::kF32);
    state->shape = std::move(shape);
    state->logical_rows = rows;
    state->offset = plan_.state_bytes;
    plan_.state_bytes += 64;
    auto foreign = std::make_unique<plan::ExternalNameT>();
    foreign->format = "hf";
    foreign->name = abroad;
    foreign->transposed = transposed;
    state->names.push_back(std::move(foreign));
    plan_.states.push_back(std::move(state));
  }

  TensorToWrite Tensor(const std::string& name, Shape shape, float first) {
    TensorToWrite tensor{.name = name, .type = ElementType::kF32, .shape = shape};
    auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(ElementCount(shape)));
    std::iota(values->begin(), values->end(), first);
    kept_.push_back(values);
    tensor.data = values->data();
    return tensor;
  }

  Safetensors File(std::vector<TensorToWrite> tensors) {
    const std::string path = Cat(::testing::TempDir(), "/weights_", ++files_, ".safetensors");
    EXPECT_TRUE(WriteSafetensors(path, std::move(tensors)).ok());
    return *Safetensors::OpenFile(path);
  }

  std::vector<float> State(int index) {
    const TensorView view = executor_->state(index);
    return {view.as<float>(), view.as<float>() + view.count()};
  }

  plan::PlanT plan_;
  std::unique_ptr<Executor> executor_;
  std::vector<std::shared_ptr<std::vector<float>>> kept_;
  static int files_;
};
int WeightsTest::files_ = 0;

TEST_F(WeightsTest, PaddingTransposeAndBack) {
  const Safetensors file =
      File({Tensor("transformer.wte.weight", {3, 2}, 1), Tensor("transformer.h.0.up.weight", {3, 2}, 10),
            Tensor("transformer.h.0.attn.bias", {1, 1}, 0), Tensor("lm_head.weight", {3, 2}, 1)});
  ASSERT_TRUE(LoadWeights(file, "here", *executor_).ok());
  EXPECT_EQ(State(0), (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
  EXPECT_EQ(State(1), (std::vector<float>{10, 12, 14, 11, 13, 15}));

  const Safetensors again = File(WeightsToWrite(*executor_));
  EXPECT_EQ(again.tensors().size(), 2u);
  for (const char* name : {"transformer.wte.weight", "transformer.h.0.up.weight"}) {
    ASSERT_NE(again.Find(name), nullptr);
    EXPECT_EQ(again.Find(name)->shape, (Shape{3, 2}));
    EXPECT_TRUE(std::ranges::equal(again.Find(name)->bytes, file.Find(name)->bytes)) << name;
  }
}

TEST_F(WeightsTest, StatesWithoutPaddingAndBack) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  std::copy(values.begin(), values.end(), executor_->state(0).as<float>());
  const Safetensors file = File({StateToWrite(*executor_, 0)});
  ASSERT_NE(file.Find("wte"), nullptr);
  EXPECT_EQ(file.Find("wte")->shape, (Shape{3, 2}));
  std::memset(executor_->state(0).data, 0xff, executor_->state(0).bytes());
  ASSERT_TRUE(LoadState(*file.Find("wte"), *executor_, 0).ok());
  EXPECT_EQ(State(0), (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
  const Status other = LoadState(*file.Find("wte"), *executor_, 1);
  EXPECT_TRUE(absl::IsInvalidArgument(other)) << other;
}

TEST_F(WeightsTest, NamesWithoutPrefixTiedNamesAndOtherTypes) {
  const Safetensors first = File({Tensor("wte.weight", {3, 2}, 1), Tensor("h.0.up.weight", {3, 2}, 10)});
  ASSERT_TRUE(LoadWeights(first, "here", *executor_).ok());
  const Safetensors rounded = File(WeightsToWrite(*executor_, ElementType::kBF16));
  EXPECT_EQ(rounded.Find("transformer.wte.weight")->type, ElementType::kBF16);
  const Safetensors tied = File({Tensor("lm_head.weight", {3, 2}, 5), Tensor("h.0.up.weight", {3, 2}, 10)});
  ASSERT_TRUE(LoadWeights(tied, "here", *executor_).ok());
  EXPECT_EQ(State(0)[0], 5);
  ASSERT_TRUE(LoadWeights(rounded, "here", *executor_).ok());  // small whole numbers are exact in bf16
  EXPECT_EQ(State(0), (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
}

TEST_F(WeightsTest, WhatDoesNotFitIsNamed) {
  auto error = [&](std::vector<TensorToWrite> tensors) {
    const Status status = LoadWeights(File(std::move(tensors)), "here.safetensors", *executor_);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return Message(status);
  };
  EXPECT_THAT(error({Tensor("wte.weight", {3, 2}, 0)}),
              ::testing::AllOf(HasSubstr("here.safetensors"), HasSubstr("missing: transformer.h.0.up.weight")));
  EXPECT_THAT(error({Tensor("wte.weight", {4, 2}, 0), Tensor("h.0.up.weight", {3, 2}, 0)}),
              ::testing::AllOf(HasSubstr("[4, 2]"), HasSubstr("[3, 2]")));
  EXPECT_THAT(error({Tensor("wte.weight", {3, 2}, 0), Tensor("h.0.up.weight", {2, 3}, 0)}),
              HasSubstr("h.0.up.weight is [2, 3]"));
  EXPECT_THAT(
      error({Tensor("wte.weight", {3, 2}, 0), Tensor("h.0.up.weight", {3, 2}, 0), Tensor("h.1.up.weight", {3, 2}, 0)}),
      HasSubstr("h.1.up.weight"));
  EXPECT_THAT(
      error({Tensor("wte.weight", {3, 2}, 0), Tensor("lm_head.weight", {3, 2}, 7), Tensor("h.0.up.weight", {3, 2}, 0)}),
      HasSubstr("tied"));
  TensorToWrite whole = Tensor("wte.weight", {3, 2}, 0);
  whole.type = ElementType::kI32;
  EXPECT_THAT(error({whole, Tensor("h.0.up.weight", {3, 2}, 0)}), HasSubstr("wte.weight is I32"));
}

TEST_F(WeightsTest, ConfigOfGpt2IsTransformers) {
  for (auto [key, value] :
       {std::pair{"layers", 2}, {"heads", 3}, {"width", 96}, {"context", 64}, {"vocab", 101}, {"inner", 0}}) {
    plan_.config.push_back(MakeAttribute(key, int64_t{value}));
  }
  plan_.config.push_back(MakeAttribute("activation", std::string("gelu_erf")));
  plan_.config.push_back(MakeAttribute("dropout", 0.25));
  plan_.config.push_back(MakeAttribute("tied", false));
  auto config = ParseHfConfig(ConfigJson(plan_, 100, ElementType::kBF16), "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->layers, 2);
  EXPECT_EQ(config->inner, 384);
  EXPECT_EQ(config->vocab, 101);
  EXPECT_EQ(config->activation, "gelu_erf");
  EXPECT_EQ(config->attention_dropout, 0.25);
  EXPECT_FALSE(config->tied);
  EXPECT_EQ(config->eos, 100);
  EXPECT_EQ(nlohmann::json::parse(ConfigJson(plan_, -1, ElementType::kBF16))["torch_dtype"], "bfloat16");
  plan_.model = "bigram";
  const auto other = nlohmann::json::parse(ConfigJson(plan_, -1));
  EXPECT_EQ(other["model_type"], "bigram");
  EXPECT_EQ(other["vocab"], 101);
  EXPECT_FALSE(other.contains("eos_token_id"));
}

}  // namespace
}  // namespace gptc
