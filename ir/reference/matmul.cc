#include "ir/reference/loops.h"

namespace gptc {

void EvalMatMul(const EvalContext& c) {
  const HostTensor &a = c.input(0), &b = c.input(1);
  HostTensor& y = c.result();
  bool transpose_a = c.attributes.Bool("transpose_a"), transpose_b = c.attributes.Bool("transpose_b");
  auto batch = [](const HostTensor& t) { return Shape(t.type.shape.begin(), t.type.shape.end() - 2); };
  int64_t m = y.type.shape.end()[-2], n = y.type.shape.back();
  int64_t k = transpose_a ? a.type.shape.end()[-2] : a.type.shape.back();
  Shape batches = batch(y);
  Shape a_strides = BroadcastStrides(batch(a), batches), b_strides = BroadcastStrides(batch(b), batches);
  for (int64_t at = 0; at < ElementCount(batches); ++at) {
    const double* a_matrix = a.data.data() + Offset(at, batches, a_strides) * m * k;
    const double* b_matrix = b.data.data() + Offset(at, batches, b_strides) * k * n;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p) {
          sum += a_matrix[transpose_a ? p * m + i : i * k + p] * b_matrix[transpose_b ? j * k + p : p * n + j];
        }
        int64_t place = (at * m + i) * n + j;
        y.data[place] = sum + (c.has(2) ? c.input(2).data[place] : 0);
      }
    }
  }
}

std::vector<double> ProductWithWeights(const EvalContext& c, bool transposed, const HostTensor* bias) {
  const HostTensor& x = c.input(0);
  const int64_t rows = RowCountOf(x), in = WidthOf(x);
  const Weights w(c.input(1), in, c.attributes.Int("columns"), transposed);
  const int64_t out = w.columns();
  std::vector<double> y(rows * out);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < out; ++j) {
      double sum = bias != nullptr ? bias->data[j] : 0;
      for (int64_t p = 0; p < in; ++p) sum += x.data[i * in + p] * w.at(p, j);
      y[i * out + j] = sum;
    }
  }
  return y;
}

void EvalLinear(const EvalContext& c) {
  c.result().data = ProductWithWeights(c, false, c.has(2) ? &c.input(2) : nullptr);
}

void EvalPack(const EvalContext& c) {
  const HostTensor& w = c.input(0);
  HostTensor& y = c.result();
  const bool transpose = c.attributes.Bool("transpose");
  const int64_t rows = w.type.shape[0], columns = w.type.shape[1], k = transpose ? columns : rows;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t place = PackedOffset(y.type.dtype, k, transpose ? j : i, transpose ? i : j);
      y.data[place] = w.data[i * columns + j];
    }
  }
}

}  // namespace gptc
