#include "runtime/train/initialize.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ir/base/check.h"
#include "ir/base/philox.h"

namespace gptc {
namespace {

// Four normals of one Philox block: words (0, 1) and (2, 3) each make a pair. The first word of a pair is taken from
// (0, 1], so that its logarithm is finite (Box & Muller 1958).
void NormalBlock(PhiloxCounter counter, PhiloxKey key, float stddev, float* out, int64_t count) {
  PhiloxCounter words = Philox4x32(counter, key);
  float values[4];
  for (int pair = 0; pair < 2; ++pair) {
    float u = (static_cast<float>(words[2 * pair] >> 8) + 1) * 0x1p-24f;
    float angle = static_cast<float>(words[2 * pair + 1]) * (0x1p-31f * std::numbers::pi_v<float>);
    float radius = stddev * std::sqrt(-2 * std::log(u));
    values[2 * pair] = radius * std::cos(angle);
    values[2 * pair + 1] = radius * std::sin(angle);
  }
  for (int64_t i = 0; i < count; ++i) out[i] = values[i];
}

void FillNormal(float* data, int64_t count, float stddev, uint64_t seed, const std::string& name) {
  uint64_t mixed = Mix64(Mix64(seed) ^ XXH3_64bits(name.data(), name.size()));
  PhiloxKey key = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
  int64_t blocks = (count + 3) / 4;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < blocks; ++block) {
    PhiloxCounter counter = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0};
    NormalBlock(counter, key, stddev, data + 4 * block, std::min<int64_t>(4, count - 4 * block));
  }
}

}  // namespace

void InitializeParameters(Executor& executor, uint64_t seed) {
  const plan::PlanT& plan = executor.plan();
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const plan::StateT& state = *plan.states[i];
    if (state.kind != plan::StateKind::Parameter) continue;
    TensorView view = executor.state(static_cast<int>(i));
    CHECK(view.type.dtype == DType::kF32, state.name, " is not f32");
    int64_t count = view.count();
    if (state.logical_rows >= 0 && view.dim(0) > 0) count = count / view.dim(0) * state.logical_rows;
    float* data = view.as<float>();
    if (state.init == plan::InitKind::Normal) {
      FillNormal(data, count, static_cast<float>(state.stddev), seed, state.name);
    } else {
      std::fill_n(data, count, state.init == plan::InitKind::Ones ? 1.0f : 0.0f);
    }
    std::fill(data + count, data + view.count(), 0.0f);
  }
}

}  // namespace gptc
