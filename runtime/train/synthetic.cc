#include "runtime/train/synthetic.h"

#include <algorithm>
#include <utility>

#include "ir/base/philox.h"
#include "ir/base/scalars.h"

namespace gptc {
namespace {

// An id for element `i` of the input `name`.
int64_t SyntheticId(const std::string& name, const TensorView& view, int64_t i, int64_t vocab) {
  if (name == "tokens" || name == "targets") {
    const uint64_t drawn = Mix64(static_cast<uint64_t>(i) + (name == "targets" ? 1 : 0));
    return static_cast<int64_t>(drawn % static_cast<uint64_t>(vocab));
  }
  if (name == "positions") return i % view.dim(-1);
  return name == "slots" ? i : 0;
}

}  // namespace

void FillSyntheticInputs(const plan::PlanT& plan, const BoundEntry& entry) {
  const int64_t vocab = std::max<int64_t>(1, ConfigInt(plan, "vocab", 1));
  for (const auto& port : entry.plan().inputs) {
    const TensorView view = entry.input(port->name);
    for (int64_t i = 0; i < view.count(); ++i) {
      if (view.type.dtype == DType::kI32) {
        view.as<int32_t>()[i] = static_cast<int32_t>(SyntheticId(port->name, view, i, vocab));
      } else if (view.type.dtype == DType::kF32) {
        view.as<float>()[i] =
            static_cast<float>(static_cast<double>(Mix64(static_cast<uint64_t>(i)) >> 11) * 0x1p-52 - 1);
      }
    }
  }
}

void SetSyntheticScalars(Executor& executor) {
  const std::pair<Scalar, double> values[] = {
      {kLearningRate, 1e-5}, {kBeta1, 0.9}, {kBeta2, 0.95},     {kEpsilon, 1e-8},
      {kWeightDecay, 0.1},   {kClip, 1},    {kStep, 1},         {kInverseTokens, 1e-3},
      {kLossScale, 1},       {kSeed, 1},    {kFirstSequence, 0}};
  for (const auto& [scalar, value] : values) executor.SetScalar(scalar, value);
}

}  // namespace gptc
