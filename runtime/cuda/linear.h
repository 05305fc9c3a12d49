// A linear layer's product as a problem of the engine.
#ifndef GPTC_RUNTIME_CUDA_LINEAR_H_
#define GPTC_RUNTIME_CUDA_LINEAR_H_

#include <string_view>

#include "runtime/cuda/gemm.h"
#include "runtime/exec/kernel.h"

namespace gptc {

// Whether the engine has products of these operands into this result, with f32 sums.
bool IsProduct(DType a, DType b, DType y);

// y = x·w [+ bias] of the operands 0 and 1 into result 0; w lies as [out, in] where `transposed`. A bias without data
// is none.
StatusOr<GemmProblem> LinearProblem(std::string_view op, const KernelArgs& args, const TensorView& bias,
                                    bool transposed);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_LINEAR_H_
