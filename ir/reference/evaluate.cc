#include <algorithm>
#include <cmath>

#include "ir/base/check.h"
#include "ir/reference.h"

namespace gptc {
namespace {

using Rule = void (*)(const EvalContext&);
constexpr Rule kRules[] = {
#define OP(symbol, ...) Eval##symbol,
#include "ir/base/ops.def"
#undef OP
};

// Towards zero, to the nearest that there is; NaN gives 0.
double Integer(double value, double least, double most) {
  return std::isnan(value) ? 0 : std::trunc(std::clamp(value, least, most));
}

double Rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return value;
    case DType::kF32:
      return static_cast<float>(value);
    case DType::kBF16:
      return FloatFromBf16(Bf16FromFloat(static_cast<float>(value)));
    case DType::kF16:
      return FloatFromF16(F16FromFloat(static_cast<float>(value)));
    case DType::kI32:
      return Integer(value, -0x1p31, 0x1p31 - 1);
    case DType::kU16:
      return Integer(value, 0, 65535);
    case DType::kBool:
      return value != 0;
  }
  return value;
}

Status CheckTensor(std::string_view what, std::string_view name, const Type& expected, const HostTensor& given) {
  if (!IsStatic(expected.shape)) {
    return FailedPrecondition(what, " '", name, "' has dimensions without a size: bind them first");
  }
  if (given.type != expected) {
    return InvalidArgument(what, " '", name, "' is ", TypeText(expected), ", given is ", TypeText(given.type));
  }
  if (static_cast<int64_t>(given.data.size()) != ElementCount(expected.shape)) {
    return InvalidArgument(what, " '", name, "' has ", given.data.size(), " elements, not those of ",
                           TypeText(expected));
  }
  return OkStatus();
}

// The index of the last op that reads each value; ops.size() where an output or a store does; -1 where nothing does.
std::vector<int> LastUses(const Graph& graph) {
  std::vector<int> last(graph.value_count(), -1);
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    for (Value input : graph.ops[i].inputs) last[input.id] = static_cast<int>(i);
  }
  int end = static_cast<int>(graph.ops.size());
  for (const Output& output : graph.outputs) last[output.value.id] = end;
  for (const Store& store : graph.stores) last[store.value.id] = end;
  return last;
}

}  // namespace

void RoundToType(HostTensor& tensor) {
  for (double& value : tensor.data) value = Rounded(value, tensor.type.dtype);
}

std::vector<HostTensor> EvaluateOp(Op op, std::span<const HostTensor* const> inputs, const Attributes& attributes,
                                   std::span<const Type> result_types, Rounding rounding) {
  std::vector<HostTensor> results;
  for (const Type& type : result_types) results.emplace_back(type);
  kRules[static_cast<size_t>(op)]({inputs, attributes, results});
  for (HostTensor& result : results) {
    if (rounding == Rounding::kRounded || !IsFloat(result.type.dtype)) RoundToType(result);
  }
  return results;
}

StatusOr<std::vector<HostTensor>> Evaluate(const Module& module, const Graph& graph, std::span<const HostTensor> inputs,
                                           StateMap& states, Rounding rounding) {
  if (inputs.size() != graph.inputs.size()) {
    return InvalidArgument("graph '", graph.name, "' takes ", graph.inputs.size(), " inputs, not ", inputs.size());
  }
  // What each value is now: an input, a state, or a result in `owned`.
  std::vector<const HostTensor*> values(graph.value_count(), nullptr);
  std::vector<HostTensor> owned(graph.value_count());
  std::vector<int> last_use = LastUses(graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueInfo& info = graph.info(graph.inputs[i]);
    RETURN_IF_ERROR(CheckTensor("input", info.name, info.type, inputs[i]));
    values[graph.inputs[i].id] = &inputs[i];
  }
  for (int id = 0; id < graph.value_count(); ++id) {
    const ValueInfo& info = graph.info(Value{id});
    if (info.kind != ValueInfo::Kind::kState || last_use[id] < 0) continue;
    auto at = states.find(module.states[info.producer].name);
    if (at == states.end()) return NotFound("state '", module.states[info.producer].name, "' has no value");
    RETURN_IF_ERROR(CheckTensor("state", at->first, info.type, at->second));
    values[id] = &at->second;
  }

  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const OpNode& node = graph.ops[i];
    std::vector<const HostTensor*> operands;
    for (Value input : node.inputs) {
      operands.push_back(values[input.id]);
      CHECK(operands.back() != nullptr, "value ", graph.info(input).name, " is read before it is made");
    }
    std::vector<Type> types;
    for (Value result : node.results) {
      types.push_back(graph.type(result));
      if (IsStatic(types.back().shape)) continue;
      return FailedPrecondition("graph '", graph.name, "' has dimensions without a size: bind them first");
    }
    std::vector<HostTensor> results = EvaluateOp(node.op, operands, node.attributes, types, rounding);
    for (size_t r = 0; r < results.size(); ++r) {
      int id = node.results[r].id;
      if (last_use[id] < 0) continue;
      owned[id] = std::move(results[r]);
      values[id] = &owned[id];
    }
    for (Value input : node.inputs) {
      if (last_use[input.id] == static_cast<int>(i)) owned[input.id] = HostTensor();
    }
  }

  std::vector<HostTensor> outputs, stored;
  for (const Output& output : graph.outputs) outputs.push_back(*values[output.value.id]);
  // All are read before one is replaced: a graph may exchange two states.
  for (const Store& store : graph.stores) stored.push_back(*values[store.value.id]);
  for (size_t i = 0; i < stored.size(); ++i) {
    states[module.states[graph.stores[i].state].name] = std::move(stored[i]);
  }
  return outputs;
}

}  // namespace gptc
