// Softmax, masks and the cache against plain loops in double precision.
#include "runtime/cpu/kernel_bench_for_test.h"

namespace gptc {
namespace {

Numbers ExpectedSoftmax(const Numbers& x, int64_t rows, int64_t columns, bool causal) {
  Numbers y(x.size(), 0);
  for (size_t row = 0; row * columns < x.size(); ++row) {
    const int64_t live =
        causal ? std::max<int64_t>(0, std::min<int64_t>(columns, static_cast<int64_t>(row) % rows + columns - rows + 1))
               : columns;
    double largest = -kInfinity, sum = 0;
    for (int64_t j = 0; j < live; ++j) largest = std::max(largest, x[row * columns + j]);
    if (largest == -kInfinity) largest = 0;
    for (int64_t j = 0; j < live; ++j) sum += std::exp(x[row * columns + j] - largest);
    for (int64_t j = 0; j < live; ++j)
      y[row * columns + j] = sum == 0 ? 0 : std::exp(x[row * columns + j] - largest) / sum;
  }
  return y;
}

TEST_P(CpuKernelsTest, SoftmaxAndItsGradient) {
  for (Shape shape : {Shape{1, 1}, Shape{3, 7}, Shape{2, 5, 9}, Shape{4, 9, 5}, Shape{3, 64, 64}, Shape{2, 2, 33, 65},
                      Shape{2, 1000}}) {
    for (bool causal : {false, true}) {
      for (DType dtype : {DType::kF32, DType::kBF16}) {
        const int64_t columns = shape.back(), rows = shape[shape.size() - 2];
        const TensorView x = bench_.Random(dtype, shape, 3), dy = bench_.Random(dtype, shape);
        const Numbers expected = ExpectedSoftmax(Bench::Read(x), rows, columns, causal);
        const std::string what = Cat("softmax ", TypeText(x.type), causal ? " causal" : "");
        TensorView y = bench_.Make(dtype, shape), dx = bench_.Make(dtype, shape);
        bench_.Run("softmax", {x}, {y}, {{"causal", causal}});
        ExpectNear(y, expected, ToleranceOf(dtype), what);
        const Numbers ys = Bench::Read(y), dys = Bench::Read(dy);
        Numbers gradient(ys.size());
        for (size_t row = 0; row * columns < ys.size(); ++row) {
          double dot = 0;
          for (int64_t j = 0; j < columns; ++j) dot += ys[row * columns + j] * dys[row * columns + j];
          for (int64_t j = 0; j < columns; ++j)
            gradient[row * columns + j] = ys[row * columns + j] * (dys[row * columns + j] - dot);
        }
        bench_.Run("softmax_backward", {y, dy}, {dx}, {{"causal", causal}});
        ExpectNear(dx, gradient, ToleranceOf(dtype), what + " backward");
        bench_.RunOnce("softmax_backward", {y, dy}, {dy}, {{"causal", causal}});
        ExpectNear(dy, gradient, ToleranceOf(dtype), what + " backward over dy");
        bench_.RunOnce("softmax", {x}, {x}, {{"causal", causal}});
        ExpectNear(x, expected, ToleranceOf(dtype), what + " in place");
      }
    }
  }
}

TEST_P(CpuKernelsTest, SoftmaxOfSpecialValues) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t columns : {3, 40}) {
      Numbers dead(columns, -kInfinity), one = dead, nan = dead, late = dead;
      one[1] = 5;
      nan[1] = kNaN;
      late[columns - 1] = kNaN;
      late[0] = 1;
      Numbers all = dead;
      for (const Numbers& row : {one, nan, late}) all.insert(all.end(), row.begin(), row.end());
      Numbers expected(2 * columns, 0);
      expected[columns + 1] = 1;
      expected.resize(4 * columns, kNaN);
      const TensorView x = bench_.Make(dtype, {4, columns}, all), y = bench_.Make(dtype, {4, columns});
      bench_.Run("softmax", {x}, {y}, {{"causal", false}});
      ExpectNear(y, expected, 1e-6, "special values");
    }
  }
}

TEST_P(CpuKernelsTest, CausalMask) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const TensorView x = bench_.Random(dtype, {2, 3, 5}), y = bench_.Make(dtype, {2, 3, 5});
    Numbers expected = Bench::Read(x);
    for (int b = 0; b < 2; ++b) {
      for (int i = 0; i < 3; ++i) {
        for (int j = i + 3; j < 5; ++j) expected[(b * 3 + i) * 5 + j] = -kInfinity;
      }
    }
    bench_.Run("causal_mask", {x}, {y});
    ExpectNear(y, expected, 0, "causal_mask");
    bench_.Run("causal_mask", {x}, {x});
    ExpectNear(x, expected, 0, "causal_mask in place");
  }
}

