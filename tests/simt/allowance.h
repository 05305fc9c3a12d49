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

// Whether the op is a product by the GPU's library. Such a result that lies over an operand may come from another
// algorithm, and so have other bits.
bool IsLibraryProduct(Op op);
// Of cuBLASLt beside the emulation's products, for IsLibraryProduct().
Allowance AllowanceOfProducts(const OpCase& op_case, const Attributes& attributes,
                              const std::vector<HostTensor>& inputs, const std::vector<Type>& results);

}  // namespace gptc

#endif  // GPTC_TESTS_SIMT_ALLOWANCE_H_
