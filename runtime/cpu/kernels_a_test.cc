// Matrix products, normalizations, attention, embedding and loss against plain loops in double precision, for every
// instruction set this machine has, in f32 and bf16, in place and on any number of threads.
#include <gtest/gtest.h>
#include <omp.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <random>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/matmul.h"
#include "runtime/cpu/parallel.h"

namespace gptc {
namespace {

using Numbers = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class Bench {
 public:
  TensorView Make(DType dtype, Shape shape) {
    TensorView view{{dtype, std::move(shape)}, nullptr};
    buffers_.push_back(hwy::AllocateAligned<uint8_t>(view.bytes() + 64));
    view.data = buffers_.back().get();
    // All bits set: a NaN in every floating-point type, -1 in the integers.
    std::memset(view.data, 0xff, view.bytes() + 64);
    return view;
  }
  TensorView Make(DType dtype, Shape shape, const Numbers& values) {
    TensorView view = Make(dtype, std::move(shape));
    for (size_t i = 0; i < values.size(); ++i) Set(view, i, values[i]);
    return view;
  }
  TensorView Random(DType dtype, Shape shape, double scale = 1) {
    TensorView view = Make(dtype, std::move(shape));
    std::normal_distribution<double> normal(0, scale);
    for (int64_t i = 0; i < view.count(); ++i) Set(view, i, normal(random_));
    return view;
  }
  static void Set(const TensorView& view, int64_t i, double value) {
    switch (view.type.dtype) {
      case DType::kF32:
        view.as<float>()[i] = static_cast<float>(value);
        break;
      case DType::kBF16:
        view.as<uint16_t>()[i] = Bf16FromFloat(static_cast<float>(value));
        break;
      case DType::kF16:
        view.as<uint16_t>()[i] = F16FromFloat(static_cast<float>(value));
        break;
      default:
        view.as<int32_t>()[i] = static_cast<int32_t>(value);
        break;
    }
  }
  static Numbers Read(const TensorView& view) {
    Numbers values(view.count());
    for (int64_t i = 0; i < view.count(); ++i) {
      switch (view.type.dtype) {
        case DType::kF32:
          values[i] = view.as<float>()[i];
          break;
        case DType::kBF16:
          values[i] = FloatFromBf16(view.as<uint16_t>()[i]);
          break;
        case DType::kF16:
          values[i] = FloatFromF16(view.as<uint16_t>()[i]);
          break;
        default:
          values[i] = view.as<int32_t>()[i];
          break;
      }
    }
    return values;
  }
  Status TryRun(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
                Attributes attributes = {}) {
    ScratchPool scratch;
    KernelFactory factory = CpuKernel(op);
    if (factory == nullptr) return NotFound("no kernel ", op);
    StatusOr<BoundKernel> kernel = factory(KernelArgs{inputs, results, attributes, scratch});
    if (!kernel.ok()) return kernel.status();
    auto memory = hwy::AllocateAligned<uint8_t>(scratch.bytes() + 64);
    std::memset(memory.get(), 0xff, scratch.bytes() + 64);
    scratch.set_data(memory.get());
    (*kernel)();
    (*kernel)();  // a second run of the same gives the same, unless it works in place
    return OkStatus();
  }
  void Run(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
           Attributes attributes = {}) {
    Status status = TryRun(op, inputs, results, std::move(attributes));
    ASSERT_TRUE(status.ok()) << status;
  }
  // Once only, for kernels that work in place.
  void RunOnce(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
               Attributes attributes = {}) {
    ScratchPool scratch;
    StatusOr<BoundKernel> kernel = CpuKernel(op)(KernelArgs{inputs, results, attributes, scratch});
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    auto memory = hwy::AllocateAligned<uint8_t>(scratch.bytes() + 64);
    std::memset(memory.get(), 0xff, scratch.bytes() + 64);
    scratch.set_data(memory.get());
    (*kernel)();
  }

 private:
  std::deque<hwy::AlignedFreeUniquePtr<uint8_t[]>> buffers_;
  std::mt19937_64 random_{12345};
};

double ToleranceOf(DType dtype) { return dtype == DType::kBF16 ? 8e-3 : dtype == DType::kF16 ? 1e-3 : 2e-5; }

void ExpectNear(const TensorView& actual, const Numbers& expected, double tolerance, std::string_view what) {
  const Numbers values = Bench::Read(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  double scale = 1e-3;
  for (double value : expected) {
    if (std::isfinite(value)) scale = std::max(scale, std::fabs(value));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(values[i])) << what << " [" << i << "] is " << values[i];
    } else if (std::isinf(expected[i])) {
      ASSERT_EQ(values[i], expected[i]) << what << " [" << i << "]";
    } else {
      ASSERT_NEAR(values[i], expected[i], tolerance * scale) << what << " [" << i << "] of " << TypeText(actual.type);
    }
  }
}

// Every test runs for each instruction set compiled in that the machine has.
class CpuKernelsTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    CpuKernel("add");  // the choice for this machine is made now, not later
    if ((hwy::SupportedTargets() & GetParam()) == 0) GTEST_SKIP() << "this machine lacks the instruction set";
    hwy::GetChosenTarget().Update(GetParam());
  }
  void TearDown() override { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }
  Bench bench_;
};

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
  EXPECT_EQ(ChooseProductRoute({1, 1, 2304, 768, false, true}), ProductRoute::kGemv);
  EXPECT_EQ(ChooseProductRoute({1, 1024, 2304, 768, false, true}), ProductRoute::kPacked);
  EXPECT_EQ(ChooseProductRoute({1, 768, 384, 128, false, true}), ProductRoute::kPlain);
  EXPECT_EQ(ChooseProductRoute({1, 768, 2304, 1024, true, false}), ProductRoute::kSgemm);
  EXPECT_EQ(ChooseProductRoute({1, 4, 2304, 1024, true, false}), ProductRoute::kSgemm);
  EXPECT_EQ(ChooseProductRoute({48, 64, 64, 32, false, false}), ProductRoute::kPlain);
}

