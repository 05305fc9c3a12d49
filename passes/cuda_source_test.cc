// Generated source: two regions to the letter, and all op cases through NVRTC where there is one. What the source
// computes is tested by tests/simt, where it runs.
#include "passes/cuda_source.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "passes/cuda_prelude.h"
#include "passes/nvrtc.h"
#include "runtime/plan/generated.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> LaunchesOf(const plan::GeneratedKernelT& kernel) {
  std::vector<std::string> launches;
  for (const auto& launch : kernel.launches)
    launches.push_back(Cat(launch->function.substr(kernel.name.size()), " ", launch->columns, "x", launch->rows, "x",
                           launch->threads));
  return launches;
}

TEST(CudaSource, Elementwise) {
  const Type operands[] = {{DType::kBF16, {512, 3072}}, {DType::kF32, {3072}}};
  const auto kernel = GenerateCudaKernel(
      "t0 = cast a0 {to = f32}; t1 = add t0, a1; t2 = gelu t1; t3 = cast t2 {to = bf16}; return t3", operands);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  EXPECT_EQ(kernel->source, R"(// (bf16[512, 3072], f32[3072]) -> (bf16[512, 3072])
// t0 = cast a0 {to = f32}; t1 = add t0, a1; t2 = gelu t1; t3 = cast t2 {to = bf16}; return t3
extern "C" __global__ void __launch_bounds__(256) fused_add_gelu_95534506f055f281(const bf16* in0, const float* in1, bf16* out0) {
  const unsigned i = (blockIdx.x * 256u + threadIdx.x) * 8u;
  if (i >= 1572864u) return;
  const unsigned row = i / 3072u, column = i % 3072u;
  const Pack<bf16, 8> x0 = Load<8>(in0 + row * 3072u + column);
  const Pack<float, 8> x1 = Load<8>(in1 + column);
  float y0[8];
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const float a0 = Value(x0.at[k]);
    const float a1 = Value(x1.at[k]);
    const float t0 = a0;
    const float t1 = t0 + a1;
    const float t2 = GeluTanh(t1);
    const float t3 = t2;
    y0[k] = t3;
  }
  Store<8>(out0 + i, y0);
}
)");
  EXPECT_THAT(LaunchesOf(*kernel), ElementsAre(" 768x1x256"));
  EXPECT_EQ(kernel->scratch_bytes, 0);
}

TEST(CudaSource, RowsAndTotals) {
  const Type operands[] = {{DType::kF32, {1000, 300}}, {DType::kF32, {1000, 1}}};
  const auto kernel = GenerateCudaKernel(
      "t0 = mul a0, a1; t1 = mean t0 {axes = [1], keep = true}; t2 = sub t0, t1; t3 = sum t2 {axes = [0]}; return t2, "
      "t1, t3",
      operands);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  EXPECT_EQ(kernel->source, R"(// (f32[1000, 300], f32[1000, 1]) -> (f32[1000, 300], f32[1000, 1], f32[300])
// t0 = mul a0, a1; t1 = mean t0 {axes = [1], keep = true}; t2 = sub t0, t1; t3 = sum t2 {axes = [0]}; return t2, t1, t3
extern "C" __global__ void __launch_bounds__(256) fused_mul_mean_sub_sum_aa77768507df0c7f(const float* in0, const float* in1, float* out0, float* out1, float* out2, float* partials) {
  const unsigned group = threadIdx.x / 32, lane = threadIdx.x % 32;
  float s3[3][4] = {};
  const unsigned end = Least((blockIdx.x + 1) * 64u, 1000u);
  for (unsigned row = blockIdx.x * 64u + group; row < end; row += 8) {
    const float a1 = Value(*(in1 + row));
    Pack<float, 4> x0[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const unsigned column = lane * 4 + c * 128;
      if (column < 300) {
        x0[c] = Load<4>(in0 + row * 300u + column);
      }
    }
    float r1 = 0.0f;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const unsigned column = lane * 4 + c * 128;
      if (column < 300) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const float a0 = Value(x0[c].at[k]);
          const float t0 = a0 * a1;
          r1 += t0;
        }
      }
    }
    const float t1 = GroupSum<32>(r1) / 300.0f;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const unsigned column = lane * 4 + c * 128;
      if (column < 300) {
        float y0[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const float a0 = Value(x0[c].at[k]);
          const float t0 = a0 * a1;
          const float t2 = t0 - t1;
          y0[k] = t2;
          s3[c][k] += t2;
        }
        Store<4>(out0 + row * 300u + column, y0);
      }
    }
    GroupSync<32>();
    if (lane == 0) {
      Put(out1 + row, t1);
    }
  }
  AddGroups<32, 8>(s3, 0, 300, partials + static_cast<size_t>(blockIdx.x) * 300);
}

