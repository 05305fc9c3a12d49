// Normalizations against plain loops in double precision.
#include "runtime/cpu/kernel_bench_for_test.h"

namespace gptc {
namespace {

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
            TensorView dx = bench_.Make(dtype, shape), dweight = bench_.Make(DType::kF32, {width});
            TensorView dbias = bench_.Make(DType::kF32, {width});
            inputs = {gradient, x, weight};
            if (center) inputs.push_back(mean);
            inputs.push_back(rstd);
            results = {dx, dweight};
            if (center) results.push_back(dbias);
            bench_.Run(backward, inputs, results);
            const double dx_tolerance = std::max(1e-4, ToleranceOf(dtype));
            ExpectNear(dx, e.dx, dx_tolerance, what + " dx");
            ExpectNear(dweight, e.dweight, 1e-4, what + " dweight");
            if (center) ExpectNear(dbias, e.dbias, 1e-4, what + " dbias");
            if (gradient.type.dtype != dtype) continue;
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

}  // namespace
}  // namespace gptc
