// What the binders of CUDA's kernels share.
#ifndef GPTC_RUNTIME_CUDA_ARGUMENTS_H_
#define GPTC_RUNTIME_CUDA_ARGUMENTS_H_

#include <string_view>

#include "runtime/cuda/device.h"

namespace gptc {

// "add: no CUDA kernel for (f16[3], f16[3]) -> (f16[3]); supported: f32, bf16, f64 or i32".
inline Status UnsupportedOnCuda(std::string_view op, const KernelArgs& args, std::string_view supported) {
  return NoKernel("CUDA", op, args, supported);
}

// Bytes of shared memory that one block can have ("Technical Specifications per Compute Capability" of the CUDA C++
// Programming Guide).
inline size_t MostSharedBytes(int sm) {
  if (sm == 80 || sm == 87) return 163 << 10;
  return (sm >= 90 && sm < 120 ? 227 : 99) << 10;
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_ARGUMENTS_H_
