// The reference evaluator: every op in plain double-precision loops, written for reading. It is the oracle for kernels,
// passes and gradients, and shares no code with the fast kernels.
//   exact:   everything in double; finite differences; passes must agree to 1e-10
//   rounded: each op's results are rounded to their stated dtype
#ifndef GPTC_IR_REFERENCE_H_
#define GPTC_IR_REFERENCE_H_

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// Row-major elements as doubles, whatever the dtype (bool: 0 or 1; integers exact).
struct HostTensor {
  Type type;
  std::vector<double> data;

  HostTensor() = default;
  explicit HostTensor(Type t) : type(std::move(t)), data(ElementCount(type.shape)) {}
  HostTensor(Type t, std::vector<double> d) : type(std::move(t)), data(std::move(d)) {}
};

enum class Rounding { kExact, kRounded };

// Rounds every element to what the tensor's dtype can hold.
void RoundToType(HostTensor& tensor);

struct EvalContext {
  std::span<const HostTensor* const> inputs;
  const Attributes& attributes;
  std::vector<HostTensor>& results;  // types set, data zero

  const HostTensor& input(size_t i) const { return *inputs[i]; }
  bool has(size_t i) const { return i < inputs.size(); }
  HostTensor& result(size_t i = 0) const { return results[i]; }
};

#define OP(symbol, ...) void Eval##symbol(const EvalContext& c);
#include "ir/base/ops.def"
#undef OP

// One op. Types and attributes are valid (InferTypes passed), shapes static.
std::vector<HostTensor> EvaluateOp(Op op, std::span<const HostTensor* const> inputs, const Attributes& attributes,
                                   std::span<const Type> result_types, Rounding rounding);

// States by name, read at the start and, through a graph's stores, replaced at its end.
using StateMap = absl::flat_hash_map<std::string, HostTensor>;

// Runs a graph of a bound, verified module. `inputs` are in the order of graph.inputs; the results in that of
// graph.outputs. Errors: a state that the graph reads is missing in `states`, or an input has another type.
StatusOr<std::vector<HostTensor>> Evaluate(const Module& module, const Graph& graph, std::span<const HostTensor> inputs,
                                           StateMap& states, Rounding rounding = Rounding::kExact);

}  // namespace gptc

#endif  // GPTC_IR_REFERENCE_H_
