#include "runtime/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/base/philox.h"

namespace gptc {
namespace {

// The most likely first, and among equals the lowest id.
bool Before(const std::pair<double, int32_t>& a, const std::pair<double, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

Status CheckSampler(const SamplerOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    return UsageError("--temperature ", options.temperature, ": must be 0 (greedy) or more");
  }
  if (options.top_k < 0) return UsageError("--top-k ", options.top_k, ": must be 0 (all tokens) or more");
  if (!(options.top_p > 0 && options.top_p <= 1))
    return UsageError("--top-p ", options.top_p, ": must be above 0 and at most 1");
  return OkStatus();
}

double Sampler::Uniform(uint64_t seed, int64_t position) {
  const uint64_t mixed = Mix64(seed), place = static_cast<uint64_t>(position);
  const PhiloxCounter words = Philox4x32({static_cast<uint32_t>(place), static_cast<uint32_t>(place >> 32), 0, 0},
                                         {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)});
  return static_cast<double>((uint64_t{words[1]} << 32 | words[0]) >> 11) * 0x1p-53;
}

StatusOr<int32_t> Sampler::Sample(std::span<const float> logits, int64_t position) {
  if (logits.empty()) return InvalidArgument("the model has no tokens to choose from");
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) {
      return absl::AbortedError(Cat("the model's output for token ", position, " is not finite (logit of id ", i,
                                    " is ", logits[i], "): its weights are damaged or training diverged"));
    }
    if (logits[i] > logits[best]) best = i;
  }
  // With every logit at -infinity there is no distribution; the first token stands for it.
  if (options_.temperature == 0 || options_.top_k == 1 || std::isinf(logits[best])) return static_cast<int32_t>(best);

  candidates_.clear();
  candidates_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(), Before);
    candidates_.resize(static_cast<size_t>(options_.top_k));
  }
  std::sort(candidates_.begin(), candidates_.end(), Before);
  const double most = logits[best];
  double total = 0;
  for (auto& [weight, id] : candidates_) total += weight = std::exp((weight - most) / options_.temperature);
  if (options_.top_p < 1) {
    double reached = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && reached < options_.top_p * total) reached += candidates_[kept++].first;
    candidates_.resize(kept);
    total = reached;
  }
  return Draw(Uniform(options_.seed, position) * total);
}

int32_t Sampler::Draw(double at) const {
  double passed = 0;
  for (const auto& [weight, id] : candidates_) {
    passed += weight;
    if (at < passed) return id;
  }
  return candidates_.front().second;  // only by rounding of the sum
}

}  // namespace gptc
