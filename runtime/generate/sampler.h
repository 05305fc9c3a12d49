// Choosing the next token from logits: temperature, top-k, and top-p (nucleus sampling, Holtzman et al. 2020).
#ifndef GPTC_RUNTIME_GENERATE_SAMPLER_H_
#define GPTC_RUNTIME_GENERATE_SAMPLER_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

struct SamplerOptions {
  double temperature = 0.8;  // divides the logits; 0: always the most likely token
  int64_t top_k = 200;       // only the k most likely tokens; 0: all. 1 is greedy as well
  double top_p = 1;          // only the most likely tokens that together reach this probability; 1: all
  uint64_t seed = 1337;
};

// OutOfRange (a usage error) that names the flag: temperature must be finite and >= 0, top_k >= 0, top_p in (0, 1].
Status CheckSampler(const SamplerOptions& options);

class Sampler {
 public:
  // REQUIRES: CheckSampler(options) is ok.
  explicit Sampler(const SamplerOptions& options) : options_(options) {}

  // The token for place number `position` of a text. It depends on logits, options and position alone: the random
  // number is Philox of (seed, position). Top-k is applied first, then temperature, then top-p. Greedy takes the lowest
  // id among equals. Aborted where a logit is NaN or +infinity (the weights are damaged or diverged); -infinity is a
  // token that never comes.
  StatusOr<int32_t> Sample(std::span<const float> logits, int64_t position);

  // Uniform in [0, 1), of 53 bits: what Sample draws with.
  static double Uniform(uint64_t seed, int64_t position);

 private:
  int32_t Draw(double at) const;

  SamplerOptions options_;
  std::vector<std::pair<double, int32_t>> candidates_;  // (logit, then weight; id); kept to spare allocations
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_GENERATE_SAMPLER_H_
