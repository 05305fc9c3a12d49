// The transpose of broadcasting, shared by every rule whose operands broadcast.
//
// Shapes come by value: Tensor::shape() refers into the graph's values, which move when an op is added.
#ifndef GPTC_AUTODIFF_RULES_UNBROADCAST_H_
#define GPTC_AUTODIFF_RULES_UNBROADCAST_H_

#include "ir/builder.h"

namespace gptc {

// The cotangent of an operand of shape `shape` that was broadcast, as in NumPy, to the shape of dy: the sum of dy over
// the axes that were added in front and those of size 1 that were stretched. dy itself where nothing was broadcast.
Tensor Unbroadcast(GraphBuilder& g, Tensor dy, Shape shape);

// dy (of a reduction over `axes` of a tensor of shape `shape`) with the reduced axes put back as 1, whether they were
// kept or not.
Tensor KeepReducedAxes(GraphBuilder& g, Tensor dy, Shape shape, const std::vector<int64_t>& axes);

// A scalar of x's element type; the elementwise ops broadcast it.
Tensor ScalarLike(GraphBuilder& g, Tensor x, double value);

}  // namespace gptc

#endif  // GPTC_AUTODIFF_RULES_UNBROADCAST_H_
