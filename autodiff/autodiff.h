// Reverse-mode differentiation: one walk over a graph's ops, last to first, that asks the rules (vjp.h) what to emit.
#ifndef GPTC_AUTODIFF_AUTODIFF_H_
#define GPTC_AUTODIFF_AUTODIFF_H_

#include <span>
#include <vector>

#include "ir/base/status.h"
#include "ir/builder.h"

namespace gptc {

// Appends to g's graph the backward of `loss`, and returns the cotangent of each of `wrt`, in order: of the same type
// as that value, or an invalid tensor where loss does not depend on it. A value of `wrt` may stand anywhere in the
// graph (a state, an input, an intermediate result) and may be the loss.
//
// `seed` is the cotangent of loss, of its type, and makes this a vector-Jacobian product of a loss of any shape.
// Without one loss must be a scalar, and the seed is 1.
//
// Only what the cotangents need is emitted. The ops carry their forward op's location; afterwards the builder has none
// set.
//
// The path from wrt to loss runs through floating-point values only: a comparison or a cast to an integer ends it.
// Errors: unbound dimensions; a loss or a wrt that is not floating-point; an op on the path that has no gradient, or
// none for that operand or result (named, with its location); the builder's own first error.
StatusOr<std::vector<Tensor>> AppendBackward(GraphBuilder& g, Tensor loss, std::span<const Tensor> wrt,
                                             Tensor seed = {});

}  // namespace gptc

#endif  // GPTC_AUTODIFF_AUTODIFF_H_
