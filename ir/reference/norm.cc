// LayerNorm: Ba, Kiros, Hinton 2016. RMSNorm: Zhang & Sennrich 2019.
#include <cmath>

#include "ir/reference/loops.h"

namespace gptc {
namespace {

// With n = (x - mean)·rstd the normalized row and g = dy·weight:
//   dx = rstd·(g - mean(g) - n·mean(g·n)), dweight = sum of dy·n over the rows, dbias = sum of dy.
// rms_norm has no mean: its statistic is a constant 0 and the term mean(g) falls away.
void NormBackward(const EvalContext& c, const HostTensor* mean, const HostTensor& rstd) {
  const HostTensor &dy = c.input(0), &x = c.input(1), &weight = c.input(2);
  int64_t width = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    double center = mean != nullptr ? mean->data[row] : 0, scale = rstd.data[row];
    auto n = [&](int64_t j) { return (x.data[row * width + j] - center) * scale; };
    auto g = [&](int64_t j) { return dy.data[row * width + j] * weight.data[j]; };
    double mean_g = 0, mean_gn = 0;
    for (int64_t j = 0; j < width; ++j) {
      mean_g += g(j) / static_cast<double>(width);
      mean_gn += g(j) * n(j) / static_cast<double>(width);
    }
    for (int64_t j = 0; j < width; ++j) {
      c.result(0).data[row * width + j] = scale * (g(j) - (mean != nullptr ? mean_g : 0) - n(j) * mean_gn);
      c.result(1).data[j] += dy.data[row * width + j] * n(j);
      if (mean != nullptr) c.result(2).data[j] += dy.data[row * width + j];
    }
  }
}

}  // namespace

void EvalLayerNorm(const EvalContext& c) {
  const HostTensor& x = c.input(0);
  int64_t width = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    const double* values = x.data.data() + row * width;
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < width; ++j) mean += values[j] / static_cast<double>(width);
    for (int64_t j = 0; j < width; ++j)
      variance += (values[j] - mean) * (values[j] - mean) / static_cast<double>(width);
    double rstd = 1 / std::sqrt(variance + c.attributes.Double("epsilon"));
    for (int64_t j = 0; j < width; ++j) {
      double bias = c.has(2) ? c.input(2).data[j] : 0;
      c.result(0).data[row * width + j] = (values[j] - mean) * rstd * c.input(1).data[j] + bias;
    }
    c.result(1).data[row] = mean;
    c.result(2).data[row] = rstd;
  }
}

void EvalLayerNormBackward(const EvalContext& c) { NormBackward(c, &c.input(3), c.input(4)); }

void EvalRmsNorm(const EvalContext& c) {
  const HostTensor& x = c.input(0);
  int64_t width = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    const double* values = x.data.data() + row * width;
    double mean_square = 0;
    for (int64_t j = 0; j < width; ++j) mean_square += values[j] * values[j] / static_cast<double>(width);
    double rstd = 1 / std::sqrt(mean_square + c.attributes.Double("epsilon"));
    for (int64_t j = 0; j < width; ++j) c.result(0).data[row * width + j] = values[j] * rstd * c.input(1).data[j];
    c.result(1).data[row] = rstd;
  }
}

void EvalRmsNormBackward(const EvalContext& c) { NormBackward(c, nullptr, c.input(3)); }

}  // namespace gptc
