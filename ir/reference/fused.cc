// The region's ops one after another, each by its own rule.
#include "ir/base/check.h"
#include "ir/base/fused_region.h"
#include "ir/reference.h"

namespace gptc {

void EvalFused(const EvalContext& c) {
  std::vector<Type> inputs;
  std::vector<const HostTensor*> values;
  for (const HostTensor* input : c.inputs) {
    inputs.push_back(input->type);
    values.push_back(input);
  }
  const auto region = ParseFusedRegion(c.attributes.Str("region"), static_cast<int>(inputs.size()));
  CHECK_OK(region.status());
  const auto types = InferFusedRegion(*region, inputs);
  CHECK_OK(types.status());
  std::vector<HostTensor> made(region->code.size());
  for (size_t i = 0; i < made.size(); ++i) {
    const FusedInstruction& instruction = region->code[i];
    std::vector<const HostTensor*> operands;
    for (int value : instruction.operands) operands.push_back(values[value]);
    const Type type = types->values[region->ValueOf(i)];
    made[i] = std::move(
        EvaluateOp(instruction.op, operands, instruction.attributes, std::span(&type, 1), Rounding::kExact)[0]);
    values.push_back(&made[i]);
  }
  for (size_t r = 0; r < c.results.size(); ++r) c.result(r).data = values[region->results[r]]->data;
}

}  // namespace gptc
