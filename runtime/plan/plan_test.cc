// Plan files: what is written reads back, and nothing else reads at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "runtime/plan/plan.h"
#include "runtime/plan/sample_plan_for_test.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

std::string ProblemOf(const plan::PlanT& plan) { return Message(ValidatePlan(plan)); }

// The message for the sample after `damage`; "" where the plan is still accepted. Written out with a hash that is
// right: what refuses it is the check of its content.
std::string After(const std::function<void(plan::PlanT&)>& damage) {
  plan::PlanT plan = SamplePlan();
  damage(plan);
  auto read = ParsePlan(SerializePlan(plan), "sample.fb");
  EXPECT_EQ(read.ok(), ValidatePlan(plan).ok());
  if (read.ok()) return "";
  EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(read.status()), HasSubstr("sample.fb: not a readable plan: "));
  EXPECT_THAT(Message(read.status()), HasSubstr(ProblemOf(plan)));
  return ProblemOf(plan);
}

plan::StepT& StepOf(plan::PlanT& plan, size_t i) { return *plan.entries[0]->steps[i]; }
plan::BufferT& BufferOf(plan::PlanT& plan, size_t i) { return *plan.entries[0]->buffers[i]; }

TEST(Plan, ReadsBackAsItWasWritten) {
  plan::PlanT plan = SamplePlan();
  std::string bytes = SerializePlan(plan);
  EXPECT_EQ(bytes, SerializePlan(plan));
  auto read = ParsePlan(bytes, "sample.fb");
  ASSERT_TRUE(read.ok()) << Message(read.status());
  EXPECT_EQ(SerializePlan(**read), bytes);
  EXPECT_EQ((*read)->entries[0]->steps.size(), plan.entries[0]->steps.size());
  EXPECT_EQ((*read)->states[0]->names[0]->name, "transformer.w");
}

TEST(Plan, LooksThingsUp) {
  plan::PlanT plan = SamplePlan();
  EXPECT_EQ(FindEntry(plan, "step"), plan.entries[0].get());
  EXPECT_EQ(FindEntry(plan, "stop"), nullptr);
  EXPECT_EQ(FindState(plan, "grad.w"), 1);
  EXPECT_EQ(FindState(plan, "grad"), -1);
  EXPECT_EQ(DimensionOf(plan, "B"), 4);
  EXPECT_EQ(DimensionOf(plan, "T"), -1);
  EXPECT_EQ(ConfigInt(plan, "width", 0), 3);
  EXPECT_EQ(ConfigInt(plan, "depth", 7), 7);
  EXPECT_EQ(ConfigDouble(plan, "rate", 0), 0.5);
  EXPECT_EQ(ConfigDouble(plan, "width", 0), 3.0);
  EXPECT_EQ(ParameterCount(plan), 2 * 2);  // of three rows two are logical
  EXPECT_EQ(PeakBytes(plan, 2), plan.state_bytes + plan.arena_bytes + WorkspaceBytes(plan, 2));
}

TEST(Plan, EveryTruncationIsRefused) {
  std::string bytes = SerializePlan(SamplePlan());
  for (size_t length = 0; length < bytes.size(); ++length) {
    auto read = ParsePlan(std::string_view(bytes).substr(0, length), "cut.fb");
    ASSERT_FALSE(read.ok()) << length;
    ASSERT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << length << ": " << Message(read.status());
    ASSERT_THAT(Message(read.status()), HasSubstr("cut.fb: not a readable plan"));
  }
}

TEST(Plan, EveryFlippedBitIsRefused) {
  const std::string bytes = SerializePlan(SamplePlan());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_FALSE(ParsePlan(damaged, "flipped.fb").ok()) << "bit " << bit;
  }
}

