// Matrix products against plain loops in double precision.
#include "runtime/cpu/kernel_bench_for_test.h"
#include "runtime/cpu/product.h"

namespace gptc {
namespace {

// y[batch, m, n] = op(a) · op(b) + c, with leading axes given by the batch index of each operand.
struct MatMulCase {
  Shape a, b;
  bool transpose_a = false, transpose_b = false;
};

Numbers ExpectedMatMul(const MatMulCase& test, const Numbers& a, const Numbers& b, Shape& y_shape) {
  const size_t ra = test.a.size(), rb = test.b.size(), r = std::max(ra, rb);
  const int64_t m = test.a[ra - (test.transpose_a ? 1 : 2)], k = test.a[ra - (test.transpose_a ? 2 : 1)];
  const int64_t n = test.b[rb - (test.transpose_b ? 2 : 1)];
  y_shape.clear();
  for (size_t i = 0; i + 2 < r; ++i) {
    int64_t da = i + ra < r ? 1 : test.a[i + ra - r], db = i + rb < r ? 1 : test.b[i + rb - r];
    y_shape.push_back(std::max(da, db));
  }
  const int64_t batches = ElementCount(y_shape);
  Numbers y(batches * m * n);
  for (int64_t batch = 0; batch < batches; ++batch) {
    int64_t at_a = 0, at_b = 0, rest = batch, step_a = 1, step_b = 1;
    for (size_t i = r - 2; i-- > 0;) {
      const int64_t index = rest % y_shape[i];
      rest /= y_shape[i];
      if (i + ra >= r) {
        at_a += (test.a[i + ra - r] == 1 ? 0 : index) * step_a;
        step_a *= test.a[i + ra - r];
      }
      if (i + rb >= r) {
        at_b += (test.b[i + rb - r] == 1 ? 0 : index) * step_b;
        step_b *= test.b[i + rb - r];
      }
    }
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += a[at_a * m * k + (test.transpose_a ? l * m + i : i * k + l)] *
                 b[at_b * k * n + (test.transpose_b ? j * k + l : l * n + j)];
        }
        y[(batch * m + i) * n + j] = sum;
      }
    }
  }
  y_shape.insert(y_shape.end(), {m, n});
  return y;
}

TEST_P(CpuKernelsTest, MatMul) {
  const MatMulCase cases[] = {
      {{1, 5}, {5, 7}},                    // a vector
      {{1, 40}, {70, 40}, false, true},    //
      {{3, 33}, {33, 100}},                // a few rows
      {{3, 100}, {67, 100}, false, true},  //
      {{20, 30}, {30, 40}},                // one product, every transposition
      {{30, 20}, {30, 40}, true, false},   //
      {{20, 30}, {40, 30}, false, true},   //
      {{30, 20}, {40, 30}, true, true},    //
      {{2, 3, 5, 7}, {7, 11}},             // leading axes become rows
      {{4, 9, 6}, {4, 6, 5}},              // stacks
      {{4, 6, 9}, {4, 5, 6}, true, true},  //
      {{2, 3, 9, 6}, {3, 6, 5}},           // broadcast leading axes
      {{2, 1, 9, 6}, {1, 3, 6, 5}},        //
      {{9, 6}, {4, 6, 5}},                 //
      {{4, 6, 9}, {6, 5}, true, false},    // stack against one matrix
      {{3, 0}, {0, 4}},                    // an empty sum
      {{0, 3}, {3, 4}},                    // nothing at all
      {{64, 300}, {300, 70}},
  };
  for (const MatMulCase& test : cases) {
    for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const TensorView a = bench_.Random(dtype, test.a), b = bench_.Random(dtype, test.b);
      const Attributes attributes = {{"transpose_a", test.transpose_a}, {"transpose_b", test.transpose_b}};
      Shape shape;
      const Numbers product = ExpectedMatMul(test, Bench::Read(a), Bench::Read(b), shape);
      const std::string what = Cat(TypeText(a.type), " ", TypeText(b.type), " ", test.transpose_a, test.transpose_b);
      TensorView y = bench_.Make(dtype, shape);
      bench_.Run("matmul", {a, b}, {y}, attributes);
      ExpectNear(y, product, ToleranceOf(dtype), what);
      for (DType sum_dtype : {dtype, DType::kF32}) {
        const TensorView c = bench_.Random(sum_dtype, shape);
        Numbers expected = Bench::Read(c);
        for (size_t i = 0; i < expected.size(); ++i) expected[i] += product[i];
        y = bench_.Make(sum_dtype, shape);
        bench_.Run("matmul", {a, b, c}, {y}, attributes);
        ExpectNear(y, expected, ToleranceOf(sum_dtype), what + " + c");
        bench_.RunOnce("matmul", {a, b, c}, {c}, attributes);
        ExpectNear(c, expected, ToleranceOf(sum_dtype), what + " + c in place");
      }
    }
  }
}

