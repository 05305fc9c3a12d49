// Gradients of the elementwise ops. Operands broadcast, so each cotangent is summed back to its operand's shape.
#include <numbers>

#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {
namespace {

// dy where the condition holds and 0 elsewhere, and the other way around. Selects, not products with a mask: 0 · inf is
// NaN.
Tensor Where(GraphBuilder& g, Tensor condition, Tensor dy) { return g.Select(condition, dy, ScalarLike(g, dy, 0)); }
Tensor WhereNot(GraphBuilder& g, Tensor condition, Tensor dy) { return g.Select(condition, ScalarLike(g, dy, 0), dy); }

}  // namespace

Cotangents VjpAdd(const VjpContext& c) {
  return {Unbroadcast(c.g, c.dy(), c.input(0).shape()), Unbroadcast(c.g, c.dy(), c.input(1).shape())};
}

Cotangents VjpSub(const VjpContext& c) {
  return {Unbroadcast(c.g, c.dy(), c.input(0).shape()), c.g.Neg(Unbroadcast(c.g, c.dy(), c.input(1).shape()))};
}

Cotangents VjpMul(const VjpContext& c) {
  const Tensor a = c.input(0), b = c.input(1);
  return {Unbroadcast(c.g, c.dy() * b, a.shape()), Unbroadcast(c.g, c.dy() * a, b.shape())};
}

Cotangents VjpDiv(const VjpContext& c) {
  const Tensor a = c.input(0), b = c.input(1);
  const Tensor da = c.dy() / b;
  return {Unbroadcast(c.g, da, a.shape()), c.g.Neg(Unbroadcast(c.g, da * c.result(), b.shape()))};
}

// At a tie the first operand is the maximum.
Cotangents VjpMax(const VjpContext& c) {
  const Tensor a = c.input(0), b = c.input(1);
  const Tensor first = c.g.Compare(a, b, "ge");
  return {Unbroadcast(c.g, Where(c.g, first, c.dy()), a.shape()),
          Unbroadcast(c.g, WhereNot(c.g, first, c.dy()), b.shape())};
}

Cotangents VjpNeg(const VjpContext& c) { return {c.g.Neg(c.dy())}; }

Cotangents VjpExp(const VjpContext& c) { return {c.dy() * c.result()}; }

Cotangents VjpLog(const VjpContext& c) { return {c.dy() / c.input(0)}; }

Cotangents VjpTanh(const VjpContext& c) {
  const Tensor y = c.result();
  return {c.dy() * (1.0 - y * y)};
}

Cotangents VjpErf(const VjpContext& c) {
  const Tensor x = c.input(0);
  return {c.dy() * (c.g.Exp(c.g.Neg(x * x)) * (2 * std::numbers::inv_sqrtpi))};
}

Cotangents VjpSqrt(const VjpContext& c) { return {(c.dy() * 0.5) / c.result()}; }

Cotangents VjpRsqrt(const VjpContext& c) {
  const Tensor y = c.result();
  return {c.dy() * (y * y * y * -0.5)};
}

Cotangents VjpSelect(const VjpContext& c) {
  const Tensor condition = c.input(0);
  return {{},
          Unbroadcast(c.g, Where(c.g, condition, c.dy()), c.input(1).shape()),
          Unbroadcast(c.g, WhereNot(c.g, condition, c.dy()), c.input(2).shape())};
}

Cotangents VjpCast(const VjpContext& c) {
  const DType from = c.input(0).type().dtype;
  if (!IsFloat(from)) return {{}};
  return {c.g.Cast(c.dy(), from)};
}

Cotangents VjpCopy(const VjpContext& c) { return {c.dy()}; }

}  // namespace gptc
