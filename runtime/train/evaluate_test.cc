#include "runtime/train/evaluate.h"

#include <cmath>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBatch = 2, kLength = 8;

// A model that finds a target likelier the smaller its id is: the loss is id / 100, and depends on the position in no
// way.
StatusOr<BoundKernel> BindModel(const KernelArgs& args) {
  const TensorView targets = args.input(1), losses = args.result();
  return BoundKernel([=] {
    for (int64_t i = 0; i < targets.count(); ++i) {
      const int32_t target = targets.as<int32_t>()[i];
      losses.as<float>()[i] = target < 0 ? 0.0f : static_cast<float>(target) / 100;
    }
  });
}

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    plan_.model = "test";
    auto entry = std::make_unique<plan::EntryT>();
    entry->name = "score";
    for (DType dtype : {DType::kI32, DType::kI32, DType::kF32}) {
      auto buffer = std::make_unique<plan::BufferT>();
      buffer->dtype = static_cast<uint8_t>(dtype);
      buffer->shape = {kBatch, kLength};
      buffer->offset = static_cast<int64_t>(entry->buffers.size()) * 64;
      entry->buffers.push_back(std::move(buffer));
    }
    auto port = [](const char* name, uint32_t buffer) {
      auto made = std::make_unique<plan::PortT>();
      made->name = name;
      made->buffer = buffer;
      return made;
    };
    entry->inputs.push_back(port("tokens", 0));
    entry->inputs.push_back(port("targets", 1));
    entry->outputs.push_back(port("losses", 2));
    auto step = std::make_unique<plan::StepT>();
    step->kernel = "cross_entropy";
    step->inputs = {0, 1};
    step->results = {2};
    entry->steps.push_back(std::move(step));
    entry->arena_bytes = plan_.arena_bytes = 192;
    plan_.entries.push_back(std::move(entry));
  }

  StatusOr<Scorer> MakeScorer() {
    executor_ = *Executor::Create(plan_, [](std::string_view) { return KernelFactory(&BindModel); });
    return Scorer::Create(*executor_);
  }

  std::unique_ptr<Tokenizer> bytes_ = MakeBytesTokenizer();
  plan::PlanT plan_;
  std::unique_ptr<Executor> executor_;
};

std::vector<Choice> Questions(std::string_view text) {
  auto choices = ParseHellaSwag(text, "h.jsonl");
  EXPECT_TRUE(choices.ok()) << choices.status();
  return choices.value_or(std::vector<Choice>());
}

TEST_F(EvaluateTest, SumAndMeanChooseDifferently) {
  // Endings with their space: " zz" has sum 32+122+122 = 276, mean 92; " aaa" 32+3·97 = 323, mean 81.
  const auto choices = Questions(R"({"ctx": "q", "endings": ["zz", "aaa"], "label": 1}
{"ctx": "q", "endings": ["aaa", "zz", "aaa"], "label": "0"}

)");
  ASSERT_EQ(choices.size(), 2u);
  auto scorer = MakeScorer();
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  auto result = EvaluateHellaSwag(*scorer, *bytes_, 257, choices);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chosen, (std::vector<std::array<int, 2>>{{0, 1}, {1, 0}}));  // of equals the first
  EXPECT_EQ(result->accuracy, 0);
  EXPECT_EQ(result->accuracy_normalized, 1);
}

TEST_F(EvaluateTest, LongRowsLoseTheirBeginning) {
  // The context alone is longer than the window: still only the ending counts, and all of it.
  const auto choices = Questions(R"({"ctx": "zzzzzzzzzzzzzzzz", "endings": ["bb", "a"], "label": 1})");
  auto result = EvaluateHellaSwag(*MakeScorer(), *bytes_, 257, choices);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chosen[0], (std::array<int, 2>{1, 1}));
  // An ending longer than the window: its last 8 tokens, here all "a", against "bbbbbbb" with a space.
  const auto longer = Questions(R"({"ctx": "q", "endings": ["zzzzaaaaaaaa", "zzzzbbbbbbbb"], "label": 0})");
  EXPECT_EQ(EvaluateHellaSwag(*MakeScorer(), *bytes_, 257, longer)->chosen[0], (std::array<int, 2>{0, 0}));
}

