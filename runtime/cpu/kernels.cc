#include "runtime/cpu/kernels.h"

#include "hwy/targets.h"

namespace gptc {
namespace {

struct Entry {
  std::string_view name;
  KernelFactory factory;
};

constexpr Entry kKernels[] = {
#define OP_kKernel(symbol, name) {#name, BindCpu##symbol},
#define OP_kView(symbol, name)
#define OP(symbol, name, inputs, results, attributes, gradient, execution, ...) OP_##execution(symbol, name)
#include "ir/base/ops.def"
#undef OP
#undef OP_kKernel
#undef OP_kView
};

}  // namespace

KernelFactory CpuKernel(std::string_view name) {
  // Kernels keep the address of the code chosen for this machine. Until the choice is made, Highway hands out the
  // address of a function that makes it again at every call.
  [[maybe_unused]] static const bool chosen = [] {
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return true;
  }();
  for (const Entry& entry : kKernels) {
    if (entry.name == name) return entry.factory;
  }
  return nullptr;
}

}  // namespace gptc
