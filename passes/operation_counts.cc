#include "passes/operation_counts.h"

#include <algorithm>

#include "ir/base/adamw_group.h"
#include "ir/base/check.h"
#include "ir/base/fused_region.h"

namespace gptc {
namespace {

constexpr double kAdamWFlops = 14;  // of an element

double Elements(const Graph& graph, Value value) { return static_cast<double>(ElementCount(graph.type(value).shape)); }

// Moves data and computes nothing.
bool IsFree(Op op) {
  return InfoOf(op).family == "movement" || op == Op::kConstant || op == Op::kIota || op == Op::kCopy ||
         op == Op::kPack || op == Op::kCacheUpdate;
}

double Flops(const Graph& graph, const OpNode& node) {
  double result = node.results.empty() ? 0 : Elements(graph, node.results[0]);
  const std::string& family = InfoOf(node.op).family;
  if (IsFree(node.op)) return 0;
  switch (node.op) {
    case Op::kMatMul: {
      const Shape& a = graph.type(node.inputs[0]).shape;
      double inner = static_cast<double>(a[a.size() - (node.attributes.Bool("transpose_a") ? 2 : 1)]);
      return 2 * result * inner + (node.inputs.size() > 2 ? result : 0);
    }
    case Op::kLinear:
    case Op::kLinearResidual:
    case Op::kLinearRelu:
    case Op::kLinearGelu:
    case Op::kLinearGeluSaved:
    case Op::kLinearGeluBackward:  // a sum and an activation are some operations an element, beside 2·in
      return 2 * result * static_cast<double>(graph.type(node.inputs[0]).shape.back()) +
             (node.inputs.size() > 2 ? result : 0);
    case Op::kLinearWeightGradient:
      return 2 * result * static_cast<double>(graph.type(node.inputs[0]).shape[0]) + Elements(graph, node.inputs[1]) +
             (node.inputs.size() > 2 ? result : 0);
    case Op::kCachedAttention: {
      double keys = static_cast<double>(graph.type(node.inputs[1]).shape[1]);
      return 4 * result * keys;
    }
    case Op::kFlashAttention:
    case Op::kFlashAttentionBackward: {  // two products, or five; five or nine operations for each of the weights
      const bool forward = node.op == Op::kFlashAttention;
      const Shape& qkv = graph.type(node.inputs[forward ? 0 : 1]).shape;
      const double tokens = static_cast<double>(qkv[1]), rows = static_cast<double>(qkv[0]) * tokens;
      const double width = static_cast<double>(qkv[2] / 3), heads = static_cast<double>(node.attributes.Int("heads"));
      const double whole = rows * tokens * (width * (forward ? 4 : 10) + heads * (forward ? 5 : 9));
      return node.attributes.Bool("causal") ? whole / 2 : whole;
    }
    case Op::kFused: {  // what its ops would be one by one
      std::vector<Type> inputs;
      for (Value input : node.inputs) inputs.push_back(graph.type(input));
      const auto region = ParseFusedRegion(node.attributes.Str("region"), static_cast<int>(inputs.size()));
      CHECK_OK(region.status());
      const auto types = InferFusedRegion(*region, inputs);
      CHECK_OK(types.status());
      double flops = 0;
      for (size_t i = 0; i < region->code.size(); ++i) {
        const FusedInstruction& instruction = region->code[i];
        if (IsFree(instruction.op)) continue;
        double most = static_cast<double>(ElementCount(types->values[region->ValueOf(i)].shape));
        for (int operand : instruction.operands)
          most = std::max(most, static_cast<double>(ElementCount(types->values[operand].shape)));
        flops += most;
      }
      return flops;
    }
    case Op::kEmbedding:
      return 0;
    case Op::kEmbeddingBackward:
      return Elements(graph, node.inputs[1]);
    default:
      break;
  }
  double most = result;
  for (Value input : node.inputs) most = std::max(most, Elements(graph, input));
  if (node.op == Op::kGlobalNorm) {
    most = 0;
    for (Value input : node.inputs) most += 2 * Elements(graph, input);
    return most;
  }
  if (node.op == Op::kAdamWGroup) {
    double parameters = 0;
    for (const AdamWGroupMember& member : AdamWGroupMembers(node.attributes)) {
      parameters += Elements(graph, node.results[member.new_param]);
    }
    return kAdamWFlops * parameters;
  }
  double per_element = 1;
  if (family == "norm") {
    const bool backward = node.op == Op::kLayerNormBackward || node.op == Op::kRmsNormBackward;
    const bool residual = node.op == Op::kResidualLayerNorm || node.op == Op::kResidualRmsNorm;
    per_element = backward ? 16 : residual ? 9 : 8;
  }
  if (node.op == Op::kSoftmax || node.op == Op::kSoftmaxBackward)
    per_element = node.attributes.Bool("causal") ? 2.5 : 5;
  if (node.op == Op::kAdamW) per_element = kAdamWFlops;
  if (family == "loss") per_element = node.op == Op::kCrossEntropyGradient ? 8 : 4;
  return per_element * most;
}

}  // namespace

OperationCount CountOperations(const Graph& graph, const OpNode& node) {
  if (InfoOf(node.op).execution == Execution::kView) return {};
  OperationCount count;
  count.flops = Flops(graph, node);
  for (Value result : node.results) count.bytes += static_cast<double>(ByteCount(graph.type(result)));
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    // A look-up or a slice reads the rows that it gives.
    const bool rows_alone = (node.op == Op::kEmbedding || node.op == Op::kSlice) && i == 0;
    const bool updated = (node.op == Op::kCacheUpdate && i == 0) || (node.op == Op::kEmbeddingBackward && i == 2);
    if (updated) {  // written over: of the whole only the rows that change are touched, once to read and once to write
      count.bytes -= static_cast<double>(ByteCount(graph.type(node.results[0])));
      if (node.op == Op::kEmbeddingBackward)
        count.bytes += 2 * static_cast<double>(ByteCount(graph.type(node.inputs[1])));
      continue;
    }
    Value counted = rows_alone ? node.results[0] : node.inputs[i];
    count.bytes += static_cast<double>(ByteCount(graph.type(counted)));
  }
  return count;
}

double NominalSeconds(const OperationCount& count) { return std::max(count.flops / 200e9, count.bytes / 20e9); }

}  // namespace gptc
