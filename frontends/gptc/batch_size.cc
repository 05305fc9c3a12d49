#include "frontends/gptc/batch_size.h"

#include <algorithm>
#include <map>
#include <utility>

namespace gptc {

StatusOr<BatchAdvice> LargestBatch(const Module& module, CompileOptions options, int64_t most_batch) {
  const int64_t budget = options.memory_budget;
  options.memory_budget = 1;  // which nothing meets: the passes do what they can
  options.instrument = {};
  options.generate = false;
  std::map<int64_t, int64_t> taken;
  auto bytes = [&](int64_t batch) -> StatusOr<int64_t> {
    if (auto known = taken.find(batch); known != taken.end()) return known->second;
    for (auto& [name, size] : options.dimensions) {
      if (name == "B") size = batch;
    }
    ASSIGN_OR_RETURN(const Compilation compilation, Compile(module, options));
    return taken[batch] = compilation.peak_bytes;
  };
  BatchAdvice advice;
  ASSIGN_OR_RETURN(advice.bytes, bytes(1));
  advice.next = advice.bytes;
  if (advice.bytes > budget) return advice;
  int64_t fits = 1, fails = most_batch + 1;
  for (int64_t guess = 2; fits + 1 < fails;) {
    // Where a straight line from 1 through the last guess meets the budget; it starts too flat where other graphs than
    // the micro-step hold the peak.
    guess = std::clamp(guess, fits + 1, std::min(fails - 1, 8 * fits));
    ASSIGN_OR_RETURN(const int64_t need, bytes(guess));
    (need <= budget ? fits : fails) = guess;
    const double each = static_cast<double>(need - advice.bytes) / static_cast<double>(guess - 1);
    const double at = 1 + static_cast<double>(budget - advice.bytes) / std::max(1.0, each);
    guess = static_cast<int64_t>(std::min(at, static_cast<double>(most_batch)));
  }
  advice.batch = fits;
  ASSIGN_OR_RETURN(advice.bytes, bytes(fits));
  advice.next = 0;
  if (fails <= most_batch) {
    ASSIGN_OR_RETURN(advice.next, bytes(fails));
  }
  return advice;
}

}  // namespace gptc
