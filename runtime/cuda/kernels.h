// CUDA's kernels: BindCuda<Name> for every op with a kernel.
//
// A family is three files of one noun: norm.cu the kernels and their launchers, norm.cuh the launchers' declarations
// with their contracts, norm.cc the binders, which read types and attributes and choose a launcher. A bound kernel
// enqueues on the device's stream and returns; it is recorded into a CUDA graph once and replayed.
//
// Conventions. All tensors are dense and row-major, at multiples of 64 bytes. Each kernel writes every element of its
// results and reads nothing of what they held, allocates nothing, copies nothing to the host, and gives the same bits
// in every run: no floating-point atomics.
#ifndef GPTC_RUNTIME_CUDA_KERNELS_H_
#define GPTC_RUNTIME_CUDA_KERNELS_H_

#include <string_view>

#include "runtime/exec/kernel.h"

namespace gptc {

#define OP_kKernel(symbol) StatusOr<BoundKernel> BindCuda##symbol(const KernelArgs& args);
#define OP_kView(symbol)
#define OP(symbol, name, inputs, results, attributes, gradient, execution, ...) OP_##execution(symbol)
#include "ir/base/ops.def"
#undef OP
#undef OP_kKernel
#undef OP_kView

// The factory of the op with this text name; null where there is none.
KernelFactory CudaKernel(std::string_view name);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_KERNELS_H_
