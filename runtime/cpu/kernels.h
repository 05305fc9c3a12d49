// The CPU's kernels: BindCpu<Name> for every op with a kernel, in the file of its family.
//
// Conventions. All tensors are dense and row-major. Each kernel writes every element of its results and reads nothing
// of what they held. Work is split over rows by OpenMP in a way that does not depend on the number of threads, so that
// the same bits come out on any number of them (oneDNN's products aside, which repeat for the same number of threads).
#ifndef GPTC_RUNTIME_CPU_KERNELS_H_
#define GPTC_RUNTIME_CPU_KERNELS_H_

#include <string_view>

#include "runtime/exec/kernel.h"

namespace gptc {

#define OP_kKernel(symbol) StatusOr<BoundKernel> BindCpu##symbol(const KernelArgs& args);
#define OP_kView(symbol)
#define OP(symbol, name, inputs, results, attributes, gradient, execution, ...) OP_##execution(symbol)
#include "ir/base/ops.def"
#undef OP
#undef OP_kKernel
#undef OP_kView

// The factory of the op with this text name; null where there is none.
KernelFactory CpuKernel(std::string_view name);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_KERNELS_H_
