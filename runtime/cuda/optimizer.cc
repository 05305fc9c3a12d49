#include "runtime/cuda/optimizer.cuh"

#include <algorithm>
#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {

StatusOr<BoundKernel> BindCudaGlobalNorm(const KernelArgs& args) {
  std::vector<cuda::NormTensor> tensors;
  for (const TensorView& grad : args.inputs) {
    const DType dtype = grad.type.dtype;
    if ((dtype != DType::kF32 && dtype != DType::kBF16) || args.result().type.dtype != DType::kF32) {
      return UnsupportedOnCuda("global_norm", args, "f32 or bf16 gradients, an f32 norm");
    }
    tensors.push_back({grad.data, grad.count(), dtype == DType::kBF16});
  }
  args.scratch.Request(static_cast<size_t>(cuda::NormChunks(tensors)) * sizeof(double));
  return BoundKernel(
      [stream = CudaDeviceOf(args).stream(), tensors = std::move(tensors), norm = args.result().as<float>(),
       scratch = &args.scratch] { cuda::GlobalNorm(stream, tensors, norm, static_cast<double*>(scratch->data())); });
}

StatusOr<BoundKernel> BindCudaAdamW(const KernelArgs& args) {
  const auto f32 = [](const TensorView& view) { return view.type.dtype == DType::kF32; };
  if (!std::all_of(args.inputs.begin(), args.inputs.begin() + 5, f32) ||
      !std::all_of(args.results.begin(), args.results.end(), f32)) {
    return UnsupportedOnCuda("adamw", args, "f32");
  }
  const cuda::AdamWTensors tensors = {args.input(0).as<const float>(), args.input(1).as<const float>(),
                                      args.input(2).as<const float>(), args.input(3).as<const float>(),
                                      args.result(0).as<float>(),      args.result(1).as<float>(),
                                      args.result(2).as<float>(),      args.input(0).count()};
  const CudaDevice& device = CudaDeviceOf(args);
  return BoundKernel([stream = device.stream(), tensors, norm = args.input(4).as<const float>(),
                      scalars = args.input(5).as<const double>(), decay = args.attributes.Bool("decay"),
                      multiprocessors = std::max(1, device.multiprocessors())] {
    cuda::AdamW(stream, tensors, norm, scalars, decay, multiprocessors);
  });
}

}  // namespace gptc
