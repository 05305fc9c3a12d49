// What results of the CUDA backend may be off by where it is not f32 arithmetic that rounds
// (tests/op_cases/agreement.h).
#ifndef GPTC_TESTS_SIMT_ALLOWANCE_H_
#define GPTC_TESTS_SIMT_ALLOWANCE_H_

#include <vector>

#include "ir/base/attributes.h"
#include "tests/op_cases/agreement.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

// Of kernels of ours: attention on tensor cores.
Allowance AllowanceOnCuda(const OpCase& op_case, const Attributes& attributes, const std::vector<Type>& results);

}  // namespace gptc

#endif  // GPTC_TESTS_SIMT_ALLOWANCE_H_