TEST(CpuMatMul, RefusesOtherTypes) {
  Bench bench;
  const TensorView x = bench.Make(DType::kF64, {2, 2});
  const Status status = bench.TryRun("matmul", {x, x}, {x}, {{"transpose_a", false}, {"transpose_b", false}});
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_NE(Message(status).find("f64[2, 2]"), std::string::npos) << status;
}

struct NormExpected {
  Numbers y, mean, rstd, dx, dweight, dbias;
};
NormExpected ExpectedNorm(const Numbers& x, const Numbers& weight, const Numbers& bias, const Numbers& dy,
                          int64_t width, double epsilon, bool center) {
  NormExpected out;
  const int64_t rows = static_cast<int64_t>(x.size()) / width;
  out.y.resize(x.size());
  out.dx.resize(x.size());
  out.dweight.assign(width, 0);
  out.dbias.assign(width, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const double* xr = &x[row * width];
    const double* dyr = &dy[row * width];
    double mean = 0, square = 0, mean_g = 0, mean_gh = 0;
    for (int64_t j = 0; j < width && center; ++j) mean += xr[j] / width;
    for (int64_t j = 0; j < width; ++j) square += (xr[j] - mean) * (xr[j] - mean) / width;
    const double rstd = 1 / std::sqrt(square + epsilon);
    for (int64_t j = 0; j < width; ++j) {
      const double h = (xr[j] - mean) * rstd, g = dyr[j] * weight[j];
      out.y[row * width + j] = h * weight[j] + (bias.empty() ? 0 : bias[j]);
      out.dweight[j] += dyr[j] * h;
      out.dbias[j] += dyr[j];
      if (center) mean_g += g / width;
      mean_gh += g * h / width;
    }
    for (int64_t j = 0; j < width; ++j) {
      out.dx[row * width + j] = rstd * (dyr[j] * weight[j] - mean_g - (xr[j] - mean) * rstd * mean_gh);
    }
    out.mean.push_back(mean);
    out.rstd.push_back(rstd);
  }
  return out;
}

