#include "runtime/exec/roofline.h"

#include <algorithm>

namespace gptc {

double Roofline::Seconds(const plan::EntryT& entry, const plan::StepT& step) const {
  const double gflops = bf16_gflops > 0 && ComputesIn(entry, step) == DType::kBF16 ? bf16_gflops : f32_gflops;
  const auto level = std::find_if(levels.begin(), levels.end() - 1,
                                  [&](const Level& each) { return step.bytes <= static_cast<double>(each.bytes); });
  double written = 0;
  for (uint32_t result : step.results) written += static_cast<double>(ByteCount(TypeOf(*entry.buffers[result])));
  const double read = std::max(0.0, step.bytes - written);
  return std::max({step.flops / gflops, read / level->read_gb_per_s,
                   step.bytes / std::max(level->read_gb_per_s, level->update_gb_per_s)}) /
         1e9;
}

}  // namespace gptc
