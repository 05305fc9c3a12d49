#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

struct Entry {
  std::string_view name;
  KernelFactory factory;
};

constexpr Entry kKernels[] = {
#define OP_kKernel(symbol, name) {#name, BindCuda##symbol},
#define OP_kView(symbol, name)
#define OP(symbol, name, inputs, results, attributes, gradient, execution, ...) OP_##execution(symbol, name)
#include "ir/base/ops.def"
#undef OP
#undef OP_kKernel
#undef OP_kView
};

}  // namespace

KernelFactory CudaKernel(std::string_view name) {
  for (const Entry& entry : kKernels) {
    if (entry.name == name) return entry.factory;
  }
  return nullptr;
}

}  // namespace gptc
