#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "ir/base/dtype.h"
#include "ir/base/op_table.h"
#include "ir/base/status.h"
#include "ir/base/text.h"
#include "ir/base/type.h"

namespace gptc {
namespace {

TEST(Text, CatJoinsWhatItIsGiven) {
  EXPECT_EQ(Cat("a", std::string("b"), std::string_view("c"), 4, 'd', 0.5), "abc4d0.5");
}

TEST(Text, ShortestDoubleReadsBack) {
  for (double value : {0.1, 1e-5, 1.0 / 3, -0.0, 1e300}) EXPECT_EQ(std::stod(ShortestDouble(value)), value);
}

TEST(Text, NearestFindsAMisspeltWord) {
  std::vector<std::string> words = {"train", "tokenize", "sample"};
  EXPECT_EQ(Nearest("trian", words), "train");
  EXPECT_EQ(Nearest("zzzzzzz", words), "");
}

TEST(Text, GroupedAndBytes) {
  EXPECT_EQ(Grouped(124439808), "124,439,808");
  EXPECT_EQ(Grouped(-1234), "-1,234");
  EXPECT_EQ(HumanBytes(604ll << 20), "604 MiB");
}

TEST(DType, HalfConversionsAgreeWithTheirDefinition) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float value = FloatFromF16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(F16FromFloat(value), bits);
  }
  EXPECT_EQ(F16FromFloat(1 + 0x1p-11f), F16FromFloat(1.0f)) << "a tie goes to even";
  EXPECT_EQ(F16FromFloat(65520.0f), 0x7c00);
  EXPECT_EQ(F16FromFloat(65519.0f), 0x7bff);
  EXPECT_EQ(F16FromFloat(0x1p-25f), 0) << "half of the smallest subnormal ties to zero";
}

TEST(DType, Bf16RoundsToNearestEven) {
  EXPECT_EQ(FloatFromBf16(Bf16FromFloat(1 + 0x1p-8f)), 1.0f);
  EXPECT_EQ(FloatFromBf16(Bf16FromFloat(1 + 3 * 0x1p-8f)), 1 + 0x1p-6f);
  EXPECT_TRUE(std::isnan(FloatFromBf16(Bf16FromFloat(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Status, ExitCodes) {
  EXPECT_EQ(ExitCode(OkStatus()), 0);
  EXPECT_EQ(ExitCode(UsageError("x")), 2);
  EXPECT_EQ(ExitCode(InvalidArgument("x")), 3);
  EXPECT_EQ(ExitCode(OutOfMemory("x")), 4);
  EXPECT_EQ(ExitCode(absl::CancelledError("x")), 130);
  EXPECT_EQ(ExitCode(Failure("x")), 1);
}

TEST(OpTable, ReadsTheRows) {
  EXPECT_EQ(OpNames().size(), kOpCount);
  const OpInfo& norm = InfoOf(Op::kLayerNorm);
  EXPECT_EQ(norm.name, "layer_norm");
  EXPECT_EQ(norm.inputs.size(), 3);
  EXPECT_TRUE(norm.AcceptsInputCount(2) && norm.AcceptsInputCount(3) && !norm.AcceptsInputCount(4));
  EXPECT_EQ(norm.results[0].may_alias, std::vector<int>{0});
  EXPECT_EQ(norm.attributes[0].name, "epsilon");
  EXPECT_TRUE(InfoOf(Op::kGlobalNorm).AcceptsInputCount(7));
  EXPECT_EQ(InfoOf(Op::kCrossEntropyBackward).results[0].may_alias, std::vector<int>{0});
  // Any of a variadic operand's.
  EXPECT_EQ(InfoOf(Op::kFused).AliasCandidates(5, 3), (std::vector<int>{0, 1, 2}));
  // The one of its own place.
  EXPECT_EQ(InfoOf(Op::kAdamWGroup).AliasCandidates(5, 10), std::vector<int>{7});
  EXPECT_TRUE(InfoOf(Op::kAdamWGroup).AliasCandidates(8, 10).empty());
  EXPECT_TRUE(InfoOf(Op::kAdd).MayAlias(0, 1));
  EXPECT_FALSE(norm.MayAlias(0, 1));
  EXPECT_EQ(OpNamed("matmul"), Op::kMatMul);
}

TEST(OpTable, CompleteAttributesFillsDefaultsAndNamesWhatIsWrong) {
  Attributes attributes;
  ASSERT_TRUE(CompleteAttributes(InfoOf(Op::kMatMul), attributes).ok());
  EXPECT_FALSE(attributes.Bool("transpose_a"));
  Attributes misspelt = {{"transpose_B", true}};
  EXPECT_NE(Message(CompleteAttributes(InfoOf(Op::kMatMul), misspelt)).find("did you mean 'transpose_b'"),
            std::string::npos);
  Attributes missing;
  EXPECT_FALSE(CompleteAttributes(InfoOf(Op::kLayerNorm), missing).ok());
  Attributes wrong = {{"epsilon", true}};
  EXPECT_FALSE(CompleteAttributes(InfoOf(Op::kLayerNorm), wrong).ok());
}

TEST(Type, Text) {
  std::vector<std::string> symbols = {"B", "T"};
  EXPECT_EQ(TypeText({DType::kF32, {SymbolDim(0), SymbolDim(1), 768}}, symbols), "f32[B, T, 768]");
  EXPECT_EQ(TypeText({DType::kI32, {}}), "i32");
  EXPECT_EQ(ByteCount({DType::kBF16, {3, 5}}), 30);
}

}  // namespace
}  // namespace gptc
