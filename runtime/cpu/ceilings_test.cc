#include "runtime/cpu/ceilings.h"

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Ceilings, Gemm) {
  GemmCeilingShape small{.tokens = 64, .width = 128, .layers = 2, .vocab = 256};
  auto f32 = MeasureGemmGflops(DType::kF32, small, 0.02);
  ASSERT_TRUE(f32.ok()) << f32.status();
  EXPECT_GT(*f32, 0.01);
  EXPECT_LT(*f32, 1e6);
  auto bf16 = MeasureGemmGflops(DType::kBF16, small, 0.02);
  EXPECT_TRUE(bf16.ok() || bf16.status().code() == absl::StatusCode::kUnimplemented) << bf16.status();
  EXPECT_FALSE(MeasureGemmGflops(DType::kI32, small, 0.01).ok());
  EXPECT_FALSE(MeasureGemmGflops(DType::kF32, {.tokens = 0}, 0.01).ok());
}

TEST(Ceilings, Read) {
  auto rate = MeasureReadGBps(0.05);
  ASSERT_TRUE(rate.ok()) << rate.status();
  EXPECT_GT(*rate, 0.01);
  EXPECT_LT(*rate, 1e5);
  for (auto measured : {MeasureReadGBps(0.02, 1 << 18), MeasureUpdateGBps(0.02, 1 << 18), MeasureUpdateGBps(0.02, 1)}) {
    ASSERT_TRUE(measured.ok()) << measured.status();
    EXPECT_GT(*measured, 0.001);
    EXPECT_LT(*measured, 1e5);
  }
}

}  // namespace
}  // namespace gptc
