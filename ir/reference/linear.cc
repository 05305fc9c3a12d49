#include "ir/reference/gelu.h"
#include "ir/reference/loops.h"

namespace gptc {

void EvalLinearResidual(const EvalContext& c) {
  c.result().data = ProductWithWeights(c, false, c.has(3) ? &c.input(3) : nullptr);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] += c.input(2).data[i];
}

void EvalLinearRelu(const EvalContext& c) {
  c.result().data = ProductWithWeights(c, false, c.has(2) ? &c.input(2) : nullptr);
  for (double& y : c.result().data) y = y < 0 ? 0 : y;
}

void EvalLinearGelu(const EvalContext& c) {
  c.result().data = ProductWithWeights(c, false, c.has(2) ? &c.input(2) : nullptr);
  for (double& y : c.result().data) y = GeluOf(y, c.attributes.Bool("tanh"));
}

void EvalLinearGeluSaved(const EvalContext& c) {
  c.result(1).data = ProductWithWeights(c, false, c.has(2) ? &c.input(2) : nullptr);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) {
    c.result().data[i] = GeluOf(c.result(1).data[i], c.attributes.Bool("tanh"));
  }
}

void EvalLinearGeluBackward(const EvalContext& c) {
  HostTensor &du = c.result(0), &dbias = c.result(1);
  du.data = ProductWithWeights(c, true, nullptr);
  const int64_t columns = WidthOf(du);
  for (int64_t i = 0; i < SizeOf(du); ++i) {
    du.data[i] *= GeluDerivative(c.input(2).data[i], c.attributes.Bool("tanh"));
    dbias.data[i % columns] += du.data[i];
  }
}

void EvalLinearWeightGradient(const EvalContext& c) {
  const HostTensor &x = c.input(0), &dy = c.input(1);
  HostTensor &dw = c.result(0), &dbias = c.result(1);
  const int64_t rows = RowCountOf(x), in = WidthOf(x), out = WidthOf(dy);
  for (int64_t j = 0; j < out; ++j) {
    for (int64_t row = 0; row < rows; ++row) dbias.data[j] += dy.data[row * out + j];
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t row = 0; row < rows; ++row) sum += x.data[row * in + i] * dy.data[row * out + j];
      dw.data[i * out + j] = sum + (c.has(2) ? c.input(2).data[i * out + j] : 0);
    }
  }
}

}  // namespace gptc