TEST_F(EvaluateTest, EmptyContextStartsAtEndOfText) {
  auto result =
      EvaluateHellaSwag(*MakeScorer(), *bytes_, 257, Questions(R"({"ctx": "", "endings": ["b", "a"], "label": 0})"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chosen[0], (std::array<int, 2>{1, 1}));
  EXPECT_TRUE(absl::IsInvalidArgument(
      EvaluateHellaSwag(*MakeScorer(), *bytes_, 100, Questions(R"({"ctx": "q", "endings": ["b"], "label": 0})"))
          .status()));
}

TEST_F(EvaluateTest, QuestionsThatAreNoneNameTheLine) {
  auto error = [](std::string_view text) {
    auto choices = ParseHellaSwag(text, "h.jsonl");
    EXPECT_TRUE(absl::IsInvalidArgument(choices.status())) << text;
    return Message(choices.status());
  };
  const std::string good = R"({"ctx": "q", "endings": ["a"], "label": 0})";
  EXPECT_THAT(error(good + "\nnot json"), HasSubstr("h.jsonl:2"));
  EXPECT_THAT(error(good + "\n\n[1]"), HasSubstr("h.jsonl:3"));
  EXPECT_THAT(error(R"({"ctx": 1, "endings": ["a"], "label": 0})"), HasSubstr("h.jsonl:1"));
  EXPECT_THAT(error(R"({"ctx": "q", "endings": [], "label": 0})"), HasSubstr("h.jsonl:1"));
  EXPECT_THAT(error(R"({"ctx": "q", "endings": ["a", 2], "label": 0})"), HasSubstr("h.jsonl:1"));
  for (const char* label : {"1", "-1", "\"x\"", "null", "0.5", "1e99"}) {
    EXPECT_THAT(error(Cat(R"({"ctx": "q", "endings": ["a"], "label": )", label, "}")), HasSubstr("label"));
  }
  EXPECT_THAT(error(" \n\n"), HasSubstr("h.jsonl"));
}

TEST_F(EvaluateTest, PlansThatCannotScoreAreRefused) {
  EXPECT_TRUE(MakeScorer().ok());
  plan_.entries[0]->buffers[2]->dtype = static_cast<uint8_t>(DType::kI32);
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer().status()));
  plan_.entries[0]->outputs[0]->name = "y";
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer().status()));
  plan_.entries.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer().status()));
}

TEST_F(EvaluateTest, WindowsOfAShard) {
  const std::string folder = ::testing::TempDir() + "/evaluate_shards";
  {
    auto writer = ShardWriter::Create(
        folder, "t", {.tokenizer_kind = "bytes", .tokenizer_hash = bytes_->hash_text(), .vocab_size = 257});
    ASSERT_TRUE(writer.ok()) << writer.status();
    std::vector<int32_t> tokens(3 * kLength + 5);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
    ASSERT_TRUE((*writer)->Add("val", tokens).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }
  auto shards = std::make_shared<const ShardSet>(*ShardSet::Open(folder, "val"));
  std::vector<float> seen;
  auto result = EvaluateWindows(*MakeScorer(), shards, [&](std::span<const float> losses) {
    seen.insert(seen.end(), losses.begin(), losses.end());
    return OkStatus();
  });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->windows, 3);
  EXPECT_EQ(result->tokens, 24);
  ASSERT_EQ(seen.size(), 24u);
  EXPECT_NEAR(result->loss, 0.125, 1e-7);  // targets 1 to 24
  EXPECT_FLOAT_EQ(seen[23], 0.24f);
}

}  // namespace
}  // namespace gptc
