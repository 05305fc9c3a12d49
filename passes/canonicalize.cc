#include "passes/canonicalize.h"

#include <numeric>

#include "passes/rewriter.h"

namespace gptc {
namespace {

class Canonicalizer {
 public:
  Canonicalizer(Rewriter& rewriter, const Graph& graph) : rewriter_(rewriter), graph_(graph) {}

  // What stands for the op's only result from now on; invalid: the op stays.
  Value Simplify(const OpNode& node) {
    switch (node.op) {
      case Op::kSoftmax:
        return Softmax(node);
      case Op::kReshape:
        return Reshape(node);
      case Op::kTranspose:
        return Transpose(node);
      case Op::kBroadcast:
      case Op::kCast:
      case Op::kSlice:
      case Op::kPad:
        return SameType(node) ? node.inputs[0] : Value{};
      case Op::kConcat:
        return node.inputs.size() == 1 ? node.inputs[0] : Value{};
      case Op::kSplit:
        return node.results.size() == 1 ? node.inputs[0] : Value{};
      case Op::kSum:
      case Op::kMean:
      case Op::kReduceMax:
        return node.attributes.Ints("axes").empty() ? node.inputs[0] : Value{};
      case Op::kAdd:
        return Neutral(node, 0, /*commutes=*/true);
      case Op::kSub:
        return Neutral(node, 0, false);
      case Op::kMul:
        return Neutral(node, 1, true);
      case Op::kDiv:
        return Neutral(node, 1, false);
      case Op::kNeg:
      case Op::kCopy: {
        const OpNode* inner = rewriter_.Producer(node.inputs[0]);
        if (inner == nullptr || inner->op != node.op) return {};
        return node.op == Op::kNeg ? inner->inputs[0] : inner->results[0];
      }
      default:
        return {};
    }
  }

 private:
  bool SameType(const OpNode& node) const { return graph_.type(node.inputs[0]) == graph_.type(node.results[0]); }

  Value Softmax(const OpNode& node) {
    const OpNode* mask = rewriter_.Producer(node.inputs[0]);
    if (mask == nullptr || mask->op != Op::kCausalMask) return {};
    Value scores = mask->inputs[0];
    return rewriter_.BuilderFor(node).Softmax(rewriter_.Wrap(scores), /*causal=*/true).value;
  }

  Value Reshape(const OpNode& node) {
    if (SameType(node)) return node.inputs[0];
    const OpNode* inner = rewriter_.Producer(node.inputs[0]);
    if (inner == nullptr || inner->op != Op::kReshape) return {};
    Value source = inner->inputs[0];
    if (graph_.type(source) == graph_.type(node.results[0])) return source;
    return rewriter_.BuilderFor(node).Reshape(rewriter_.Wrap(source), node.attributes.Ints("shape")).value;
  }

  Value Transpose(const OpNode& node) {
    const std::vector<int64_t>& outer = node.attributes.Ints("permutation");
    std::vector<int64_t> identity(outer.size());
    std::iota(identity.begin(), identity.end(), 0);
    if (outer == identity) return node.inputs[0];
    const OpNode* inner = rewriter_.Producer(node.inputs[0]);
    if (inner == nullptr || inner->op != Op::kTranspose) return {};
    Value source = inner->inputs[0];
    std::vector<int64_t> both(outer.size());
    for (size_t i = 0; i < outer.size(); ++i) both[i] = inner->attributes.Ints("permutation")[outer[i]];
    if (both == identity) return source;
    return rewriter_.BuilderFor(node).Transpose(rewriter_.Wrap(source), both).value;
  }

  bool IsConstant(Value value, double number) {
    const OpNode* producer = rewriter_.Producer(value);
    return producer != nullptr && producer->op == Op::kConstant && producer->attributes.Double("value") == number;
  }

  Value Neutral(const OpNode& node, double neutral, bool commutes) {
    for (int side = 0; side < (commutes ? 2 : 1); ++side) {
      Value kept = node.inputs[side], other = node.inputs[1 - side];
      if (IsConstant(other, neutral) && graph_.type(kept) == graph_.type(node.results[0])) return kept;
    }
    return {};
  }

  Rewriter& rewriter_;
  const Graph& graph_;
};

}  // namespace

Status Canonicalize(Module& module, PassContext& context) {
  for (Graph& graph : module.graphs) {
    Rewriter rewriter(module, graph);
    Canonicalizer canonicalizer(rewriter, graph);
    for (OpNode& node : rewriter.TakeOps()) {
      rewriter.ResolveInputs(node);
      Value simpler = canonicalizer.Simplify(node);
      if (!simpler.valid()) {
        rewriter.Keep(std::move(node));
        continue;
      }
      rewriter.Replace(node.results[0], simpler);
      context.Done(node.location, Cat(graph.name, ": ", NameOf(node.op), " simplified"));
    }
    RETURN_IF_ERROR(rewriter.Finish());
  }
  return OkStatus();
}

}  // namespace gptc
