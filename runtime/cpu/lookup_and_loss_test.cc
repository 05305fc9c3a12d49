// Embedding and cross-entropy against plain loops in double precision.
#include "runtime/cpu/kernel_bench_for_test.h"

namespace gptc {
namespace {

TEST_P(CpuKernelsTest, EmbeddingAndItsGradient) {
  for (int64_t width : {1, 7, 200, 768}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t rows = 10;
      const Numbers ids = {3, -1, 9, 3, 10, 0, 3, -5, 9};
      const Shape shape = {3, 3, width};
      const TensorView table = bench_.Random(dtype, {rows, width}), id = bench_.Make(DType::kI32, {3, 3}, ids);
      const TensorView y = bench_.Make(dtype, shape), dy = bench_.Random(dtype, shape);
      const TensorView base = bench_.Random(DType::kF32, {rows, width}),
                       dtable = bench_.Make(DType::kF32, {rows, width});
      const Numbers values = Bench::Read(table), dys = Bench::Read(dy);
      Numbers expected(9 * width, 0), sums(rows * width, 0), with_base = Bench::Read(base);
      for (int64_t i = 0; i < 9; ++i) {
        if (ids[i] < 0 || ids[i] >= rows) continue;
        for (int64_t c = 0; c < width; ++c) {
          const int64_t at = static_cast<int64_t>(ids[i]) * width + c;
          expected[i * width + c] = values[at];
          sums[at] += dys[i * width + c];
          with_base[at] += dys[i * width + c];
        }
      }
      bench_.Run("embedding", {table, id}, {y});
      ExpectNear(y, expected, 0, "embedding");
      bench_.Run("embedding_backward", {id, dy}, {dtable}, {{"rows", rows}});
      ExpectNear(dtable, sums, 1e-6, "embedding_backward");
      bench_.Run("embedding_backward", {id, dy, base}, {dtable}, {{"rows", rows}});
      ExpectNear(dtable, with_base, 1e-6, "embedding_backward with base");
      bench_.RunOnce("embedding_backward", {id, dy, base}, {base}, {{"rows", rows}});
      ExpectNear(base, with_base, 1e-6, "embedding_backward over base");
    }
  }
}

TEST_P(CpuKernelsTest, CrossEntropyAndItsGradient) {
  struct Case {
    int64_t columns, classes;
  };
  for (const Case& test : {Case{1, 1}, Case{5, 3}, Case{65, 65}, Case{128, 100}, Case{5000, 4999}}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t rows = 6, columns = test.columns, classes = test.classes;
      const Numbers targets = {0, classes - 1.0, -1, classes / 2.0, static_cast<double>(classes), 1e9};
      const TensorView logits = bench_.Random(dtype, {2, 3, columns}, 4),
                       target = bench_.Make(DType::kI32, {2, 3}, targets);
      const TensorView dlosses = bench_.Random(DType::kF32, {2, 3});
      const Numbers x = Bench::Read(logits), scale = Bench::Read(dlosses);
      Numbers losses(rows), lses(rows), gradient(rows * columns, 0);
      for (int64_t row = 0; row < rows; ++row) {
        double sum = 0;
        for (int64_t j = 0; j < classes; ++j) sum += std::exp(x[row * columns + j]);
        lses[row] = std::log(sum);
        const int64_t t = static_cast<int64_t>(targets[row]);
        losses[row] = t < 0 ? 0 : t >= classes ? kNaN : lses[row] - x[row * columns + t];
        for (int64_t j = 0; j < classes && t >= 0; ++j) {
          gradient[row * columns + j] = (std::exp(x[row * columns + j] - lses[row]) - (j == t)) * scale[row];
        }
      }
      const TensorView loss = bench_.Make(DType::kF32, {2, 3}), lse = bench_.Make(DType::kF32, {2, 3});
      const TensorView dlogits = bench_.Make(dtype, {2, 3, columns});
      const Attributes attributes = {{"classes", classes}};
      bench_.Run("cross_entropy", {logits, target}, {loss, lse}, attributes);
      const std::string what = Cat("cross_entropy ", TypeText(logits.type));
      ExpectNear(loss, losses, 1e-6, what);
      ExpectNear(lse, lses, 1e-6, what + " lse");
      bench_.Run("cross_entropy_backward", {logits, target, lse, dlosses}, {dlogits}, attributes);
      ExpectNear(dlogits, gradient, ToleranceOf(dtype), what + " backward");
      bench_.Run("cross_entropy_gradient", {logits, target, dlosses}, {loss, dlogits}, attributes);
      ExpectNear(loss, losses, 1e-6, what + " with its gradient");
      ExpectNear(dlogits, gradient, ToleranceOf(dtype), what + " gradient");
      const TensorView again = bench_.Make(dtype, {2, 3, columns}, x);
      bench_.RunOnce("cross_entropy_gradient", {again, target, dlosses}, {loss, again}, attributes);
      ExpectNear(again, gradient, ToleranceOf(dtype), what + " gradient in place");
      bench_.RunOnce("cross_entropy_backward", {logits, target, lse, dlosses}, {logits}, attributes);
      ExpectNear(logits, gradient, ToleranceOf(dtype), what + " backward in place");
    }
  }
}

TEST_P(CpuKernelsTest, CrossEntropyOfSpecialValues) {
  Numbers x(3 * 3000, -kInfinity);
  x[2500] = 1;          // an infinity of -inf before the first number
  x[3000 + 10] = 1000;  // large values do not overflow
  x[3000 + 2900] = 1000;
  x[6000] = 1;
  x[6000 + 2999] = kNaN;
  const TensorView logits = bench_.Make(DType::kF32, {3, 3000}, x),
                   target = bench_.Make(DType::kI32, {3}, {2500, 10, 0});
  const TensorView loss = bench_.Make(DType::kF32, {3}), lse = bench_.Make(DType::kF32, {3});
  bench_.Run("cross_entropy", {logits, target}, {loss, lse}, {{"classes", int64_t{3000}}});
  ExpectNear(lse, {1, 1000 + std::log(2.0), kNaN}, 1e-6, "lse");
  ExpectNear(loss, {0, std::log(2.0), kNaN}, 1e-5, "loss");
  Numbers gradient(3 * 3000, 0);
  gradient[3000 + 10] = -0.5;
  gradient[3000 + 2900] = 0.5;
  std::fill(gradient.begin() + 6000, gradient.end(), kNaN);
  const TensorView dlosses = bench_.Make(DType::kF32, {3}, {1, 1, 1}), dlogits = bench_.Make(DType::kF32, {3, 3000});
  bench_.Run("cross_entropy_gradient", {logits, target, dlosses}, {loss, dlogits}, {{"classes", int64_t{3000}}});
  ExpectNear(loss, {0, std::log(2.0), kNaN}, 1e-5, "loss");
  ExpectNear(dlogits, gradient, 1e-6, "gradient");
}

}  // namespace
}  // namespace gptc
