// Matrix products of the CUDA backend, behind an interface: cuBLASLt on a GPU, the host's processor under tests/simt.
#ifndef GPTC_RUNTIME_CUDA_GEMM_H_
#define GPTC_RUNTIME_CUDA_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "ir/base/type.h"
#include "runtime/exec/device.h"
#include "runtime/exec/kernel.h"

namespace gptc {

// One of the operands of a product: row-major [rows, columns] as it is used, that is behind the transposition.
struct GemmMatrix {
  void* data = nullptr;
  DType dtype = DType::kF32;
  bool transposed = false;   // lies as [columns, rows] in memory
  int64_t leading = 0;       // elements from one row in memory to the next
  int64_t batch_stride = 0;  // elements from one product's matrix to the next; 0: the same for all
};

// y = epilogue(a·b + beta·c), a [m, k], b [k, n], y and c [m, n], f32 sums.
struct GemmProblem {
  enum class Epilogue : uint8_t {
    kNone,
    kBias,           // + bias[n]
    kReluBias,       // relu(a·b + bias); bias may be null
    kGeluBias,       // gelu(a·b + bias), the tanh form; bias may be null
    kGeluBiasSaved,  // the same, and aux = a·b + bias, of y's type
    kDGelu,          // (a·b)·gelu'(aux)
    kDGeluBiasGrad,  // the same, and bias[n] = its column sums
    kBiasGradB,      // a·b, and bias[n] = the column sums over k of b: of the gradient dy in dw = xᵀ·dy
  };
  int64_t m = 0, n = 0, k = 0, batch = 1;
  GemmMatrix a, b, y;
  const void* c = nullptr;  // of y's type and layout; beta = 1. Null: none
  Epilogue epilogue = Epilogue::kNone;
  void* bias = nullptr;
  DType bias_dtype = DType::kF32;
  void* aux = nullptr;
  int64_t aux_leading = 0;

  // "NN 65536x2304x768 bf16 bias", what a database of timings calls it.
  std::string Name() const;
};

// One of several ways to the same results: a product with an epilogue, or with kernels behind it.
struct GemmWay {
  std::string name;  // "dgelu_bias_grad", "dgelu, sum"
  // May be called more than once, with pools of its own each time.
  std::function<StatusOr<BoundKernel>(ScratchPool& scratch)> bind;
};
// The first that the engine has, beginning with the way of this name where there is one.
StatusOr<BoundKernel> BindFirst(const std::vector<GemmWay>& ways, std::string_view preferred, ScratchPool& scratch);

// The most workspace that a product may take; cuBLASLt's own advice for Hopper is 32 MiB.
inline constexpr size_t kGemmWorkspaceBytes = size_t{32} << 20;

class Gemm {
 public:
  virtual ~Gemm() = default;
  // Unimplemented where there is no such product or epilogue: the caller then computes it in parts.
  virtual StatusOr<BoundKernel> Bind(const GemmProblem& problem, ScratchPool& scratch) = 0;
  // The way that Tune() found to be the fastest for `name`, else the first that there is.
  virtual StatusOr<BoundKernel> BindFastest(const std::string& name, std::vector<GemmWay> ways,
                                            ScratchPool& scratch) = 0;
  // The first error of a product that ran since this was called last.
  virtual Status TakeFailure() { return OkStatus(); }
  // Device::Tune.
  virtual Status Tune(const std::function<void(const ProductTiming&)>& report) = 0;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_GEMM_H_