TEST_P(CpuKernelsTest, Norms) {
  for (Shape shape : {Shape{4}, Shape{3, 5}, Shape{2, 50, 64}, Shape{300, 77}, Shape{7, 768}, Shape{0, 8}}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      for (DType weight_dtype : {DType::kF32, dtype}) {
        for (bool center : {true, false}) {
          const int64_t width = shape.back();
          const Shape rows(shape.begin(), shape.end() - 1);
          const double epsilon = 1e-5;
          const TensorView x = bench_.Random(dtype, shape, 2), weight = bench_.Random(weight_dtype, {width});
          const TensorView bias = bench_.Random(weight_dtype, {width});
          const TensorView dy = bench_.Random(dtype, shape), dy_f32 = bench_.Make(DType::kF32, shape, Bench::Read(dy));
          const Numbers dys = Bench::Read(dy);
          NormExpected e = ExpectedNorm(Bench::Read(x), Bench::Read(weight), center ? Bench::Read(bias) : Numbers{},
                                        dys, width, epsilon, center);
          TensorView y = bench_.Make(dtype, shape), mean = bench_.Make(DType::kF32, rows),
                     rstd = bench_.Make(DType::kF32, rows);
          const std::string forward = center ? "layer_norm" : "rms_norm", backward = forward + "_backward";
          std::vector<TensorView> inputs = {x, weight}, results = {y};
          if (center) {
            inputs.push_back(bias);
            results.push_back(mean);
          }
          results.push_back(rstd);
          const std::string what = Cat(forward, " ", TypeText(x.type), " ", NameOf(weight_dtype));
          bench_.Run(forward, inputs, results, {{"epsilon", epsilon}});
          const double tolerance = ToleranceOf(dtype);
          ExpectNear(y, e.y, tolerance, what);
          if (center) ExpectNear(mean, e.mean, 2e-5, what + " mean");
          ExpectNear(rstd, e.rstd, 2e-5, what + " rstd");
          if (center) {
            const NormExpected plain = ExpectedNorm(Bench::Read(x), Bench::Read(weight), {}, dys, width, epsilon, true);
            bench_.Run(forward, {x, weight}, results, {{"epsilon", epsilon}});
            ExpectNear(y, plain.y, tolerance, what + " without bias");
          }
          for (const TensorView& gradient : {dy, dy_f32}) {
            TensorView dx = bench_.Make(gradient.type.dtype, shape), dweight = bench_.Make(DType::kF32, {width});
            TensorView dbias = bench_.Make(DType::kF32, {width});
            inputs = {gradient, x, weight};
            if (center) inputs.push_back(mean);
            inputs.push_back(rstd);
            results = {dx, dweight};
            if (center) results.push_back(dbias);
            bench_.Run(backward, inputs, results);
            const double dx_tolerance = std::max(1e-4, ToleranceOf(gradient.type.dtype));
            ExpectNear(dx, e.dx, dx_tolerance, what + " dx");
            ExpectNear(dweight, e.dweight, 1e-4, what + " dweight");
            if (center) ExpectNear(dbias, e.dbias, 1e-4, what + " dbias");
            // Over dy.
            results[0] = gradient;
            bench_.RunOnce(backward, inputs, results);
            ExpectNear(gradient, e.dx, dx_tolerance, what + " dx over dy");
            ExpectNear(dweight, e.dweight, 1e-4, what + " dweight");
          }
        }
      }
    }
  }
}

Numbers ExpectedSoftmax(const Numbers& x, int64_t rows, int64_t columns, bool causal) {
  Numbers y(x.size(), 0);
  for (size_t row = 0; row * columns < x.size(); ++row) {
    const int64_t live =
        causal ? std::max<int64_t>(0, std::min<int64_t>(columns, static_cast<int64_t>(row) % rows + columns - rows + 1))
               : columns;
    double largest = -kInfinity, sum = 0;
    for (int64_t j = 0; j < live; ++j) largest = std::max(largest, x[row * columns + j]);
    if (largest == -kInfinity) largest = 0;
    for (int64_t j = 0; j < live; ++j) sum += std::exp(x[row * columns + j] - largest);
    for (int64_t j = 0; j < live; ++j)
      y[row * columns + j] = sum == 0 ? 0 : std::exp(x[row * columns + j] - largest) / sum;
  }
  return y;
}