TEST_P(CpuKernelsTest, Linear) {
  const Shape shapes[] = {{5}, {1, 1, 64}, {2, 3, 70}, {30, 65}, {4, 16, 40}, {64, 1024}, {3, 0}};
  for (const Shape& shape : shapes) {
    for (int64_t out : {1, 33, 400}) {
      for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const int64_t in = shape.back();
        const TensorView x = bench_.Random(dtype, shape), w = bench_.Random(dtype, {in, out});
        Shape flat = {in == 0 ? 3 : x.count() / in, in}, ignored;
        Numbers expected = ExpectedMatMul({flat, {in, out}}, Bench::Read(x), Bench::Read(w), ignored);
        Shape result = shape;
        result.back() = out;
        TensorView y = bench_.Make(dtype, result);
        bench_.Run("linear", {x, w}, {y});
        ExpectNear(y, expected, ToleranceOf(dtype), Cat("linear ", TypeText(x.type), " ", out));
        for (DType bias_dtype : {dtype, DType::kF32}) {
          const TensorView bias = bench_.Random(bias_dtype, {out});
          const Numbers added = Bench::Read(bias);
          Numbers biased = expected;
          for (size_t i = 0; i < biased.size(); ++i) biased[i] += added[i % out];
          y = bench_.Make(dtype, result);
          bench_.Run("linear", {x, w, bias}, {y});
          ExpectNear(y, biased, ToleranceOf(dtype), Cat("linear + bias ", TypeText(x.type), " ", out));
        }
      }
    }
  }
}

TEST(CpuMatMul, RoutesFollowTheShape) {
  EXPECT_EQ(ChooseProductRoute({1, 1, 2304, 768, false, false, true}), ProductRoute::kGemv);
  EXPECT_EQ(ChooseProductRoute({1, 1024, 2304, 768, false, false, true}), ProductRoute::kPacked);
  EXPECT_EQ(ChooseProductRoute({1, 128, 2304, 768, false, false, true}), ProductRoute::kColumns);
  EXPECT_EQ(ChooseProductRoute({1, 768, 384, 128, false, false, true}), ProductRoute::kPlain);
  EXPECT_EQ(ChooseProductRoute({1, 768, 2304, 1024, true, false, false}), ProductRoute::kSgemm);
  EXPECT_EQ(ChooseProductRoute({1, 4, 2304, 1024, true, false, false}), ProductRoute::kSgemm);
  EXPECT_EQ(ChooseProductRoute({48, 64, 64, 32, false, false, false}), ProductRoute::kPlain);
  EXPECT_EQ(ChooseProductRoute({1, 1024, 768, 3072, false, true, false}), ProductRoute::kPacked);
}

TEST(CpuMatMul, RefusesOtherTypes) {
  Bench bench;
  const TensorView x = bench.Make(DType::kF64, {2, 2});
  const Status status = bench.TryRun("matmul", {x, x}, {x}, {{"transpose_a", false}, {"transpose_b", false}});
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_NE(Message(status).find("f64[2, 2]"), std::string::npos) << status;
}

}  // namespace
}  // namespace gptc
