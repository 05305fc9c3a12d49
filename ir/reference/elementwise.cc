#include <algorithm>
#include <cmath>

#include "ir/reference/loops.h"

namespace gptc {
namespace {

template <typename F>
void Binary(const EvalContext& c, F f) {
  const Shape& shape = c.result().type.shape;
  Shape a = BroadcastStrides(c.input(0).type.shape, shape), b = BroadcastStrides(c.input(1).type.shape, shape);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) {
    c.result().data[i] = f(c.input(0).data[Offset(i, shape, a)], c.input(1).data[Offset(i, shape, b)]);
  }
}

template <typename F>
void Unary(const EvalContext& c, F f) {
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = f(c.input(0).data[i]);
}

}  // namespace

void EvalAdd(const EvalContext& c) {
  Binary(c, [](double a, double b) { return a + b; });
}
void EvalSub(const EvalContext& c) {
  Binary(c, [](double a, double b) { return a - b; });
}
void EvalMul(const EvalContext& c) {
  Binary(c, [](double a, double b) { return a * b; });
}
void EvalDiv(const EvalContext& c) {
  Binary(c, [](double a, double b) { return a / b; });
}
// NaN where either operand is NaN.
void EvalMax(const EvalContext& c) {
  Binary(c, [](double a, double b) { return a > b || std::isnan(a) ? a : b; });
}

void EvalNeg(const EvalContext& c) {
  Unary(c, [](double x) { return -x; });
}
void EvalExp(const EvalContext& c) {
  Unary(c, [](double x) { return std::exp(x); });
}
void EvalLog(const EvalContext& c) {
  Unary(c, [](double x) { return std::log(x); });
}
void EvalTanh(const EvalContext& c) {
  Unary(c, [](double x) { return std::tanh(x); });
}
void EvalErf(const EvalContext& c) {
  Unary(c, [](double x) { return std::erf(x); });
}
void EvalSqrt(const EvalContext& c) {
  Unary(c, [](double x) { return std::sqrt(x); });
}
void EvalRsqrt(const EvalContext& c) {
  Unary(c, [](double x) { return 1 / std::sqrt(x); });
}

void EvalCompare(const EvalContext& c) {
  const std::string& direction = c.attributes.Str("direction");
  Binary(c, [&](double a, double b) {
    if (direction == "eq") return a == b;
    if (direction == "ne") return a != b;
    if (direction == "lt") return a < b;
    if (direction == "le") return a <= b;
    if (direction == "gt") return a > b;
    return a >= b;
  });
}

void EvalSelect(const EvalContext& c) {
  const Shape& shape = c.result().type.shape;
  Shape condition = BroadcastStrides(c.input(0).type.shape, shape);
  Shape a = BroadcastStrides(c.input(1).type.shape, shape), b = BroadcastStrides(c.input(2).type.shape, shape);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) {
    bool first = c.input(0).data[Offset(i, shape, condition)] != 0;
    c.result().data[i] = first ? c.input(1).data[Offset(i, shape, a)] : c.input(2).data[Offset(i, shape, b)];
  }
}

// To an integer type: towards zero, to the nearest value that there is, NaN to 0; to bool: whether it is not 0.
// RoundToType does that, as for every result.
void EvalCast(const EvalContext& c) {
  Unary(c, [](double x) { return x; });
}
void EvalConstant(const EvalContext& c) {
  std::fill(c.result().data.begin(), c.result().data.end(), c.attributes.Double("value"));
}
void EvalIota(const EvalContext& c) {
  const int64_t axis = c.attributes.Int("axis");
  const Shape& shape = c.result().type.shape;
  int64_t inner = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = static_cast<double>(i / inner % shape[axis]);
}
void EvalCopy(const EvalContext& c) {
  Unary(c, [](double x) { return x; });
}

}  // namespace gptc
