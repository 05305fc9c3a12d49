#include <algorithm>
#include <cmath>

#include "ir/base/check.h"
#include "ir/reference/loops.h"

namespace gptc {
namespace {

// -1: the row is ignored. A caller sees to it that no target is past the classes.
int64_t TargetOf(const EvalContext& c, int64_t row) {
  int64_t target = static_cast<int64_t>(c.input(1).data[row]);
  CHECK(target < c.attributes.Int("classes"), "cross_entropy: target ", target);
  return target < 0 ? -1 : target;
}

}  // namespace

// lse = log of the sum of exp over the classes, loss = lse - logits[target].
void EvalCrossEntropy(const EvalContext& c) {
  const HostTensor& logits = c.input(0);
  int64_t classes = c.attributes.Int("classes");
  for (int64_t row = 0; row < RowCountOf(logits); ++row) {
    const double* values = logits.data.data() + row * WidthOf(logits);
    double highest = *std::max_element(values, values + classes), sum = 0;
    for (int64_t j = 0; j < classes; ++j) sum += std::exp(values[j] - highest);
    double lse = highest + std::log(sum);
    int64_t target = TargetOf(c, row);
    c.result(0).data[row] = target < 0 ? 0 : lse - values[target];
    c.result(1).data[row] = lse;
  }
}

// dlogits = (softmax - one-hot)·dloss; 0 past the classes and in ignored rows.
void EvalCrossEntropyBackward(const EvalContext& c) {
  const HostTensor &logits = c.input(0), &lse = c.input(2), &dlosses = c.input(3);
  for (int64_t row = 0; row < RowCountOf(logits); ++row) {
    int64_t target = TargetOf(c, row);
    if (target < 0) continue;
    for (int64_t j = 0; j < c.attributes.Int("classes"); ++j) {
      int64_t place = row * WidthOf(logits) + j;
      double probability = std::exp(logits.data[place] - lse.data[row]);
      c.result().data[place] = (probability - (j == target ? 1 : 0)) * dlosses.data[row];
    }
  }
}

// losses and, for each row's cotangent, dlogits: what the two ops above give.
void EvalCrossEntropyGradient(const EvalContext& c) {
  const HostTensor &logits = c.input(0), &dlosses = c.input(2);
  const int64_t classes = c.attributes.Int("classes");
  for (int64_t row = 0; row < RowCountOf(logits); ++row) {
    const int64_t target = TargetOf(c, row), first = row * WidthOf(logits);
    if (target < 0) continue;
    const double* values = logits.data.data() + first;
    const double highest = *std::max_element(values, values + classes);
    double sum = 0;
    for (int64_t j = 0; j < classes; ++j) sum += std::exp(values[j] - highest);
    c.result(0).data[row] = highest + std::log(sum) - values[target];
    for (int64_t j = 0; j < classes; ++j) {
      const double probability = std::exp(values[j] - highest) / sum;
      c.result(1).data[first + j] = (probability - (j == target ? 1 : 0)) * dlosses.data[row];
    }
  }
}

}  // namespace gptc
