// The workspace of the CUDA backend's kernels, the counterpart of workspace.h's for processors.
#ifndef GPTC_RUNTIME_PLAN_CUDA_WORKSPACE_H_
#define GPTC_RUNTIME_PLAN_CUDA_WORKSPACE_H_

#include <cstdint>
#include <span>

#include "ir/base/attributes.h"
#include "ir/base/op_table.h"
#include "ir/base/type.h"

namespace gptc {

// The most bytes that a kernel of `op` may ask for on a GPU.
int64_t CudaWorkspaceBytes(Op op, std::span<const Type> inputs, std::span<const Type> results,
                           const Attributes& attributes);

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_CUDA_WORKSPACE_H_
