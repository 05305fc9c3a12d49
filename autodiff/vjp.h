// Gradient rules: one function an op, vector-Jacobian products that emit ops and nothing else
// (autodiff/rules/<family>.cc).
#ifndef GPTC_AUTODIFF_VJP_H_
#define GPTC_AUTODIFF_VJP_H_

#include <vector>

#include "ir/builder.h"

namespace gptc {

// What a rule sees: the forward op, through a builder that appends to the graph of the backward.
struct VjpContext {
  GraphBuilder& g;
  const std::vector<Tensor>& inputs;  // operands as given; a missing optional one is not there
  const std::vector<Tensor>& results;
  const std::vector<Tensor>& dresults;  // cotangent of each result; invalid where nothing reads that result
  const Attributes& attributes;

  Tensor input(size_t i) const { return inputs[i]; }
  bool has(size_t i) const { return i < inputs.size(); }
  Tensor result(size_t i = 0) const { return results[i]; }
  // Cotangent of the first result. The walk calls a rule only where one of them is valid. Of ops with auxiliary results
  // (statistics) only the first is differentiable, and the walk refuses the others: rules need not look.
  Tensor dy() const { return dresults[0]; }
};

// The cotangent of each operand, in order; an invalid tensor says "none" (an integer operand, say).
using Cotangents = std::vector<Tensor>;

#define OP_kVjp(symbol) Cotangents Vjp##symbol(const VjpContext& c);
#define OP_kNone(symbol)
#define OP(symbol, name, inputs, results, attributes, gradient, ...) OP_##gradient(symbol)
#include "ir/base/ops.def"
#undef OP
#undef OP_kVjp
#undef OP_kNone

using VjpRule = Cotangents (*)(const VjpContext&);
// Null where the op is not differentiable.
VjpRule VjpRuleOf(Op op);

}  // namespace gptc

#endif  // GPTC_AUTODIFF_VJP_H_
