// Regions: what reads back, and what is refused, with which message.
#include <gtest/gtest.h>

#include <random>

#include "ir/base/fused_region.h"
#include "ir/base/infer.h"

namespace gptc {
namespace {

const Type kWhole = {DType::kF32, {4, 8}}, kRow = {DType::kF32, {8}}, kColumn = {DType::kF32, {4, 1}};

std::string Infer(std::string region, std::vector<Type> inputs = {kWhole, kRow, kColumn}) {
  const Attributes attributes = {{"region", std::move(region)}};
  InferResult types = InferTypes({InfoOf(Op::kFused), inputs, attributes, {}, {}});
  if (!types.ok()) return Message(types.status());
  return Join(*types, ", ", [](const Type& type) { return TypeText(type); });
}

TEST(FusedRegion, ReadsBackAsItWasWritten) {
  for (const char* text : {"t0 = add a0, a1; return t0",
                           "t0 = constant {value = 0.5}; t1 = mul a0, t0; t2 = gelu t1 {tanh = false}; return t2, t1",
                           "t0 = compare a0, a2 {direction = lt}; t1 = select t0, a0, a1; t2 = sum t1 {axes = [1], "
                           "keep = true}; return t2, t0",
                           "t0 = broadcast a2 {shape = [4, 8]}; t1 = cast t0 {to = bf16}; return t1"}) {
    const auto region = ParseFusedRegion(text, 3);
    ASSERT_TRUE(region.ok()) << region.status();
    EXPECT_EQ(FusedRegionText(*region), text);
  }
}

TEST(FusedRegion, HasTheTypesOfItsOps) {
  EXPECT_EQ(Infer("t0 = add a0, a1; t1 = cast t0 {to = bf16}; t2 = compare t0, a2 {direction = lt}; return t1, t2"),
            "bf16[4, 8], bool[4, 8]");
  EXPECT_EQ(Infer("t0 = mul a0, a1; t1 = mean t0 {axes = [1], keep = true}; t2 = add t1, a2; t3 = sum t0 {axes = [0]}; "
                  "return t2, t3"),
            "f32[4, 1], f32[8]");
}

TEST(FusedRegion, SaysWhatIsWrong) {
  EXPECT_EQ(Infer(""), "fused: region: expected 't0' at its end, at byte 0");
  EXPECT_EQ(Infer("return a0"), "fused: region: an operand is returned at its end, at byte 9");
  EXPECT_EQ(Infer("t0 = add a0, a3; return t0"),
            "fused: region: expected a value that there is before 'a3', at byte 13");
  EXPECT_EQ(Infer("t0 = add a0, t0; return t0"),
            "fused: region: expected a value that there is before 't0', at byte 13");
  EXPECT_EQ(Infer("t0 = matmul a0, a1; return t0"),
            "fused: region: expected an op that can be fused before 'matmul', at byte 5");
  EXPECT_EQ(Infer("t0 = gelu a0 {tan = true}; return t0"),
            "fused: region: expected another attribute of gelu before 'tan', at byte 14");
  EXPECT_EQ(Infer("t0 = cast a0; return t0"), "fused: region: cast needs the attribute to (dtype)");
  EXPECT_EQ(Infer("t0 = gelu a0; return t0 t0"), "fused: region: expected nothing more before 't0', at byte 24");
  EXPECT_EQ(Infer("t0 = exp a1; t1 = add a0, t0; return t1"), "fused: region: t0 is [8], it must be [4, 8] or [4, 1]");
  EXPECT_EQ(Infer("t0 = sum a0 {axes = [1]}; return t0"),
            "fused: region: t0 reduces other axes than the last, with keep, or all before it");
  EXPECT_EQ(Infer("t0 = sum a0 {axes = [0]}; t1 = add a0, t0; return t1"),
            "fused: region: t1 reads a total, which may only be returned");
  EXPECT_EQ(Infer("t0 = sum a2 {axes = [1], keep = true}; return t0"),
            "fused: region: t0 reduces a value that is not of the shape [4, 8]");
  EXPECT_EQ(Infer("t0 = constant {value = 1}; return t0"), "fused: region: the constant t0 is returned");
  EXPECT_EQ(Infer("t0 = constant {value = 1, shape = [4, 8]}; t1 = add a0, t0; return t1"),
            "fused: region: the constant t0 must be a scalar");
  EXPECT_EQ(Infer("t0 = exp a0; return t0", {{DType::kF32, {}}}), "fused: region: its space has no axis");
  EXPECT_EQ(Infer("t0 = exp a0; return t0", {kWhole, {DType::kF32, {3}}}),
            "fused: region: [3] and [4, 8] do not broadcast to one shape");
}

TEST(FusedRegion, NoDamageCrashes) {
  const std::string text =
      "t0 = compare a0, a2 {direction = lt}; t1 = select t0, a0, a1; t2 = sum t1 {axes = [1], keep = true}; return t2, "
      "t0";
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = text;
    for (int k = static_cast<int>(random() % 3); k >= 0; --k) {
      const size_t at = random() % damaged.size();
      if (random() % 2 == 0) damaged.erase(at, random() % 5);
      if (!damaged.empty()) damaged[random() % damaged.size()] = text[random() % text.size()];
    }
    Infer(damaged);
  }
}

}  // namespace
}  // namespace gptc
