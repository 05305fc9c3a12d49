// SiLU: x·sigmoid(x).
#include <cmath>

#include "ir/reference/gelu.h"
#include "ir/reference/loops.h"

namespace gptc {
namespace {

double LogisticOf(double x) { return 1 / (1 + std::exp(-x)); }

template <typename F>
void Unary(const EvalContext& c, F f) {
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = f(c.input(0).data[i]);
}

}  // namespace

void EvalGelu(const EvalContext& c) {
  bool tanh_form = c.attributes.Bool("tanh");
  Unary(c, [=](double x) { return GeluOf(x, tanh_form); });
}

void EvalGeluBackward(const EvalContext& c) {
  bool tanh_form = c.attributes.Bool("tanh");
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) {
    c.result().data[i] = c.input(1).data[i] * GeluDerivative(c.input(0).data[i], tanh_form);
  }
}

void EvalRelu(const EvalContext& c) {
  Unary(c, [](double x) { return x < 0 ? 0 : x; });
}
void EvalSigmoid(const EvalContext& c) { Unary(c, LogisticOf); }
void EvalSilu(const EvalContext& c) {
  Unary(c, [](double x) { return x * LogisticOf(x); });
}

}  // namespace gptc