TEST_P(CpuKernelsTest, CacheUpdateDropsWhatDoesNotFit) {
  const TensorView cache = bench_.Random(DType::kF32, {3, 4, 2}), x = bench_.Random(DType::kF32, {5, 3, 2});
  const TensorView positions = bench_.Make(DType::kI32, {5}, {0, 2, 0, -1, 4}),
                   slots = bench_.Make(DType::kI32, {5}, {1, 0, -1, 2, 7});
  Numbers expected = Bench::Read(cache);
  const Numbers rows = Bench::Read(x);
  const auto copy = [&](int slot, int position, int b, int t) {
    for (int c = 0; c < 2; ++c) expected[(slot * 4 + position) * 2 + c] = rows[(b * 3 + t) * 2 + c];
  };
  for (int t = 0; t < 3; ++t) copy(1, t, 0, t);
  for (int t = 0; t < 2; ++t) copy(0, 2 + t, 1, t);
  for (int t = 1; t < 3; ++t) copy(2, t - 1, 3, t);
  const TensorView y = bench_.Make(DType::kF32, {3, 4, 2});
  bench_.Run("cache_update", {cache, x, positions, slots}, {y});
  ExpectNear(y, expected, 0, "cache_update");
  bench_.Run("cache_update", {cache, x, positions, slots}, {cache});
  ExpectNear(cache, expected, 0, "cache_update in place");
}

TEST_P(CpuKernelsTest, CachedAttention) {
  struct Case {
    int64_t t, context, heads, head;
  };
  for (const Case& test :
       {Case{1, 7, 2, 3}, Case{1, 300, 3, 64}, Case{5, 20, 2, 10}, Case{37, 150, 2, 32}, Case{64, 64, 1, 20}}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t batch = 4, width = test.heads * test.head, slots_there = 3;
      const int64_t position[] = {0, test.context - 1, test.context / 2, 3}, slot[] = {2, 0, -1, 1};
      const TensorView q = bench_.Random(dtype, {batch, test.t, width}),
                       k = bench_.Random(dtype, {slots_there, test.context, width});
      const TensorView v = bench_.Random(dtype, {slots_there, test.context, width});
      const TensorView positions = bench_.Make(DType::kI32, {batch}, Numbers(position, position + 4));
      const TensorView slots = bench_.Make(DType::kI32, {batch}, Numbers(slot, slot + 4));
      const double scale = 1 / std::sqrt(test.head);
      const Numbers qs = Bench::Read(q), ks = Bench::Read(k), vs = Bench::Read(v);
      Numbers expected(qs.size(), 0);
      for (int64_t b = 0; b < batch; ++b) {
        if (slot[b] < 0) continue;
        for (int64_t i = 0; i < test.t; ++i) {
          for (int64_t h = 0; h < test.heads; ++h) {
            const int64_t keys = std::min(position[b] + i, test.context - 1) + 1;
            Numbers e(keys);
            double largest = -kInfinity, sum = 0;
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < test.head; ++c) {
                e[j] += scale * qs[(b * test.t + i) * width + h * test.head + c] *
                        ks[(slot[b] * test.context + j) * width + h * test.head + c];
              }
              largest = std::max(largest, e[j]);
            }
            for (double& value : e) sum += value = std::exp(value - largest);
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < test.head; ++c) {
                expected[(b * test.t + i) * width + h * test.head + c] +=
                    e[j] / sum * vs[(slot[b] * test.context + j) * width + h * test.head + c];
              }
            }
          }
        }
      }
      const TensorView y = bench_.Make(dtype, q.type.shape);
      bench_.Run("cached_attention", {q, k, v, positions, slots}, {y}, {{"heads", test.heads}, {"scale", scale}});
      ExpectNear(y, expected, ToleranceOf(dtype),
                 Cat("cached_attention t=", test.t, " context=", test.context, " head=", test.head));
    }
  }
  const TensorView q = bench_.Make(DType::kF32, {1, 1, 300}), cache = bench_.Make(DType::kF32, {1, 1, 300});
  const TensorView index = bench_.Make(DType::kI32, {1});
  EXPECT_TRUE(absl::IsUnimplemented(bench_.TryRun("cached_attention", {q, cache, cache, index, index}, {q},
                                                  {{"heads", int64_t{1}}, {"scale", 1.0}})));
}

// A token that is no number, or infinite, spoils itself, and nothing in the blocks of tokens before it.
TEST_P(CpuKernelsTest, FlashAttentionOfSpecialValues) {
  const int64_t tokens = 70, size = 4;
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const TensorView qkv = bench_.Random(dtype, {1, tokens, 3 * size}), y = bench_.Make(dtype, {1, tokens, size});
      const TensorView lse = bench_.Make(DType::kF32, {1, 1, tokens});
      for (int64_t i = 0; i < 3 * size; ++i) Bench::Set(qkv, 66 * 3 * size + i, bad);
      const Attributes attributes = {
          {"heads", int64_t{1}}, {"scale", 0.5}, {"causal", true}, {"rate", 0.0}, {"key", int64_t{0}}};
      bench_.Run("flash_attention", {qkv}, {y, lse}, attributes);
      const Numbers values = Bench::Read(y);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < size; ++i) {
          if (t < 64) {
            EXPECT_TRUE(std::isfinite(values[t * size + i])) << t;
          } else if (t == 66) {
            EXPECT_TRUE(std::isnan(values[t * size + i])) << bad;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace gptc
