// The table of kernels, threads, and the same bits on any number of them.
#include "runtime/cpu/kernel_bench_for_test.h"
#include "runtime/cpu/parallel.h"

namespace gptc {
namespace {

std::string TargetText(const ::testing::TestParamInfo<int64_t>& info) { return hwy::TargetName(info.param); }
INSTANTIATE_TEST_SUITE_P(Targets, CpuKernelsTest, ::testing::Values(HWY_SCALAR, HWY_AVX2, HWY_AVX3), TargetText);

TEST(CpuKernelTable, FindsKernelsByTheirNameInPlans) {
  EXPECT_EQ(CpuKernel("layer_norm"), &BindCpuLayerNorm);
  EXPECT_EQ(CpuKernel("matmul"), &BindCpuMatMul);
  EXPECT_EQ(CpuKernel("reshape"), nullptr);  // a view
  EXPECT_EQ(CpuKernel("no_such_op"), nullptr);
}

TEST(ParallelFor, ChunksDoNotDependOnThreads) {
  for (int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    std::vector<int> seen(103);
    ParallelFor(103, 10, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 10, 0);
      EXPECT_EQ(end, std::min<int64_t>(103, begin + 10));
      for (int64_t i = begin; i < end; ++i) ++seen[i];
    });
    ParallelForUneven(103, 7, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++seen[i];
    });
    EXPECT_EQ(seen, std::vector<int>(103, 2));
  }
  omp_set_num_threads(omp_get_num_procs());
  ParallelFor(0, 1, [](int64_t, int64_t) { FAIL(); });
}

// Kernels of our own give the same bits on any number of threads.
TEST_P(CpuKernelsTest, BitsDoNotDependOnThreads) {
  const TensorView x = bench_.Random(DType::kF32, {500, 300}), dy = bench_.Random(DType::kF32, {500, 300});
  const TensorView weight = bench_.Random(DType::kF32, {300}), w = bench_.Random(DType::kF32, {300, 700});
  const TensorView one = bench_.Random(DType::kF32, {2, 300}), ids = bench_.Make(DType::kI32, {500});
  for (int64_t i = 0; i < 500; ++i) Bench::Set(ids, i, static_cast<double>(i * i % 37));
  const TensorView y = bench_.Make(DType::kF32, {500, 300}), mean = bench_.Make(DType::kF32, {500}),
                   rstd = bench_.Make(DType::kF32, {500});
  const TensorView dx = bench_.Make(DType::kF32, {500, 300}), dweight = bench_.Make(DType::kF32, {300}),
                   dbias = bench_.Make(DType::kF32, {300});
  const TensorView product = bench_.Make(DType::kF32, {2, 700}), table = bench_.Make(DType::kF32, {37, 300});
  const TensorView all[] = {y, mean, rstd, dx, dweight, dbias, product, table};
  std::vector<std::string> bytes[2];
  for (int pass = 0; pass < 2; ++pass) {
    omp_set_num_threads(pass == 0 ? 1 : 3);
    bench_.Run("layer_norm", {x, weight}, {y, mean, rstd}, {{"epsilon", 1e-5}});
    bench_.Run("layer_norm_backward", {dy, x, weight, mean, rstd}, {dx, dweight, dbias});
    bench_.Run("linear", {one, w}, {product});
    bench_.Run("embedding_backward", {ids, dy}, {table}, {{"rows", int64_t{37}}});
    for (const TensorView& view : all) bytes[pass].emplace_back(view.as<char>(), view.bytes());
  }
  omp_set_num_threads(omp_get_num_procs());
  for (size_t i = 0; i < std::size(all); ++i) EXPECT_TRUE(bytes[0][i] == bytes[1][i]) << "result " << i;
}

}  // namespace
}  // namespace gptc
