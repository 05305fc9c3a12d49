// The ops of a `fused` region as expressions of CUDA C++, with the functions of CudaPrelude().
#ifndef GPTC_PASSES_CUDA_EXPRESSION_H_
#define GPTC_PASSES_CUDA_EXPRESSION_H_

#include <span>
#include <string>

#include "ir/base/fused_region.h"

namespace gptc {

// A name or a literal, of a float or of a bool.
struct CudaValue {
  std::string text;
  bool boolean = false;
};

std::string FloatLiteral(double value);
std::string AsFloat(const CudaValue& value);
std::string AsBool(const CudaValue& value);

// Of one element. The ops are those that have one: no reductions, no constants. `boolean`: the result's type.
std::string CudaExpression(const FusedInstruction& instruction, std::span<const CudaValue> operands, bool boolean);

}  // namespace gptc

#endif  // GPTC_PASSES_CUDA_EXPRESSION_H_
