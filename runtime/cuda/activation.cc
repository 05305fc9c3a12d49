#include "runtime/cuda/activation.cuh"

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

bool HasKernel(const KernelArgs& args) {
  const DType dtype = args.input(0).type.dtype;
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF64;
}

StatusOr<BoundKernel> Bind(std::string_view op, const KernelArgs& args, cuda::Activation activation) {
  if (!HasKernel(args)) return UnsupportedOnCuda(op, args, "f32, bf16 or f64");
  return BoundKernel([stream = CudaDeviceOf(args).stream(), activation, x = args.input(0), y = args.result().data] {
    cuda::Activate(stream, activation, x.type.dtype, x.data, y, x.count());
  });
}

}  // namespace

StatusOr<BoundKernel> BindCudaGelu(const KernelArgs& args) {
  const bool tanh = args.attributes.Bool("tanh");
  return Bind("gelu", args, tanh ? cuda::Activation::kGeluTanh : cuda::Activation::kGeluErf);
}
StatusOr<BoundKernel> BindCudaRelu(const KernelArgs& args) { return Bind("relu", args, cuda::Activation::kRelu); }
StatusOr<BoundKernel> BindCudaSigmoid(const KernelArgs& args) {
  return Bind("sigmoid", args, cuda::Activation::kSigmoid);
}
StatusOr<BoundKernel> BindCudaSilu(const KernelArgs& args) { return Bind("silu", args, cuda::Activation::kSilu); }

StatusOr<BoundKernel> BindCudaGeluBackward(const KernelArgs& args) {
  if (!HasKernel(args)) return UnsupportedOnCuda("gelu_backward", args, "f32, bf16 or f64");
  return BoundKernel([stream = CudaDeviceOf(args).stream(), tanh = args.attributes.Bool("tanh"), x = args.input(0),
                      dy = args.input(1).data, dx = args.result().data] {
    cuda::GeluBackward(stream, tanh, x.type.dtype, x.data, dy, dx, x.count());
  });
}

}  // namespace gptc
