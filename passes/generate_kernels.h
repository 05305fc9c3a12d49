// The `fused` ops of a module as kernels of their own, for targets of CUDA: source (cuda_source.h), compiled by NVRTC
// in one program, so that a plan runs where there is no compiler. A kernel for each region and types of operands,
// however many ops have them.
#ifndef GPTC_PASSES_GENERATE_KERNELS_H_
#define GPTC_PASSES_GENERATE_KERNELS_H_

#include <memory>
#include <string_view>

#include "ir/module.h"
#include "runtime/plan/plan.h"

namespace gptc {

// Null for other targets, and where there is no `fused` op.
StatusOr<std::unique_ptr<plan::GeneratedCodeT>> GenerateKernels(const Module& module, std::string_view target);

}  // namespace gptc

#endif  // GPTC_PASSES_GENERATE_KERNELS_H_
