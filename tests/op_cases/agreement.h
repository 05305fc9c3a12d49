// What the tests of every device's kernels share: tensors as bytes and back, the ways in which results may lie over
// operands, and what counts as the reference's result.
#ifndef GPTC_TESTS_OP_CASES_AGREEMENT_H_
#define GPTC_TESTS_OP_CASES_AGREEMENT_H_

#include <span>
#include <string>
#include <vector>

#include "ir/base/op_table.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

using Bytes = std::vector<unsigned char>;

// As it lies in memory, and read from there.
Bytes Encoded(const HostTensor& tensor);
HostTensor Decoded(const Type& type, const void* from);

// The arrangements in which results lie over operands: each permitted pair alone, and every result over its first
// choice. Each says for every result in which input's memory it lies, or -1.
std::vector<std::vector<int>> Sharings(const OpInfo& info, const std::vector<Type>& inputs,
                                       const std::vector<Type>& results);

// What a device's results may be off by besides, because it computes in narrower types: absolute, for every element of
// every result; empty where a result has nothing of the kind.
using Allowance = std::vector<std::vector<double>>;

// Of attention that rounds weights and gradients of scores to bf16, as operands of its products of bf16; nothing for
// other ops and types.
Allowance AllowanceOfBf16Attention(const OpCase& op_case, const std::vector<Type>& results);

// Where results are further from the wanted ones than a kernel may be: a line for each of the first few elements.
std::vector<std::string> Differences(const OpCase& op_case, const std::vector<HostTensor>& wanted,
                                     std::span<const Bytes> results, const Allowance& allowance = {});

// Letters, digits and _ alone, with the case's number among AllOpCases().
std::string TestName(size_t index);
// The numbers of the cases for which `applies`.
std::vector<size_t> CasesWhere(bool (*applies)(const OpCase&));
bool HasKernel(const OpCase& op_case);

}  // namespace gptc

#endif  // GPTC_TESTS_OP_CASES_AGREEMENT_H_
