// A model small enough to be known by heart: after token t at position p comes t + p + 1, modulo the vocabulary. Its
// plan is written by hand, with one kernel that the test binds itself.
#include "runtime/generate/generator.h"

#include <memory>
#include <numeric>
#include <string>

#include "gtest/gtest.h"

namespace gptc {
namespace {

constexpr int64_t kVocab = 50, kPadded = 64;

// concat stands for the whole model: (tokens, positions[, last]) -> logits.
StatusOr<BoundKernel> BindModel(const KernelArgs& args) {
  const TensorView tokens = args.input(0), positions = args.input(1), logits = args.result();
  const int32_t* last = args.has(2) ? args.input(2).as<int32_t>() : nullptr;
  return BoundKernel([=] {
    std::fill_n(logits.as<float>(), logits.count(), 0.0f);
    for (int64_t row = 0; row < logits.dim(0); ++row) {
      const int64_t at = last != nullptr ? *last : row;
      const int64_t next = (tokens.as<int32_t>()[at] + positions.as<int32_t>()[at] + 1) % kVocab;
      logits.as<float>()[row * kPadded + next] = 1;
      for (int64_t pad = kVocab; pad < kPadded; ++pad)
        logits.as<float>()[row * kPadded + pad] = 9;  // must never be chosen
    }
  });
}

class PlanOfTest {
 public:
  PlanOfTest(int64_t context, int64_t chunk, int64_t streams) {
    plan_.model = "test";
    plan_.config.push_back(MakeAttribute("vocab", kVocab));
    plan_.config.push_back(MakeAttribute("context", context));
    Add("prefill", {1, chunk}, 1, true);
    Add("decode", {streams, 1}, streams, false);
  }
  plan::PlanT& plan() { return plan_; }

 private:
  void Add(const std::string& name, const Shape& ids, int64_t rows, bool last) {
    auto entry = std::make_unique<plan::EntryT>();
    entry->name = name;
    auto buffer = [&](DType dtype, const Shape& shape) {
      auto made = std::make_unique<plan::BufferT>();
      made->dtype = static_cast<uint8_t>(dtype);
      made->shape = shape;
      made->offset = plan_.arena_bytes;
      plan_.arena_bytes += (ByteCount({dtype, shape}) + 63) / 64 * 64;
      entry->buffers.push_back(std::move(made));
      return static_cast<uint32_t>(entry->buffers.size() - 1);
    };
    auto port = [](auto& ports, const std::string& port_name, uint32_t index) {
      auto made = std::make_unique<plan::PortT>();
      made->name = port_name;
      made->buffer = index;
      ports.push_back(std::move(made));
    };
    auto step = std::make_unique<plan::StepT>();
    step->kernel = "concat";
    for (const char* each : {"tokens", "positions"}) {
      step->inputs.push_back(buffer(DType::kI32, ids));
      port(entry->inputs, each, step->inputs.back());
    }
    if (last) {
      step->inputs.push_back(buffer(DType::kI32, {1}));
      port(entry->inputs, "last", step->inputs.back());
    }
    step->results.push_back(buffer(DType::kF32, {rows, kPadded}));
    port(entry->outputs, "logits", step->results.back());
    entry->steps.push_back(std::move(step));
    entry->arena_bytes = plan_.arena_bytes;
    plan_.entries.push_back(std::move(entry));
  }