TEST(Plan, NoiseIsRefused) {
  const std::string bytes = SerializePlan(SamplePlan());
  std::mt19937_64 random(1);
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = bytes;
    for (uint64_t n = 1 + random() % 20; n > 0; --n) damaged[random() % damaged.size()] = static_cast<char>(random());
    if (damaged == bytes) continue;
    ASSERT_FALSE(ParsePlan(damaged, "noise.fb").ok()) << i;
    std::string noise(random() % 300, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    if (i % 2 == 0 && noise.size() > 8) std::memcpy(noise.data() + 4, "GPTP", 4);
    ASSERT_FALSE(ParsePlan(noise, "noise.fb").ok()) << i;
  }
}

TEST(Plan, OtherVersionsAreRefusedByName) {
  plan::PlanT plan = SamplePlan();
  plan.major = kPlanMajor + 1;
  plan.minor = 3;
  plan.compiler = std::string("9.1");
  auto read = ParsePlan(SerializePlan(plan), "new.fb");
  ASSERT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Message(read.status()),
            Cat("new.fb: this plan has format version ", kPlanMajor + 1,
                ".3, written by gptc 9.1; this program reads version ", kPlanMajor, ".x; compile the model again"));
  plan.major = kPlanMajor;
  EXPECT_TRUE(ParsePlan(SerializePlan(plan), "minor.fb").ok());
}

