#include "runtime/cpu/ceilings.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "runtime/exec/region.h"

namespace gptc {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Product {
  int64_t m, n, k, times;
  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

// Every product of a step: for each weight [in, out] the forward, the input's gradient and the weight's gradient.
std::vector<Product> Products(const GemmCeilingShape& shape) {
  const int64_t width = shape.width, tokens = shape.tokens;
  std::vector<Product> products;
  auto add = [&](int64_t in, int64_t out, int64_t times) {
    products.push_back({tokens, out, in, times});
    products.push_back({tokens, in, out, times});
    products.push_back({in, out, tokens, times});
  };
  add(width, 3 * width, shape.layers);
  add(width, width, shape.layers);
  add(width, 4 * width, shape.layers);
  add(4 * width, width, shape.layers);
  if (shape.vocab > 0) add(width, shape.vocab, 1);
  return products;
}

// Seconds of one run: the median of what fits into `budget`, of at least two runs and at most seven. Throws
// dnnl::error.
double FastestSeconds(dnnl::engine& engine, dnnl::stream& stream, dnnl::memory::data_type type, const Product& p,
                      double budget) {
  using Tag = dnnl::memory::format_tag;
  dnnl::memory::desc a({p.m, p.k}, type, Tag::ab), b({p.k, p.n}, type, Tag::any), y({p.m, p.n}, type, Tag::ab);
  dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, y), engine);
  dnnl::matmul matmul(description);
  dnnl::memory source(description.src_desc(), engine), weights(description.weights_desc(), engine),
      result(description.dst_desc(), engine);
  // Small normal numbers in either type: denormals would slow the first run, and zeros could be cheaper.
  for (dnnl::memory* part : {&source, &weights, &result})
    std::memset(part->get_data_handle(), 0x3c, part->get_desc().get_size());
  const std::unordered_map<int, dnnl::memory> arguments = {
      {DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, result}};
  std::vector<double> runs;
  Clock::time_point begin = Clock::now();
  for (int i = 0; i < 8 && (i < 3 || SecondsSince(begin) < budget); ++i) {
    Clock::time_point start = Clock::now();
    matmul.execute(stream, arguments);
    stream.wait();
    if (i > 0) runs.push_back(SecondsSince(start));  // the first one creates threads and touches pages
  }
  return *std::min_element(runs.begin(), runs.end());
}

// The sum of `count` words; one version for each vector width.
__attribute__((target_clones("avx512f", "avx2", "default"), noinline)) uint64_t Sum(const uint64_t* words,
                                                                                    int64_t count) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += words[i];
  asm volatile("" : : "r"(sum));  // somebody reads the sum, so it must be made
  return sum;
}

// Reads four arrays and writes three; ones stay ones.
__attribute__((target_clones("avx512f", "avx2", "default"), noinline)) void Update(
    float* __restrict a, float* __restrict b, float* __restrict c, const float* __restrict d, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float next_b = 0.5f * b[i] + 0.5f * d[i], next_c = 0.5f * c[i] + 0.5f * d[i];
    a[i] += next_b - next_c;
    b[i] = next_b;
    c[i] = next_c;
  }
}

// GB/s of passes over an array of `bytes`; run(values, count) does one over a thread's part and gives the bytes that it
// read and wrote. Passes over a small array share a parallel region, whose own cost would otherwise be measured.
template <typename Pass>
StatusOr<double> MeasurePasses(double seconds, int64_t bytes, Pass run) {
  const int64_t count = std::max<int64_t>(64, bytes / static_cast<int64_t>(sizeof(float)));
  const int64_t repeats = std::max<int64_t>(1, kBeyondCaches / 8 / std::max<int64_t>(1, bytes));
  ASSIGN_OR_RETURN(Region region, Region::Allocate(static_cast<size_t>(count) * sizeof(float), "measuring"));
  float* values = reinterpret_cast<float*>(region.data());
  int64_t moved = 0;
  auto passes = [&](int64_t times, bool fill) {
    moved = 0;
#pragma omp parallel reduction(+ : moved)
    {
      const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
      const int64_t begin = count * thread / threads, end = count * (thread + 1) / threads;
      if (fill) std::fill(values + begin, values + end, 1.0f);
      for (int64_t i = 0; i < times; ++i) {
        asm volatile("" ::: "memory");  // or the compiler may read once for all passes
        moved += run(values + begin, end - begin);
      }
    }
  };
  passes(1, true);
  double best = 0;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    passes(repeats, false);
    best = std::max(best, static_cast<double>(moved) / SecondsSince(start) / 1e9);
  } while (SecondsSince(begin) < seconds);
  return best;
}

}  // namespace

StatusOr<double> MeasureGemmGflops(DType dtype, const GemmCeilingShape& shape, double seconds) {
  if (dtype != DType::kF32 && dtype != DType::kBF16)
    return InvalidArgument("no ceiling is measured for ", NameOf(dtype));
  if (shape.tokens < 1 || shape.width < 1 || shape.layers < 1 || shape.vocab < 0)
    return InvalidArgument("a ceiling's shape has no elements");
  const auto type = dtype == DType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
  const std::vector<Product> products = Products(shape);
  try {
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    double time = 0, flops = 0, all = 0;
    for (const Product& product : products) all += product.flops();
    for (const Product& product : products) {
      const double times = static_cast<double>(product.times);
      time += times * FastestSeconds(engine, stream, type, product, seconds * product.flops() / all);
      flops += times * product.flops();
    }
    return flops / time / 1e9;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory)
      return OutOfMemory("out of memory in measuring the ceiling of ", NameOf(dtype), " products");
    if (error.status == dnnl_unimplemented)
      return absl::UnimplementedError(Cat("oneDNN has no ", NameOf(dtype), " products on this machine"));
    return Failure("oneDNN failed in measuring the ceiling of ", NameOf(dtype), " products: ", error.what());
  }
}

StatusOr<double> MeasureReadGBps(double seconds, int64_t bytes) {
  return MeasurePasses(seconds, bytes, [](float* values, int64_t count) {
    const int64_t words = count / 2;
    Sum(reinterpret_cast<const uint64_t*>(values), words);
    return words * static_cast<int64_t>(sizeof(uint64_t));
  });
}

StatusOr<double> MeasureUpdateGBps(double seconds, int64_t bytes) {
  return MeasurePasses(seconds, bytes, [](float* values, int64_t count) {
    const int64_t part = count / 4;
    Update(values, values + part, values + 2 * part, values + 3 * part, part);
    return 7 * part * static_cast<int64_t>(sizeof(float));
  });
}

}  // namespace gptc
