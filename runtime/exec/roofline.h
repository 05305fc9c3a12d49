// Predicted milliseconds: the roofline (Williams, Waterman, Patterson 2009) of a device over the plan's counts. The
// compiler counts operations and bytes, each device measures what it can do.
#ifndef GPTC_RUNTIME_EXEC_ROOFLINE_H_
#define GPTC_RUNTIME_EXEC_ROOFLINE_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/plan.h"

namespace gptc {

struct Roofline {
  // Bandwidth of data sets up to this size: of reading alone, and of reading and writing together.
  struct Level {
    int64_t bytes;
    double read_gb_per_s, update_gb_per_s;
  };

  double f32_gflops = 0, bf16_gflops = 0;  // bf16: 0 where the plan computes nothing in it, or this device cannot
  std::vector<Level> levels;               // the last one is for everything larger

  // No kernel can be faster: max(operations / products' ceiling of its type, bytes / bandwidth of that many bytes),
  // where bytes that are read and all bytes have a bandwidth each.
  double Seconds(const plan::EntryT& entry, const plan::StepT& step) const;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_ROOFLINE_H_