TEST(Plan, FilesThatAreNone) {
  EXPECT_THAT(Message(ParsePlan("", "empty.fb").status()), HasSubstr("the file is empty"));
  EXPECT_THAT(Message(ParsePlan("module t { graph f() {} }", "t.graph").status()),
              HasSubstr("does not begin as a plan (GPTP) does"));
  auto missing = ReadPlan(Cat(::testing::TempDir(), "/no/such/plan.fb"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(missing.status()), HasSubstr("no/such/plan.fb"));
  EXPECT_FALSE(ReadPlan(::testing::TempDir()).ok());
}

TEST(Plan, WrongContentIsRefusedWithItsPlace) {
  using P = plan::PlanT;
  EXPECT_EQ(After([](P&) {}), "");
  // Indices.
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).inputs[0] = 99; }),
            "step: step 0 (matmul): reads buffer 99, which does not exist");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).inputs[0] = 0xffffffff; }),
            "step: step 0 (matmul): reads buffer 4294967295, which does not exist");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).results[0] = 99; }),
            "step: step 0 (matmul): writes buffer 99, which does not exist");
  EXPECT_EQ(After([](P& p) { std::swap(StepOf(p, 0).inputs[0], StepOf(p, 0).inputs[2]); }),
            "step: step 0 (matmul): matmul: inner dimensions differ: buffer 2 is [3, 2], buffer 1 is [4, 2]");
  EXPECT_EQ(After([](P& p) { p.entries[0]->inputs[0]->buffer = 9; }),
            "step: port x names a buffer that does not exist");
  EXPECT_EQ(After([](P& p) { p.entries[0]->outputs[0]->buffer = 9; }),
            "step: port y names a buffer that does not exist");
  EXPECT_EQ(After([](P& p) { p.entries[0]->stores[0]->state = 2; }), "step: a store is out of range");
  EXPECT_EQ(After([](P& p) { p.entries[0]->stores[0]->buffer = 9; }), "step: a store is out of range");
  EXPECT_EQ(After([](P& p) { p.entries[0]->stores[0]->buffer = 0; }), "step: a store into grad.w has another type");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 2).state = 2; }), "step: buffer 2: state 2 does not exist");
  // Places.
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).offset = 1 << 20; }),
            "step: buffer 0: bytes 1048576 to 1048624 lie outside a region of 256");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).offset = -64; }), "step: buffer 0: offset -64 is negative or not aligned");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).offset = INT64_MAX - 63; }),
            Cat("step: buffer 0: offset ", INT64_MAX - 63, " is out of range"));
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).offset = 8; }), "step: buffer 0: offset 8 is negative or not aligned");
  EXPECT_EQ(After([](P& p) { p.states[0]->offset = 4096; }), "state w: bytes 4096 to 4120 lie outside a region of 128");
  EXPECT_EQ(After([](P& p) { p.states[1]->offset = 0; }), "two states overlap");
  EXPECT_EQ(After([](P& p) { p.entries[0]->arena_bytes = 64; }),
            "step: buffer 0: bytes 64 to 112 lie outside a region of 64");
  EXPECT_EQ(After([](P& p) { p.entries[0]->arena_bytes = 512; }), "step: needs more than the plan's arena");
  EXPECT_EQ(After([](P& p) { p.arena_bytes = -1; }), "its memory sizes are impossible");
  EXPECT_EQ(After([](P& p) { p.state_bytes = INT64_MAX; }), "its memory sizes are impossible");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 2).shape = {3000, 2}; }), "step: buffer 2: it is larger than its state");
  // Types.
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).dtype = 7; }), "step: buffer 0: element type 7 does not exist");
  EXPECT_EQ(After([](P& p) { p.states[0]->dtype = 255; }), "state w: element type 255 does not exist");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).dtype = 4; }),
            "step: step 0 (matmul): matmul: a must be of a float type: buffer 0 is i32[4, 3]");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).shape = {-4, -3}; }), "step: buffer 0: a dimension is negative");
  EXPECT_EQ(After([](P& p) {
              BufferOf(p, 0).shape = {int64_t{1} << 40, int64_t{1} << 40};
            }),
            "step: buffer 0: a tensor is too large");
  EXPECT_EQ(After([](P& p) { BufferOf(p, 0).shape = Shape(9, 1); }), "step: buffer 0: rank 9 is above 8");
  EXPECT_EQ(After([](P& p) {
              BufferOf(p, 3).shape = {2, 3};
            }),
            "step: step 0 (matmul): writes f32[3, 2] into a buffer of f32[2, 3]");
  // Kernels and attributes.
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).kernel = std::string("matmull"); }),
            "step: step 0 (matmull): this version has no such kernel");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).kernel.clear(); }), "step: step 0 (): this version has no such kernel");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).inputs.clear(); }), "step: step 0 (matmul): takes 2 or 3 inputs, not 0");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).results.clear(); }), "step: step 0 (matmul): gives 1 results, not 0");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).attributes.pop_back(); }), "step: step 0 (matmul): attributes are missing");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).attributes[0]->name = "transpose_c"; }),
            "step: step 0 (matmul): matmul has no attribute 'transpose_c'; did you mean 'transpose_a'?");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).attributes[0]->kind = plan::AttributeKind::F64; }),
            "step: step 0 (matmul): matmul: attribute transpose_a must be of type bool");
  EXPECT_EQ(After([](P& p) { StepOf(p, 0).attributes[0]->kind = static_cast<plan::AttributeKind>(9); }),
            "step: step 0 (matmul): attribute transpose_a has an unknown kind");
  EXPECT_EQ(After([](P& p) { p.states[0]->kind = static_cast<plan::StateKind>(9); }), "state w: has an unknown kind");
  EXPECT_EQ(After([](P& p) { p.states[0]->stddev = NAN; }),
            "state w: has a standard deviation that is not finite or negative");
  EXPECT_EQ(After([](P& p) { p.states[0]->logical_rows = 4; }), "state w: has more logical rows than rows");
  EXPECT_EQ(After([](P& p) { p.config[0]->kind = static_cast<plan::AttributeKind>(6); }),
            "configuration width has an unknown kind");
  EXPECT_EQ(After([](P& p) { p.config[0]->kind = plan::AttributeKind::DType, p.config[0]->i = 77; }),
            "configuration width is no element type");
  // Names.
  EXPECT_EQ(After([](P& p) { p.states[1]->name = std::string("w"); }), "two states are called w");
  EXPECT_EQ(After([](P& p) { p.entries.push_back(std::make_unique<plan::EntryT>(*p.entries[0])); }),
            "two entry points are called step");
}

