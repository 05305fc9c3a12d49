#include "runtime/cuda/gemm_timings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace gptc {
namespace {

TEST(GemmTimings, ComeBackFromTheFile) {
  const std::string folder = ::testing::TempDir() + "gemm_timings_test";
  setenv("GPTC_TUNING_DIR", folder.c_str(), 1);
  const std::string product = "NN 4x3x2 bf16 to bf16", op = "linear_gelu_saved NN 4x3x2 bf16 to bf16";
  const std::string algorithm("\x01\x00=\xff", 4);
  GemmTimings timings = GemmTimings::Open("engine");
  timings.Set(product, algorithm);
  timings.SetWay(op, "product, gelu");
  ASSERT_TRUE(timings.Save().ok());
  {
    std::ofstream file(timings.path(), std::ios::app);
    file << "no tab\nproduct\tno hexadecimal\n";
  }
  const GemmTimings again = GemmTimings::Open("engine");
  EXPECT_EQ(again.Find(product), algorithm);
  EXPECT_EQ(again.FindWay(op), "product, gelu");
  EXPECT_EQ(again.FindWay(product), "");
  EXPECT_EQ(again.Find(op), "");
  EXPECT_EQ(again.Find("product"), "");
  EXPECT_EQ(GemmTimings::Open("another engine").Find(product), "");
  unsetenv("GPTC_TUNING_DIR");
}

}  // namespace
}  // namespace gptc
