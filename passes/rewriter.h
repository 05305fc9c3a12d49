// Rebuilds a graph op by op: take the old list, walk it, keep ops or emit others in their place, redirect values,
// finish.
//
//   Rewriter rewriter(module, graph);
//   for (OpNode& node : rewriter.TakeOps()) {
//     if (matches) rewriter.Replace(node.results[0], rewriter.builder(node).Gelu(...).value);
//     else rewriter.Keep(std::move(node));
//   }
//   RETURN_IF_ERROR(rewriter.Finish());
#ifndef GPTC_PASSES_REWRITER_H_
#define GPTC_PASSES_REWRITER_H_

#include <vector>

#include "ir/builder.h"

namespace gptc {

class Rewriter {
 public:
  Rewriter(Module& module, Graph& graph) : graph_(graph), builder_(module, graph) {}

  // The graph's ops, which then has none. Operands of each must go through Resolve before they are looked at; Keep does
  // it.
  std::vector<OpNode> TakeOps();
  void ResolveInputs(OpNode& node) const;
  // Appends the op as it is (operands resolved). Its index in the new list.
  int Keep(OpNode node);
  // From now on readers of `from` read `to`.
  void Replace(Value from, Value to);
  Value Resolve(Value value) const;

  // The op of the new list that defines `value`, or null (inputs, states).
  OpNode* Producer(Value value);

  // Emits ops with the location of `origin`.
  GraphBuilder& BuilderFor(const OpNode& origin);
  Tensor Wrap(Value value) { return {&builder_, value}; }

  // Redirects outputs and stores, drops what nothing mentions, returns the first error of the builder.
  Status Finish();

 private:
  Graph& graph_;
  GraphBuilder builder_;
  std::vector<Value> replacement_;  // by value id; invalid: itself
};

}  // namespace gptc

#endif  // GPTC_PASSES_REWRITER_H_
