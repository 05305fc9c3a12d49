// What the binders of CUDA's kernels share.
#ifndef GPTC_RUNTIME_CUDA_ARGUMENTS_H_
#define GPTC_RUNTIME_CUDA_ARGUMENTS_H_

#include <string_view>

#include "runtime/cuda/device.h"

namespace gptc {

// "add: no CUDA kernel for (f16[3], f16[3]) -> (f16[3]); supported: f32, bf16, f64 or i32".
inline Status UnsupportedOnCuda(std::string_view op, const KernelArgs& args, std::string_view supported) {
  const auto types = [](std::span<const TensorView> views) {
    return Join(views, ", ", [](const TensorView& view) { return TypeText(view.type); });
  };
  return absl::UnimplementedError(Cat(op, ": no CUDA kernel for (", types(args.inputs), ") -> (", types(args.results),
                                      "); supported: ", supported));
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_ARGUMENTS_H_
