// The kernels that the compiler generates (passes/cuda_source.h), made ready for the emulated device: g++ takes the
// place of NVRTC.
#ifndef GPTC_TESTS_SIMT_GENERATED_CODE_H_
#define GPTC_TESTS_SIMT_GENERATED_CODE_H_

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "ir/base/type.h"
#include "runtime/plan/plan.h"

namespace gptc::simt {

// Whether there is a g++; without one, what needs it is skipped.
bool HasHostCompiler();

// A region and the types of its operands.
using FusedWork = std::pair<std::string, std::vector<Type>>;

// Source, launches and, in place of a cubin, a shared object for library.cc; each region once, those without a kernel
// left out.
StatusOr<std::unique_ptr<plan::GeneratedCodeT>> EmulatedCode(std::span<const FusedWork> work);

// For all `fused` steps of a plan, in place of what the compiler made of them.
Status EmulateGenerated(plan::PlanT& plan);

}  // namespace gptc::simt

#endif  // GPTC_TESTS_SIMT_GENERATED_CODE_H_