TEST_P(CpuKernelsTest, SoftmaxAndItsGradient) {
  for (Shape shape : {Shape{1, 1}, Shape{3, 7}, Shape{2, 5, 9}, Shape{4, 9, 5}, Shape{3, 64, 64}, Shape{2, 2, 33, 65},
                      Shape{2, 1000}}) {
    for (bool causal : {false, true}) {
      for (DType dtype : {DType::kF32, DType::kBF16}) {
        const int64_t columns = shape.back(), rows = shape[shape.size() - 2];
        const TensorView x = bench_.Random(dtype, shape, 3), dy = bench_.Random(dtype, shape);
        const Numbers expected = ExpectedSoftmax(Bench::Read(x), rows, columns, causal);
        const std::string what = Cat("softmax ", TypeText(x.type), causal ? " causal" : "");
        TensorView y = bench_.Make(dtype, shape), dx = bench_.Make(dtype, shape);
        bench_.Run("softmax", {x}, {y}, {{"causal", causal}});
        ExpectNear(y, expected, ToleranceOf(dtype), what);
        const Numbers ys = Bench::Read(y), dys = Bench::Read(dy);
        Numbers gradient(ys.size());
        for (size_t row = 0; row * columns < ys.size(); ++row) {
          double dot = 0;
          for (int64_t j = 0; j < columns; ++j) dot += ys[row * columns + j] * dys[row * columns + j];
          for (int64_t j = 0; j < columns; ++j)
            gradient[row * columns + j] = ys[row * columns + j] * (dys[row * columns + j] - dot);
        }
        bench_.Run("softmax_backward", {y, dy}, {dx}, {{"causal", causal}});
        ExpectNear(dx, gradient, ToleranceOf(dtype), what + " backward");
        bench_.RunOnce("softmax_backward", {y, dy}, {dy}, {{"causal", causal}});
        ExpectNear(dy, gradient, ToleranceOf(dtype), what + " backward over dy");
        bench_.RunOnce("softmax", {x}, {x}, {{"causal", causal}});
        ExpectNear(x, expected, ToleranceOf(dtype), what + " in place");
      }
    }
  }
}

TEST_P(CpuKernelsTest, SoftmaxOfSpecialValues) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t columns : {3, 40}) {
      Numbers dead(columns, -kInfinity), one = dead, nan = dead, late = dead;
      one[1] = 5;
      nan[1] = kNaN;
      late[columns - 1] = kNaN;
      late[0] = 1;
      Numbers all = dead;
      for (const Numbers& row : {one, nan, late}) all.insert(all.end(), row.begin(), row.end());
      Numbers expected(2 * columns, 0);
      expected[columns + 1] = 1;
      expected.resize(4 * columns, kNaN);
      const TensorView x = bench_.Make(dtype, {4, columns}, all), y = bench_.Make(dtype, {4, columns});
      bench_.Run("softmax", {x}, {y}, {{"causal", false}});
      ExpectNear(y, expected, 1e-6, "special values");
    }
  }
}

TEST_P(CpuKernelsTest, CausalMask) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const TensorView x = bench_.Random(dtype, {2, 3, 5}), y = bench_.Make(dtype, {2, 3, 5});
    Numbers expected = Bench::Read(x);
    for (int b = 0; b < 2; ++b) {
      for (int i = 0; i < 3; ++i) {
        for (int j = i + 3; j < 5; ++j) expected[(b * 3 + i) * 5 + j] = -kInfinity;
      }
    }
    bench_.Run("causal_mask", {x}, {y});
    ExpectNear(y, expected, 0, "causal_mask");
    bench_.Run("causal_mask", {x}, {x});
    ExpectNear(x, expected, 0, "causal_mask in place");
  }
}

TEST_P(CpuKernelsTest, CacheUpdateDropsWhatDoesNotFit) {
  const TensorView cache = bench_.Random(DType::kF32, {3, 4, 2}), x = bench_.Random(DType::kF32, {5, 3, 2});
  const TensorView positions = bench_.Make(DType::kI32, {5}, {0, 2, 0, -1, 4}),
                   slots = bench_.Make(DType::kI32, {5}, {1, 0, -1, 2, 7});
  Numbers expected = Bench::Read(cache);
  const Numbers rows = Bench::Read(x);
  const auto copy = [&](int slot, int position, int b, int t) {
    for (int c = 0; c < 2; ++c) expected[(slot * 4 + position) * 2 + c] = rows[(b * 3 + t) * 2 + c];
  };
  for (int t = 0; t < 3; ++t) copy(1, t, 0, t);
  for (int t = 0; t < 2; ++t) copy(0, 2 + t, 1, t);
  for (int t = 1; t < 3; ++t) copy(2, t - 1, 3, t);
  const TensorView y = bench_.Make(DType::kF32, {3, 4, 2});
  bench_.Run("cache_update", {cache, x, positions, slots}, {y});
  ExpectNear(y, expected, 0, "cache_update");
  bench_.Run("cache_update", {cache, x, positions, slots}, {cache});
  ExpectNear(cache, expected, 0, "cache_update in place");
}

