// Gradients of the matrix products.
//
// Where a whole batch meets one plain matrix, the weight's gradient is one product with all leading axes folded into
// rows: a single large GEMM instead of a batch of small ones and a sum.
#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {
namespace {

// x [..., n] as a matrix [rows, n].
Tensor AsRows(GraphBuilder& g, Tensor x) {
  const int64_t columns = x.shape().back();
  const int64_t rows = ElementCount(std::span(x.shape()).first(x.shape().size() - 1));
  return x.shape().size() == 2 ? x : g.Reshape(x, {rows, columns});
}

// dy in the operands' element type: y may be f32 where they are narrower.
Tensor LikeOperands(const VjpContext& c) {
  const DType dtype = c.input(0).type().dtype;
  return c.dy().type().dtype == dtype ? c.dy() : c.g.Cast(c.dy(), dtype);
}

// One matrix, whatever its leading axes of size 1.
bool IsPlainMatrix(const Shape& shape) { return ElementCount(std::span(shape).first(shape.size() - 2)) == 1; }

}  // namespace

// With A = op(a), B = op(b): dA = dy·Bᵀ and dB = Aᵀ·dy; a transposed operand's cotangent is the transpose of that.
Cotangents VjpMatMul(const VjpContext& c) {
  GraphBuilder& g = c.g;
  const Tensor a = c.input(0), b = c.input(1), dy = LikeOperands(c);
  const bool ta = c.attributes.Bool("transpose_a"), tb = c.attributes.Bool("transpose_b");

  const Tensor da =
      ta ? g.MatMul(b, dy, {.transpose_a = tb, .transpose_b = true}) : g.MatMul(dy, b, {.transpose_b = !tb});

  Tensor left = a, right = dy;
  if (!ta && IsPlainMatrix(b.shape())) {
    left = AsRows(g, a);
    right = AsRows(g, dy);
  }
  Tensor db = tb ? g.MatMul(right, left, {.transpose_a = true, .transpose_b = ta})
                 : g.MatMul(left, right, {.transpose_a = !ta});
  if (db.valid() && db.shape().size() < b.shape().size()) db = g.Reshape(db, b.shape());

  Cotangents cotangents = {Unbroadcast(g, da, a.shape()), Unbroadcast(g, db, b.shape())};
  if (c.has(2)) cotangents.push_back(c.dy());
  return cotangents;
}

Cotangents VjpLinear(const VjpContext& c) {
  GraphBuilder& g = c.g;
  if (c.attributes.Int("columns") != 0) {
    g.Fail(InvalidArgument("linear by a packed matrix has no gradient: weights are packed after differentiation"));
    return {Tensor{}, Tensor{}};
  }
  const Tensor x = c.input(0), w = c.input(1), dy = LikeOperands(c);
  const Tensor dy_rows = AsRows(g, dy);
  // A vector x has no rows for matmul.
  const Tensor dx = x.shape().size() == 1 ? g.Reshape(g.MatMul(dy_rows, w, {.transpose_b = true}), x.shape())
                                          : g.MatMul(dy, w, {.transpose_b = true});
  Cotangents cotangents = {dx, g.MatMul(AsRows(g, x), dy_rows, {.transpose_a = true})};
  if (c.has(2)) cotangents.push_back(g.Sum(c.dy().value == dy.value ? dy_rows : AsRows(g, c.dy()), {0}));
  return cotangents;
}

}  // namespace gptc
