// Floating-point operations and bytes of each op: the one place that counts them.
#ifndef GPTC_PASSES_OPERATION_COUNTS_H_
#define GPTC_PASSES_OPERATION_COUNTS_H_

#include "ir/module.h"

namespace gptc {

struct OperationCount {
  double flops = 0;  // a multiply-add counts as two
  double bytes = 0;  // each operand read once, each result written once; of tables only the rows that are touched
};

// Of one run of `node`, an op of a bound graph. Products count exactly; elementwise ops and reductions count one
// operation for each element they go over, transcendental or not. Causal softmax counts the live half.
OperationCount CountOperations(const Graph& graph, const OpNode& node);

// Seconds at nominal rates, 200 GFLOP/s and 20 GB/s, whichever takes longer: to compare ops with one another. gptrun
// predicts times from its machine's ceilings.
double NominalSeconds(const OperationCount& count);

}  // namespace gptc

#endif  // GPTC_PASSES_OPERATION_COUNTS_H_