TEST_P(CpuKernelsTest, CachedAttention) {
  struct Case {
    int64_t t, context, heads, head;
  };
  for (const Case& test :
       {Case{1, 7, 2, 3}, Case{1, 300, 3, 64}, Case{5, 20, 2, 10}, Case{37, 150, 2, 32}, Case{64, 64, 1, 20}}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t batch = 4, width = test.heads * test.head, slots_there = 3;
      const int64_t position[] = {0, test.context - 1, test.context / 2, 3}, slot[] = {2, 0, -1, 1};
      const TensorView q = bench_.Random(dtype, {batch, test.t, width}),
                       k = bench_.Random(dtype, {slots_there, test.context, width});
      const TensorView v = bench_.Random(dtype, {slots_there, test.context, width});
      const TensorView positions = bench_.Make(DType::kI32, {batch}, Numbers(position, position + 4));
      const TensorView slots = bench_.Make(DType::kI32, {batch}, Numbers(slot, slot + 4));
      const double scale = 1 / std::sqrt(test.head);
      const Numbers qs = Bench::Read(q), ks = Bench::Read(k), vs = Bench::Read(v);
      Numbers expected(qs.size(), 0);
      for (int64_t b = 0; b < batch; ++b) {
        if (slot[b] < 0) continue;
        for (int64_t i = 0; i < test.t; ++i) {
          for (int64_t h = 0; h < test.heads; ++h) {
            const int64_t keys = std::min(position[b] + i, test.context - 1) + 1;
            Numbers e(keys);
            double largest = -kInfinity, sum = 0;
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < test.head; ++c) {
                e[j] += scale * qs[(b * test.t + i) * width + h * test.head + c] *
                        ks[(slot[b] * test.context + j) * width + h * test.head + c];
              }
              largest = std::max(largest, e[j]);
            }
            for (double& value : e) sum += value = std::exp(value - largest);
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < test.head; ++c) {
                expected[(b * test.t + i) * width + h * test.head + c] +=
                    e[j] / sum * vs[(slot[b] * test.context + j) * width + h * test.head + c];
              }
            }
          }
        }
      }
      const TensorView y = bench_.Make(dtype, q.type.shape);
      bench_.Run("cached_attention", {q, k, v, positions, slots}, {y}, {{"heads", test.heads}, {"scale", scale}});
      ExpectNear(y, expected, ToleranceOf(dtype),
                 Cat("cached_attention t=", test.t, " context=", test.context, " head=", test.head));
    }
  }
  const TensorView q = bench_.Make(DType::kF32, {1, 1, 300}), cache = bench_.Make(DType::kF32, {1, 1, 300});
  const TensorView index = bench_.Make(DType::kI32, {1});
  EXPECT_TRUE(absl::IsUnimplemented(bench_.TryRun("cached_attention", {q, cache, cache, index, index}, {q},
                                                  {{"heads", int64_t{1}}, {"scale", 1.0}})));
}

TEST_P(CpuKernelsTest, EmbeddingAndItsGradient) {
  for (int64_t width : {1, 7, 200, 768}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t rows = 10;
      const Numbers ids = {3, -1, 9, 3, 10, 0, 3, -5, 9};
      const Shape shape = {3, 3, width};
      const TensorView table = bench_.Random(dtype, {rows, width}), id = bench_.Make(DType::kI32, {3, 3}, ids);
      const TensorView y = bench_.Make(dtype, shape), dy = bench_.Random(dtype, shape);
      const TensorView base = bench_.Random(DType::kF32, {rows, width}),
                       dtable = bench_.Make(DType::kF32, {rows, width});
      const Numbers values = Bench::Read(table), dys = Bench::Read(dy);
      Numbers expected(9 * width, 0), sums(rows * width, 0), with_base = Bench::Read(base);
      for (int64_t i = 0; i < 9; ++i) {
        if (ids[i] < 0 || ids[i] >= rows) continue;
        for (int64_t c = 0; c < width; ++c) {
          const int64_t at = static_cast<int64_t>(ids[i]) * width + c;
          expected[i * width + c] = values[at];
          sums[at] += dys[i * width + c];
          with_base[at] += dys[i * width + c];
        }
      }
      bench_.Run("embedding", {table, id}, {y});
      ExpectNear(y, expected, 0, "embedding");
      bench_.Run("embedding_backward", {id, dy}, {dtable}, {{"rows", rows}});
      ExpectNear(dtable, sums, 1e-6, "embedding_backward");
      bench_.Run("embedding_backward", {id, dy, base}, {dtable}, {{"rows", rows}});
      ExpectNear(dtable, with_base, 1e-6, "embedding_backward with base");
      bench_.RunOnce("embedding_backward", {id, dy, base}, {base}, {{"rows", rows}});
      ExpectNear(base, with_base, 1e-6, "embedding_backward over base");
    }
  }
}

