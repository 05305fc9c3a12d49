// Linear layers with what follows them. Where the weights are packed and the machine multiplies by them, the product
// goes panel by panel of rows, and each panel's GELU (or its backward with the bias gradient) is computed while the
// panel is in the core's cache; elsewhere the product is whole, and the rest a pass over its rows.
//
// x, y, u, du: f32 or bf16; the arithmetic is f32. A bias gradient is the sum of those of runs of panels, in their
// order, whoever computed them, so the bits do not depend on the number of threads.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/cpu/activation.h"
#include "runtime/cpu/convert.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/onednn.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/product.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {

// A panel's f32 result takes at most half of a small L2.
constexpr int64_t kPanelBytes = 512 * 1024;
// Panels are gone through in this many runs at most, each by one thread and with sums of its own.
constexpr int64_t kMostRuns = 64;

// Rows to a panel; a multiple of 16, which the products' inner kernels like.
int64_t PanelRows(int64_t columns) {
  return std::clamp<int64_t>(kPanelBytes / (int64_t{sizeof(float)} * columns) / 16 * 16, 16, 128);
}

// Products of a panel's rows by packed weights: one for each thread, as a product is driven by one thread at a time.
class PanelProducts {
 public:
  // Unimplemented where this machine has no such products.
  static StatusOr<std::shared_ptr<PanelProducts>> Create(const Product& p, ScratchLayout& layout) {
    auto panels = std::make_shared<PanelProducts>();
    panels->p_ = p;
    panels->rows_ = PanelRows(p.n);
    for (int thread = 0; thread < omp_get_max_threads(); ++thread) {
      Of of;
      ASSIGN_OR_RETURN(of.whole, Make(p, panels->rows_));
      of.at = layout.Add(of.whole->scratch_bytes());
      if (const int64_t rest = p.m % panels->rows_; rest != 0) {
        ASSIGN_OR_RETURN(of.rest, Make(p, rest));
        of.at_rest = layout.Add(of.rest->scratch_bytes());
      }
      panels->threads_.push_back(std::move(of));
    }
    return panels;
  }

  int64_t rows() const { return rows_; }

  // The product of rows [begin, end), one panel, by the calling thread.
  void Run(int64_t begin, int64_t end, char* scratch) const {
    const Of& of = threads_[omp_get_thread_num()];
    const bool whole = end - begin == rows_;
    (whole ? of.whole : of.rest)
        ->Execute({p_.a.as<char>() + begin * p_.k * SizeOf(p_.a.type.dtype), p_.b.data, p_.bias.data},
                  p_.y.as<char>() + begin * p_.n * SizeOf(p_.y.type.dtype), scratch + (whole ? of.at : of.at_rest));
  }

 private:
  struct Of {
    std::unique_ptr<OnednnProduct> whole, rest;
    size_t at = 0, at_rest = 0;
  };

  static StatusOr<std::unique_ptr<OnednnProduct>> Make(const Product& p, int64_t rows) {
    OnednnProductSpec spec;
    spec.a = {p.a.type.dtype, {rows, p.k}, {p.k, 1}};
    spec.b = {p.b.type.dtype, {p.k, p.n}, {p.n, 1}};
    spec.y = {p.y.type.dtype, {rows, p.n}, {p.n, 1}};
    spec.packed_b = true;
    if (p.bias.data != nullptr) spec.bias = p.bias.type.dtype;
    return OnednnProduct::Create(spec);
  }

  Product p_;
  int64_t rows_ = 0;
  std::vector<Of> threads_;
};

// Whether panels serve: packed weights that the machine multiplies by, and rows enough for each thread.
bool InPanels(const Product& p) {
  return p.packed_b && p.k > 0 && MultipliesPacked(p.b.type.dtype) && p.m >= 2 * PanelRows(p.n);
}

bool HasKernel(const TensorView& view) { return view.type.dtype == DType::kF32 || view.type.dtype == DType::kBF16; }

// Rows to a run of panels.
int64_t RunRows(const Product& p) {
  const int64_t rows = PanelRows(p.n), panels = ChunkCount(p.m, rows);
  return rows * ChunkCount(panels, kMostRuns);
}

// The product into p.y, then after(run, begin, end) for its rows, panel by panel or once all of them are there. The
// first `reserved` bytes of the scratch stay the caller's.
template <typename After>
StatusOr<BoundKernel> BindWithEpilogue(const Product& p, ScratchPool& scratch, size_t reserved, const After& after) {
  const int64_t run_rows = RunRows(p);
  if (InPanels(p)) {
    ScratchLayout layout;
    layout.Add(reserved);
    ASSIGN_OR_RETURN(const std::shared_ptr<PanelProducts> panels, PanelProducts::Create(p, layout));
    scratch.Request(layout.bytes(), omp_get_max_threads());
    return BoundKernel([=, pool = &scratch] {
      ParallelFor(p.m, run_rows, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row += panels->rows()) {
          const int64_t stop = std::min(end, row + panels->rows());
          panels->Run(row, stop, static_cast<char*>(pool->data()));
          after(begin / run_rows, row, stop);
        }
      });
    });
  }
  ASSIGN_OR_RETURN(const BoundKernel product, BindProduct(p, scratch, reserved));
  return BoundKernel([=] {
    product();
    ParallelFor(p.m, run_rows, [&](int64_t begin, int64_t end) { after(begin / run_rows, begin, end); });
  });
}

