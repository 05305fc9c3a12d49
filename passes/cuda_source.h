// CUDA C++ for a region of a `fused` op (ir/base/fused_region.h), one kernel for one region and the types of its
// operands: every size is a constant of the source.
//
// Two templates. Where every element is by itself, a thread takes 4 or 8 neighbours, or fewer where rows or operands
// ask for it. Where rows are reduced, a group of threads takes a row, a warp or, of long rows, a block; it goes over
// the row once for every reduction that needs the one before it, and once more for the results. The operands stay in
// registers meanwhile, where they fit, or are read again. Totals are summed by the same groups over a part of the rows
// each, f32, then a second function adds up the parts in order: the same bits in every run.
//
// Operands f32, bf16 and bool, arithmetic in f32. A result may lie over an operand of its type: what a thread writes it
// has read before.
#ifndef GPTC_PASSES_CUDA_SOURCE_H_
#define GPTC_PASSES_CUDA_SOURCE_H_

#include <span>
#include <string_view>

#include "ir/base/status.h"
#include "ir/base/type.h"
#include "runtime/plan/plan.h"

namespace gptc {

// Its source stands behind CudaPrelude(). Unimplemented, with the type, where the region holds other types.
StatusOr<plan::GeneratedKernelT> GenerateCudaKernel(std::string_view region, std::span<const Type> operands);

}  // namespace gptc

#endif  // GPTC_PASSES_CUDA_SOURCE_H_