TEST_P(CpuKernelsTest, CrossEntropyAndItsGradient) {
  struct Case {
    int64_t columns, classes;
  };
  for (const Case& test : {Case{1, 1}, Case{5, 3}, Case{65, 65}, Case{128, 100}, Case{5000, 4999}}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t rows = 6, columns = test.columns, classes = test.classes;
      const Numbers targets = {0, classes - 1.0, -1, classes / 2.0, static_cast<double>(classes), 1e9};
      const TensorView logits = bench_.Random(dtype, {2, 3, columns}, 4),
                       target = bench_.Make(DType::kI32, {2, 3}, targets);
      const TensorView dlosses = bench_.Random(DType::kF32, {2, 3});
      const Numbers x = Bench::Read(logits), scale = Bench::Read(dlosses);
      Numbers losses(rows), lses(rows), gradient(rows * columns, 0);
      for (int64_t row = 0; row < rows; ++row) {
        double sum = 0;
        for (int64_t j = 0; j < classes; ++j) sum += std::exp(x[row * columns + j]);
        lses[row] = std::log(sum);
        const int64_t t = static_cast<int64_t>(targets[row]);
        losses[row] = t < 0 ? 0 : t >= classes ? kNaN : lses[row] - x[row * columns + t];
        for (int64_t j = 0; j < classes && t >= 0; ++j) {
          gradient[row * columns + j] = (std::exp(x[row * columns + j] - lses[row]) - (j == t)) * scale[row];
        }
      }
      const TensorView loss = bench_.Make(DType::kF32, {2, 3}), lse = bench_.Make(DType::kF32, {2, 3});
      const TensorView dlogits = bench_.Make(dtype, {2, 3, columns});
      const Attributes attributes = {{"classes", classes}};
      bench_.Run("cross_entropy", {logits, target}, {loss, lse}, attributes);
      const std::string what = Cat("cross_entropy ", TypeText(logits.type));
      ExpectNear(loss, losses, 1e-6, what);
      ExpectNear(lse, lses, 1e-6, what + " lse");
      bench_.Run("cross_entropy_backward", {logits, target, lse, dlosses}, {dlogits}, attributes);
      ExpectNear(dlogits, gradient, ToleranceOf(dtype), what + " backward");
      bench_.RunOnce("cross_entropy_backward", {logits, target, lse, dlosses}, {logits}, attributes);
      ExpectNear(logits, gradient, ToleranceOf(dtype), what + " backward in place");
    }
  }
}

TEST_P(CpuKernelsTest, CrossEntropyOfSpecialValues) {
  Numbers x(3 * 3000, -kInfinity);
  x[2500] = 1;          // an infinity of -inf before the first number
  x[3000 + 10] = 1000;  // large values do not overflow
  x[3000 + 2900] = 1000;
  x[6000] = 1;
  x[6000 + 2999] = kNaN;
  const TensorView logits = bench_.Make(DType::kF32, {3, 3000}, x),
                   target = bench_.Make(DType::kI32, {3}, {2500, 10, 0});
  const TensorView loss = bench_.Make(DType::kF32, {3}), lse = bench_.Make(DType::kF32, {3});
  bench_.Run("cross_entropy", {logits, target}, {loss, lse}, {{"classes", int64_t{3000}}});
  ExpectNear(lse, {1, 1000 + std::log(2.0), kNaN}, 1e-6, "lse");
  ExpectNear(loss, {0, std::log(2.0), kNaN}, 1e-5, "loss");
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
