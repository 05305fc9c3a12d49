// The error of a kernel factory asked for types it has no kernel for.
#ifndef GPTC_RUNTIME_CPU_UNSUPPORTED_H_
#define GPTC_RUNTIME_CPU_UNSUPPORTED_H_

#include <string>
#include <string_view>

#include "runtime/exec/kernel.h"

namespace gptc {

// "add: no CPU kernel for (f16[3], f16[3]) -> (f16[3]); supported: f32, bf16, f64 or i32".
inline Status Unsupported(std::string_view op, const KernelArgs& args, std::string_view supported) {
  return NoKernel("CPU", op, args, supported);
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_UNSUPPORTED_H_
