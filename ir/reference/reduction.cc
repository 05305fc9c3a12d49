#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/reference/loops.h"

namespace gptc {
namespace {

// Folds every element of x into the result it belongs to; returns how many went into each.
template <typename F>
double Reduce(const EvalContext& c, double start, F f) {
  const HostTensor& x = c.input(0);
  // Strides of the result along x's axes: 0 along the reduced ones.
  Shape kept = x.type.shape;
  for (int64_t axis : c.attributes.Ints("axes")) kept[axis] = 1;
  Shape strides = BroadcastStrides(kept, x.type.shape);
  std::fill(c.result().data.begin(), c.result().data.end(), start);
  for (int64_t i = 0; i < SizeOf(x); ++i) {
    double& y = c.result().data[Offset(i, x.type.shape, strides)];
    y = f(y, x.data[i]);
  }
  double count = 1;
  for (int64_t axis : c.attributes.Ints("axes")) count *= static_cast<double>(x.type.shape[axis]);
  return count;
}

}  // namespace

void EvalSum(const EvalContext& c) {
  Reduce(c, 0, [](double y, double x) { return y + x; });
}

void EvalMean(const EvalContext& c) {
  double count = Reduce(c, 0, [](double y, double x) { return y + x; });
  for (double& y : c.result().data) y /= count;
}

// NaN where any element is NaN.
void EvalReduceMax(const EvalContext& c) {
  Reduce(c, -std::numeric_limits<double>::infinity(),
         [](double y, double x) { return x > y || std::isnan(x) ? x : y; });
}

}  // namespace gptc
