// GELU: Hendrycks & Gimpel 2016, in its tanh form or with the error function. SiLU: x·sigmoid(x).
#include <cmath>
#include <numbers>

#include "ir/reference/loops.h"

namespace gptc {
namespace {

const double kSqrt2OverPi = std::sqrt(2 / std::numbers::pi);
constexpr double kCubic = 0.044715;

// Phi(x), the share of x that passes, and its derivative.
struct Gate {
  double value, slope;
};
Gate GeluGate(double x, bool tanh_form) {
  if (tanh_form) {
    double t = std::tanh(kSqrt2OverPi * (x + kCubic * x * x * x));
    return {0.5 * (1 + t), 0.5 * (1 - t * t) * kSqrt2OverPi * (1 + 3 * kCubic * x * x)};
  }
  return {0.5 * (1 + std::erf(x / std::numbers::sqrt2)), std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi)};
}

double LogisticOf(double x) { return 1 / (1 + std::exp(-x)); }

template <typename F>
void Unary(const EvalContext& c, F f) {
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = f(c.input(0).data[i]);
}

}  // namespace

void EvalGelu(const EvalContext& c) {
  bool tanh_form = c.attributes.Bool("tanh");
  Unary(c, [=](double x) { return x * GeluGate(x, tanh_form).value; });
}

void EvalGeluBackward(const EvalContext& c) {
  bool tanh_form = c.attributes.Bool("tanh");
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) {
    double x = c.input(0).data[i];
    Gate gate = GeluGate(x, tanh_form);
    c.result().data[i] = c.input(1).data[i] * (gate.value + x * gate.slope);
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