// y = activation(u), u = x·w [+ bias]; u may be y.
StatusOr<BoundKernel> BindActivation(std::string_view op, const KernelArgs& args, Activation activation,
                                     const TensorView& y, const TensorView& u) {
  if (!HasKernel(y)) return Unsupported(op, args, "f32 and bf16");
  Product p = ProductWithWeights(args);
  p.y = u;
  if (args.has(2)) p.bias = args.input(2);
  const DType dtype = y.type.dtype;
  return BindWithEpilogue(p, args.scratch, 0, [=, n = p.n](int64_t, int64_t begin, int64_t end) {
    const int64_t at = begin * n * SizeOf(dtype);
    ActivationRow(activation, dtype, u.as<char>() + at, y.as<char>() + at, (end - begin) * n);
  });
}
Activation GeluOf(const KernelArgs& args) {
  return args.attributes.Bool("tanh") ? Activation::kGeluTanh : Activation::kGeluErf;
}

}  // namespace

StatusOr<BoundKernel> BindCpuLinearResidual(const KernelArgs& args) {
  Product p = ProductWithWeights(args);
  p.c = args.input(2);
  if (args.has(3)) p.bias = args.input(3);
  return BindProduct(p, args.scratch);
}

StatusOr<BoundKernel> BindCpuLinearRelu(const KernelArgs& args) {
  return BindActivation("linear_relu", args, Activation::kRelu, args.result(), args.result());
}

StatusOr<BoundKernel> BindCpuLinearGelu(const KernelArgs& args) {
  return BindActivation("linear_gelu", args, GeluOf(args), args.result(), args.result());
}

StatusOr<BoundKernel> BindCpuLinearGeluSaved(const KernelArgs& args) {
  return BindActivation("linear_gelu_saved", args, GeluOf(args), args.result(0), args.result(1));
}

StatusOr<BoundKernel> BindCpuLinearGeluBackward(const KernelArgs& args) {
  if (!HasKernel(args.input(0))) return Unsupported("linear_gelu_backward", args, "f32 and bf16");
  const TensorView u = args.input(2), du = args.result(0), dbias = args.result(1);
  if (du.count() == 0) return BoundKernel([dbias] { std::memset(dbias.data, 0, dbias.bytes()); });
  const Product p = ProductWithWeights(args, /*transposed=*/true);
  const int64_t n = p.n, runs = ChunkCount(p.m, RunRows(p));
  const DType dtype = du.type.dtype;
  const auto after = [=, tanh = args.attributes.Bool("tanh"), pool = &args.scratch, run_rows = RunRows(p)](
                         int64_t run, int64_t begin, int64_t end) {
    float* sums = static_cast<float*>(pool->data()) + run * n;
    if (begin == run * run_rows) std::memset(sums, 0, sizeof(float) * n);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * n * SizeOf(dtype);
      GeluBackwardRow(tanh, dtype, u.as<char>() + at, du.as<char>() + at, du.as<char>() + at, sums, n);
    }
  };
  ASSIGN_OR_RETURN(const BoundKernel product, BindWithEpilogue(p, args.scratch, sizeof(float) * runs * n, after));
  return BoundKernel([=, pool = &args.scratch] {
    product();
    const float* sums = static_cast<const float*>(pool->data());
    std::memcpy(dbias.data, sums, sizeof(float) * n);
    for (int64_t run = 1; run < runs; ++run) AddToRows(DType::kF32, sums + run * n, dbias.as<float>(), 1, n);
  });
}

// The product, then the sum: on a CPU the pass over dy is small beside what the product reads.
StatusOr<BoundKernel> BindCpuLinearWeightGradient(const KernelArgs& args) {
  const DType dtype = args.input(0).type.dtype;
  if (!HasKernel(args.input(0))) return Unsupported("linear_weight_gradient", args, "f32 and bf16");
  const TensorView dw = args.result(0), dbias = args.result(1);
  Attributes product, sum;
  product.Set("transpose_a", true);
  product.Set("transpose_b", false);
  ASSIGN_OR_RETURN(BoundKernel weight, BindCpuMatMul({args.inputs, {&dw, 1}, product, args.scratch, args.device}));
  sum.Set("axes", std::vector<int64_t>{0});
  sum.Set("keep", false);
  sum.Set("widen", dtype != DType::kF32);
  ASSIGN_OR_RETURN(BoundKernel bias,
                   BindCpuSum({args.inputs.subspan(1, 1), {&dbias, 1}, sum, args.scratch, args.device}));
  return BoundKernel([weight = std::move(weight), bias = std::move(bias)] {
    weight();
    bias();
  });
}

}  // namespace gptc