  plan::PlanT plan_;
};

KernelFactory Kernel(std::string_view) { return &BindModel; }

// What the model would say, worked out from the definition of generation alone.
std::vector<int32_t> Expected(std::vector<int32_t> text, int64_t context, int64_t count) {
  std::vector<int32_t> made;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t position = std::min<int64_t>(static_cast<int64_t>(text.size()), context) - 1;
    made.push_back(static_cast<int32_t>((text.back() + position + 1) % kVocab));
    text.push_back(made.back());
  }
  return made;
}

struct Shapes {
  int64_t context, chunk, streams;
};

class GeneratorTest : public ::testing::TestWithParam<Shapes> {};

TEST_P(GeneratorTest, PositionsFollowTheWindow) {
  const auto [context, chunk, streams] = GetParam();
  PlanOfTest test(context, chunk, streams);
  auto executor = Executor::Create(test.plan(), &Kernel);
  ASSERT_TRUE(executor.ok()) << executor.status();
  auto generator = Generator::Create(**executor);
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_EQ(generator->vocab(), kVocab);
  for (int64_t length :
       {int64_t{1}, int64_t{4}, int64_t{5}, chunk, chunk + 1, 2 * chunk + 3, context - 1, context, context + 7}) {
    if (length < 1) continue;
    std::vector<int32_t> prompt(static_cast<size_t>(length));
    std::iota(prompt.begin(), prompt.end(), 3);
    for (int32_t& token : prompt) token %= kVocab;
    Sampler sampler({.temperature = 0});
    auto made = Generate(*generator, sampler, prompt, {.max_new_tokens = 2 * context});
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(*made, Expected(prompt, context, 2 * context)) << "a prompt of " << length;
    EXPECT_LE(static_cast<int64_t>(generator->window().size()), context);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GeneratorTest,
                         ::testing::Values(Shapes{40, 8, 1}, Shapes{33, 16, 3}, Shapes{8, 8, 1}, Shapes{1, 1, 1},
                                           Shapes{20, 1, 1}));

class OneGenerator : public ::testing::Test {
 protected:
  PlanOfTest test_{32, 8, 1};
  std::unique_ptr<Executor> executor_ = *Executor::Create(test_.plan(), &Kernel);
  Generator generator_ = *Generator::Create(*executor_);
  Sampler sampler_{{.temperature = 0}};
};

TEST_F(OneGenerator, EndsAtEndOfText) {
  const std::vector<int32_t> prompt = {3};
  const std::vector<int32_t> all = Expected(prompt, 32, 5);
  EXPECT_EQ(*Generate(generator_, sampler_, prompt, {.max_new_tokens = 5, .eot = all[2]}),
            std::vector<int32_t>(all.begin(), all.begin() + 2));
  std::vector<int32_t> seen;
  auto made = Generate(generator_, sampler_, prompt, {.max_new_tokens = 5}, [&](int32_t token) {
    seen.push_back(token);
    return seen.size() < 2;
  });
  EXPECT_EQ(*made, seen);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_TRUE(Generate(generator_, sampler_, prompt, {.max_new_tokens = 0})->empty());
}

TEST_F(OneGenerator, RefusesWhatIsNoToken) {
  for (int32_t bad : {-1, static_cast<int32_t>(kVocab)}) {
    const std::vector<int32_t> prompt = {1, bad};
    EXPECT_TRUE(absl::IsInvalidArgument(Generate(generator_, sampler_, prompt, {}).status()));
  }
  EXPECT_FALSE(Generate(generator_, sampler_, {}, {}).ok());
}

TEST_F(OneGenerator, PlansThatCannotGenerateAreRefused) {
  auto refused = [](PlanOfTest test, auto change) {
    change(test.plan());
    auto executor = Executor::Create(test.plan(), &Kernel);
    EXPECT_TRUE(executor.ok()) << executor.status();
    return absl::IsInvalidArgument(Generator::Create(**executor).status());
  };
  EXPECT_TRUE(refused({32, 8, 1}, [](plan::PlanT& plan) { plan.entries.pop_back(); }));
  EXPECT_TRUE(refused({32, 8, 1}, [](plan::PlanT& plan) { plan.entries[0]->outputs[0]->name = "y"; }));
  EXPECT_TRUE(refused({32, 8, 1}, [](plan::PlanT& plan) { plan.entries[1]->inputs[0]->name = "x"; }));
  EXPECT_TRUE(refused({32, 8, 1}, [](plan::PlanT& plan) { plan.config[0]->i = kPadded + 1; }));
  EXPECT_TRUE(refused({4, 8, 1}, [](plan::PlanT&) {}));
}

}  // namespace
}  // namespace gptc
