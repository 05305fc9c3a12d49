// The emulation's products: plain loops with f64 sums, run when the stream gets there.
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "ir/base/dtype.h"
#include "runtime/cuda/device.h"
#include "tests/simt/simt.h"

namespace gptc {
namespace {

using Epilogue = GemmProblem::Epilogue;

bool products_have_epilogues = true;
std::optional<size_t> way_to_take;

double Read(const void* from, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kF64:
      return static_cast<const double*>(from)[i];
    case DType::kBF16:
      return FloatFromBf16(static_cast<const uint16_t*>(from)[i]);
    case DType::kF16:
      return FloatFromF16(static_cast<const uint16_t*>(from)[i]);
    default:
      return static_cast<const float*>(from)[i];
  }
}

void Write(void* to, DType dtype, int64_t i, double value) {
  switch (dtype) {
    case DType::kF64:
      static_cast<double*>(to)[i] = value;
      break;
    case DType::kBF16:
      static_cast<uint16_t*>(to)[i] = Bf16FromFloat(static_cast<float>(value));
      break;
    case DType::kF16:
      static_cast<uint16_t*>(to)[i] = F16FromFloat(static_cast<float>(value));
      break;
    default:
      static_cast<float*>(to)[i] = static_cast<float>(value);
      break;
  }
}

// The index of row r, column c in memory.
int64_t IndexOf(const GemmMatrix& matrix, int64_t batch, int64_t r, int64_t c) {
  return batch * matrix.batch_stride + (matrix.transposed ? c * matrix.leading + r : r * matrix.leading + c);
}

std::vector<double> Load(const GemmMatrix& matrix, int64_t batch, int64_t rows, int64_t columns) {
  std::vector<double> values(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      values[r * columns + c] = Read(matrix.data, matrix.dtype, IndexOf(matrix, batch, r, c));
  }
  return values;
}

// Of the tanh form, and its derivative.
constexpr double kRoot = 0.7978845608028654;  // √(2/π)
double Gelu(double x) { return 0.5 * x * (1 + std::tanh(kRoot * (x + 0.044715 * x * x * x))); }
double GeluSlope(double x) {
  const double t = std::tanh(kRoot * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kRoot * (1 + 3 * 0.044715 * x * x);
}

void Multiply(const GemmProblem& p) {
  std::vector<double> column_sums(static_cast<size_t>(p.n), 0);
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    const std::vector<double> a = Load(p.a, batch, p.m, p.k), b = Load(p.b, batch, p.k, p.n);
    std::vector<double> y(static_cast<size_t>(p.m * p.n), 0);
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t k = 0; k < p.k; ++k) {
        for (int64_t j = 0; j < p.n; ++j) y[i * p.n + j] += a[i * p.k + k] * b[k * p.n + j];
      }
    }
    if (p.epilogue == Epilogue::kBiasGradB) {
      for (int64_t k = 0; k < p.k; ++k) {
        for (int64_t j = 0; j < p.n; ++j) column_sums[j] += b[k * p.n + j];
      }
    }
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        const int64_t at = IndexOf(p.y, batch, i, j);
        double x = y[i * p.n + j];
        if (p.c != nullptr) x += Read(p.c, p.y.dtype, at);
        const auto bias = [&] { return p.bias == nullptr ? 0 : Read(p.bias, p.bias_dtype, j); };
        switch (p.epilogue) {
          case Epilogue::kNone:
          case Epilogue::kBiasGradB:
            break;
          case Epilogue::kBias:
            x += bias();
            break;
          case Epilogue::kReluBias:
            x += bias();
            x = x < 0 ? 0 : x;
            break;
          case Epilogue::kGeluBias:
            x = Gelu(x + bias());
            break;
          case Epilogue::kGeluBiasSaved:
            x += bias();
            Write(p.aux, p.y.dtype, i * p.aux_leading + j, x);
            x = Gelu(x);
            break;
          case Epilogue::kDGelu:
          case Epilogue::kDGeluBiasGrad:
            x *= GeluSlope(Read(p.aux, p.y.dtype, i * p.aux_leading + j));
            column_sums[j] += x;
            break;
        }
        Write(p.y.data, p.y.dtype, at, x);
      }
    }
  }
  if (p.epilogue == Epilogue::kDGeluBiasGrad || p.epilogue == Epilogue::kBiasGradB) {
    for (int64_t j = 0; j < p.n; ++j) Write(p.bias, p.bias_dtype, j, column_sums[j]);
  }
}

class HostGemm : public Gemm {
 public:
  explicit HostGemm(cudaStream_t stream) : stream_(stream) {}

  StatusOr<BoundKernel> Bind(const GemmProblem& problem, ScratchPool& scratch) override {
    const bool plain = problem.epilogue == Epilogue::kNone || problem.epilogue == Epilogue::kBias;
    if (!plain && !products_have_epilogues) return absl::UnimplementedError(Cat(problem.Name(), ": no such epilogue"));
    for (const DType dtype : {problem.a.dtype, problem.b.dtype, problem.y.dtype, problem.bias_dtype}) {
      if (!IsFloat(dtype)) return absl::UnimplementedError(Cat(problem.Name(), ": no such product"));
    }
    // Asked for so that plans must grant it; poisoned, as the real ones leave anything there.
    scratch.Request(kWorkspace);
    return BoundKernel([stream = stream_, problem, &scratch] {
      simt::Enqueue(stream, [problem, workspace = scratch.data()] {
        std::memset(workspace, 0xff, kWorkspace);
        Multiply(problem);
      });
    });
  }
  StatusOr<BoundKernel> BindFastest(const std::string& /*name*/, std::vector<GemmWay> ways,
                                    ScratchPool& scratch) override {
    if (way_to_take.has_value()) return ways[*way_to_take % ways.size()].bind(scratch);
    return BindFirst(ways, "", scratch);
  }
  Status Tune(const std::function<void(const ProductTiming&)>& /*report*/) override { return OkStatus(); }

 private:
  static constexpr size_t kWorkspace = 4096;
  cudaStream_t stream_;
};

}  // namespace

namespace simt {
void SetProductEpilogues(bool all) { products_have_epilogues = all; }
void SetWay(std::optional<size_t> way) { way_to_take = way; }
}  // namespace simt

StatusOr<std::unique_ptr<Gemm>> MakeGemm(cudaStream_t stream, int /*sm*/) { return std::make_unique<HostGemm>(stream); }

// The emulation has our own kernels alone.
StatusOr<std::unique_ptr<AttentionEngine>> MakeAttentionEngine(cudaStream_t) {
  return std::unique_ptr<AttentionEngine>();
}

}  // namespace gptc
