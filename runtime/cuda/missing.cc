// Binders of ops whose kernels are not written yet.
#include "runtime/cuda/kernels.h"

namespace gptc {

#define OP_kKernel(symbol, name)                                                    \
  __attribute__((weak)) StatusOr<BoundKernel> BindCuda##symbol(const KernelArgs&) { \
    return absl::UnimplementedError(#name ": no CUDA kernel");                      \
  }
#define OP_kView(symbol, name)
#define OP(symbol, name, inputs, results, attributes, gradient, execution, ...) OP_##execution(symbol, name)
#include "ir/base/ops.def"
#undef OP
#undef OP_kKernel
#undef OP_kView

}  // namespace gptc