extern "C" __global__ void __launch_bounds__(1024) fused_mul_mean_sub_sum_aa77768507df0c7f_totals(const float* in0, const float* in1, float* out0, float* out1, float* out2, float* partials) {
  if (blockIdx.y == 0) JoinParts<16, 300>(partials, out2);
}
)");
  EXPECT_THAT(LaunchesOf(*kernel), ElementsAre(" 16x1x256", "_totals 10x1x1024"));
  EXPECT_EQ(kernel->scratch_bytes, 16 * 300 * 4);
}

TEST(CudaSource, OneNameForEqualWork) {
  const Type a[] = {{DType::kF32, {4, 8}}}, b[] = {{DType::kF32, {8, 4}}};
  const std::string_view region = "t0 = cast a0 {to = bf16}; t1 = gelu t0; return t1";
  EXPECT_EQ(GeneratedKernelName(region, a), GeneratedKernelName(region, a));
  EXPECT_NE(GeneratedKernelName(region, a), GeneratedKernelName(region, b));
  EXPECT_THAT(GeneratedKernelName(region, a), ::testing::MatchesRegex("fused_gelu_[0-9a-f]+"));
}

TEST(CudaSource, OtherTypesAreRefused) {
  const Type operands[] = {{DType::kF64, {4, 8}}};
  const auto kernel = GenerateCudaKernel("t0 = exp a0; return t0", operands);
  EXPECT_EQ(kernel.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(Message(kernel.status()), HasSubstr("no CUDA kernel for f64"));
}

TEST(Nvrtc, CompilesForEachTarget) {
  if (const Status found = FindNvrtc(); !found.ok()) GTEST_SKIP() << Message(found);
  const Type operands[] = {{DType::kBF16, {64, 3072}}, {DType::kBF16, {64, 3072}}};
  const auto kernel = GenerateCudaKernel(
      "t0 = gelu_backward a0, a1; t1 = sum t0 {axes = [0]}; t2 = reduce_max t0 {axes = [1], keep = true}; t3 = div t0, "
      "t2; return t0, t1, t3",
      operands);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  for (int sm : {80, 86, 89, 90}) {
    const auto binary = CompileCuda(Cat(CudaPrelude(), kernel->source), sm);
    ASSERT_TRUE(binary.ok()) << binary.status();
    EXPECT_TRUE(
        binary->cubin.starts_with("\x7f"
                                  "ELF"));
    EXPECT_THAT(binary->ptx, HasSubstr(Cat(".target sm_", sm, "\n")));
    EXPECT_THAT(binary->ptx, HasSubstr(kernel->name));
  }
}

TEST(Nvrtc, SaysWhatDoesNotCompile) {
  if (const Status found = FindNvrtc(); !found.ok()) GTEST_SKIP() << Message(found);
  const auto binary = CompileCuda("extern \"C\" __global__ void f() { nothing(); }", 90);
  EXPECT_THAT(Message(binary.status()), HasSubstr("\"nothing\" is undefined"));
}

}  // namespace
}  // namespace gptc
