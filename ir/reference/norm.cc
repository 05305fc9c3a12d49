// LayerNorm: Ba, Kiros, Hinton 2016. RMSNorm: Zhang & Sennrich 2019.
#include <cmath>

#include "ir/reference/loops.h"

namespace gptc {
namespace {

// With n = (x - mean)·rstd the normalized row and g = dy·weight:
//   dx = rstd·(g - mean(g) - n·mean(g·n)) + dsum, dweight = sum of dy·n over the rows, dbias = sum of dy.
// rms_norm has no mean: its statistic is a constant 0 and the term mean(g) falls away.
void NormBackward(const EvalContext& c, const HostTensor* mean, const HostTensor& rstd, size_t dsum) {
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
      if (c.has(dsum)) c.result(0).data[row * width + j] += c.input(dsum).data[row * width + j];
      c.result(1).data[j] += dy.data[row * width + j] * n(j);
      if (mean != nullptr) c.result(2).data[j] += dy.data[row * width + j];
    }
  }
}

// x normalized, with the weight and bias at these places among the inputs, y and the statistics from these results on.
void LayerNorm(const EvalContext& c, const HostTensor& x, size_t weight, size_t y) {
  int64_t width = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    const double* values = x.data.data() + row * width;
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < width; ++j) mean += values[j] / static_cast<double>(width);
    for (int64_t j = 0; j < width; ++j)
      variance += (values[j] - mean) * (values[j] - mean) / static_cast<double>(width);
    double rstd = 1 / std::sqrt(variance + c.attributes.Double("epsilon"));
    for (int64_t j = 0; j < width; ++j) {
      double bias = c.has(weight + 1) ? c.input(weight + 1).data[j] : 0;
      c.result(y).data[row * width + j] = (values[j] - mean) * rstd * c.input(weight).data[j] + bias;
    }
    c.result(y + 1).data[row] = mean;
    c.result(y + 2).data[row] = rstd;
  }
}

void RmsNorm(const EvalContext& c, const HostTensor& x, size_t weight, size_t y) {
  int64_t width = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    const double* values = x.data.data() + row * width;
    double mean_square = 0;
    for (int64_t j = 0; j < width; ++j) mean_square += values[j] * values[j] / static_cast<double>(width);
    double rstd = 1 / std::sqrt(mean_square + c.attributes.Double("epsilon"));
    for (int64_t j = 0; j < width; ++j) c.result(y).data[row * width + j] = values[j] * rstd * c.input(weight).data[j];
    c.result(y + 1).data[row] = rstd;
  }
}

// sum = x + r, which is what is normalized.
const HostTensor& Sum(const EvalContext& c) {
  HostTensor& sum = c.result(0);
  for (int64_t i = 0; i < SizeOf(sum); ++i) sum.data[i] = c.input(0).data[i] + c.input(1).data[i];
  return sum;
}

}  // namespace

void EvalLayerNorm(const EvalContext& c) { LayerNorm(c, c.input(0), 1, 0); }
void EvalRmsNorm(const EvalContext& c) { RmsNorm(c, c.input(0), 1, 0); }
void EvalResidualLayerNorm(const EvalContext& c) { LayerNorm(c, Sum(c), 2, 1); }
void EvalResidualRmsNorm(const EvalContext& c) { RmsNorm(c, Sum(c), 2, 1); }
void EvalLayerNormBackward(const EvalContext& c) { NormBackward(c, &c.input(3), c.input(4), 5); }
void EvalRmsNormBackward(const EvalContext& c) { NormBackward(c, nullptr, c.input(3), 4); }

}  // namespace gptc