TEST(Plan, ResultsMayLieOverWhatTheOpTableNamesAlone) {
  using P = plan::PlanT;
  // The product lies over its third operand in the sample; it must not lie over its first.
  EXPECT_EQ(After([](P& p) {
              p.entries[0]->buffers[3] = std::make_unique<plan::BufferT>(*p.entries[0]->buffers[0]),
              BufferOf(p, 3).shape = {3, 2};
            }),
            "step: step 0 (matmul): result 0 overlaps input 0");
  // Nor over a part of one.
  EXPECT_EQ(After([](P& p) {
              p.entries[0]->arena_bytes = p.arena_bytes = 1024;
              StepOf(p, 1).inputs[0] = 5, StepOf(p, 1).results[0] = 6;
              for (int64_t at : {256, 320}) {
                auto buffer = std::make_unique<plan::BufferT>();
                buffer->dtype = 1, buffer->shape = {64}, buffer->offset = at;
                p.entries[0]->buffers.push_back(std::move(buffer));
              }
            }),
            "step: step 1 (exp): result 0 overlaps input 0");
  // An operand that is given twice may be written over only if each of its places may be.
  EXPECT_EQ(After([](P& p) {
              BufferOf(p, 0).shape = BufferOf(p, 1).shape = {2, 2};
              for (int i : {2, 3}) BufferOf(p, i).shape = {2, 2};
              p.states[0]->shape = p.states[1]->shape = {2, 2};
              BufferOf(p, 4).shape = {2, 2};
              StepOf(p, 0).inputs = {2, 1, 2};
            }),
            "step: step 0 (matmul): result 0 overlaps input 0");
}

// Any single field given another value: accepted or refused, but without a crash, and what is accepted stays in its
// regions.
TEST(Plan, RandomContentIsRefusedOrHarmless) {
  std::mt19937_64 random(3);
  const int64_t values[] = {
      0, 1, 2, 3, -1, 63, 64, 128, 1 << 20, INT64_MAX, INT64_MIN, int64_t{1} << 32, int64_t{1} << 50, INT64_MAX / 4};
  auto number = [&] { return values[random() % std::size(values)]; };
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    plan::PlanT plan = SamplePlan();
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      plan::EntryT& entry = *plan.entries[0];
      plan::StepT& step = *entry.steps[random() % entry.steps.size()];
      plan::BufferT& buffer = *entry.buffers[random() % entry.buffers.size()];
      switch (random() % 14) {
        case 0:
          buffer.offset = number();
          break;
        case 1:
          buffer.shape[random() % buffer.shape.size()] = number();
          break;
        case 2:
          buffer.shape.push_back(number());
          break;
        case 3:
          buffer.dtype = static_cast<uint8_t>(random() % 9);
          break;
        case 4:
          buffer.state = static_cast<int32_t>(number());
          break;
        case 5:
          step.kernel = OpNames()[random() % OpNames().size()];
          break;
        case 6:
          step.inputs.push_back(static_cast<uint32_t>(random() % 7));
          break;
        case 7:
          step.inputs[random() % step.inputs.size()] = static_cast<uint32_t>(number());
          break;
        case 8:
          step.results.push_back(static_cast<uint32_t>(random() % 7));
          break;
        case 9:
          step.attributes.push_back(
              MakeAttribute(random() % 2 == 0 ? "shape" : "axes", std::vector<int64_t>{number(), number()}));
          break;
        case 10:
          step.attributes.push_back(MakeAttribute(random() % 2 == 0 ? "axis" : "parts", number()));
          break;
        case 11:
          plan.states[random() % 2]->offset = number();
          break;
        case 12:
          plan.states[random() % 2]->shape[0] = number();
          break;
        default:
          (random() % 2 == 0 ? plan.arena_bytes : plan.state_bytes) = number();
          break;
      }
      if (step.inputs.empty()) step.inputs.push_back(0);
      if (buffer.shape.empty()) buffer.shape.push_back(1);
    }
    if (!ValidatePlan(plan).ok()) continue;
    ++accepted;
    for (const auto& buffer : plan.entries[0]->buffers) {
      ASSERT_LE(ByteCount(TypeOf(*buffer)), buffer->state >= 0 ? plan.state_bytes : plan.arena_bytes);
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 10000);
}

}  // namespace
}  // namespace gptc
