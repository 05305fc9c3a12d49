#include "runtime/train/initialize.h"

#include <xxhash.h>

#include <algorithm>

#include "ir/base/check.h"
#include "ir/base/philox.h"
#include "runtime/cpu/normal.h"

namespace gptc {
namespace {

// A stream of random numbers for each parameter of each seed. The number tells initial weights from the seed's other
// uses; docs/decisions.md says how it came to be this one.
PhiloxKey KeyOf(uint64_t seed, const std::string& name) {
  constexpr uint64_t kInitialWeights = 4;
  uint64_t mixed = XXH3_64bits_withSeed(name.data(), name.size(), Mix64(seed) + kInitialWeights);
  return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

}  // namespace

Status InitializeParameters(Executor& executor, uint64_t seed) {
  const plan::PlanT& plan = executor.plan();
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const plan::StateT& state = *plan.states[i];
    if (state.kind != plan::StateKind::Parameter) continue;
    RETURN_IF_ERROR(executor.WriteState(static_cast<int>(i), [&](const TensorView& view) {
      CHECK(view.type.dtype == DType::kF32, state.name, " is not f32");
      int64_t count = view.count();
      if (state.logical_rows >= 0 && view.dim(0) > 0) count = count / view.dim(0) * state.logical_rows;
      float* data = view.as<float>();
      if (state.init == plan::InitKind::Normal) {
        FillNormal(data, count, static_cast<float>(state.stddev), KeyOf(seed, state.name));
      } else {
        std::fill_n(data, count, state.init == plan::InitKind::Ones ? 1.0f : 0.0f);
      }
      std::fill(data + count, data + view.count(), 0.0f);
      return OkStatus();
    }));
  }
  return OkStatus();
}

}  // namespace gptc
