#include "passes/generate_kernels.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ir/parser.h"
#include "passes/nvrtc.h"

namespace gptc {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModel = R"(module test {
  graph f(x: bf16[4, 8], y: bf16[4, 8], z: f32[4, 8]) {
    %a = fused x {region = "t0 = gelu a0; t1 = neg t0; return t1"}
    %b = fused y {region = "t0 = gelu a0; t1 = neg t0; return t1"}
    %c = fused z {region = "t0 = gelu a0; t1 = neg t0; return t1"}
    return a = %a, b = %b, c = %c
  }
}
)";

class GenerateKernelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const Status found = FindNvrtc(); !found.ok()) GTEST_SKIP() << Message(found);
    fs::remove_all(cache_);
    setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    fs::remove_all(cache_);
  }
  const fs::path cache_ = fs::temp_directory_path() / "gptc_generate_kernels_test";
};

TEST_F(GenerateKernelsTest, MakesOneForEachRegionAndTypes) {
  const auto module = ParseModule(kModel, "test.graph");
  ASSERT_TRUE(module.ok()) << module.status();
  const auto code = GenerateKernels(*module, "cuda:sm_86");
  ASSERT_TRUE(code.ok()) << code.status();
  ASSERT_NE(*code, nullptr);
  EXPECT_EQ((*code)->sm, 86);
  ASSERT_EQ((*code)->kernels.size(), 2u);
  EXPECT_THAT((*code)->ptx, ::testing::HasSubstr((*code)->kernels[1]->name));
  const auto other = GenerateKernels(*module, "cpu:avx2");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(*other, nullptr);
}

TEST_F(GenerateKernelsTest, KeepsWhatItCompiled) {
  const auto module = ParseModule(kModel, "test.graph");
  ASSERT_TRUE(module.ok()) << module.status();
  const auto first = GenerateKernels(*module, "cuda:sm_90");
  ASSERT_TRUE(first.ok()) << first.status();
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(cache_ / "gptc")) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 1u);
  const auto written = fs::last_write_time(files[0]);
  const auto second = GenerateKernels(*module, "cuda:sm_90");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->cubin, (*first)->cubin);
  EXPECT_EQ((*second)->ptx, (*first)->ptx);
  EXPECT_EQ(fs::last_write_time(files[0]), written);
  // A damaged file is made again.
  std::ofstream(files[0], std::ios::in | std::ios::out | std::ios::binary).seekp(100).put('?').put('!');
  const auto third = GenerateKernels(*module, "cuda:sm_90");
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ((*third)->cubin, (*first)->cubin);
  // Where nothing can be kept, all goes on.
  setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
  EXPECT_TRUE(GenerateKernels(*module, "cuda:sm_90").ok());
}

}  // namespace
}  // namespace gptc
