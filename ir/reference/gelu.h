// GELU and its derivative: Hendrycks & Gimpel 2016, in its tanh form or with the error function.
#ifndef GPTC_IR_REFERENCE_GELU_H_
#define GPTC_IR_REFERENCE_GELU_H_

#include <cmath>
#include <numbers>

namespace gptc {

// gelu(x) = x·Φ(x).
struct GeluGate {
  double value, slope;  // Φ(x) and its derivative

  GeluGate(double x, bool tanh_form) {
    if (tanh_form) {
      constexpr double kCubic = 0.044715;
      const double factor = std::sqrt(2 / std::numbers::pi);
      const double t = std::tanh(factor * (x + kCubic * x * x * x));
      value = 0.5 * (1 + t);
      slope = 0.5 * (1 - t * t) * factor * (1 + 3 * kCubic * x * x);
    } else {
      value = 0.5 * (1 + std::erf(x / std::numbers::sqrt2));
      slope = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    }
  }
};

inline double GeluOf(double x, bool tanh_form) { return x * GeluGate(x, tanh_form).value; }
inline double GeluDerivative(double x, bool tanh_form) {
  const GeluGate gate(x, tanh_form);
  return gate.value + x * gate.slope;
}

}  // namespace gptc

#endif  // GPTC_IR_REFERENCE_GELU_H_
