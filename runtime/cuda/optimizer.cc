#include "runtime/cuda/optimizer.cuh"

#include <algorithm>
#include <vector>

#include "ir/base/adamw_group.h"
#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

BoundKernel EnqueueAdamW(const KernelArgs& args, std::vector<cuda::AdamWTensors> all, const TensorView& norm,
                         const TensorView& scalars) {
  const CudaDevice& device = CudaDeviceOf(args);
  return [stream = device.stream(), all = std::move(all), norm = norm.as<const float>(),
          scalars = scalars.as<const double>(), multiprocessors = std::max(1, device.multiprocessors())] {
    cuda::AdamW(stream, all, norm, scalars, multiprocessors);
  };
}

}  // namespace

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
  return EnqueueAdamW(
      args,
      {{args.input(0).as<const float>(), args.input(1).as<const float>(), args.input(2).as<const float>(),
        args.input(3).as<const float>(), args.result(0).as<float>(), args.result(1).as<float>(),
        args.result(2).as<float>(), nullptr, args.input(0).count(), args.attributes.Bool("decay")}},
      args.input(4), args.input(5));
}

StatusOr<BoundKernel> BindCudaAdamWGroup(const KernelArgs& args) {
  std::vector<cuda::AdamWTensors> all;
  for (const AdamWGroupMember& member : AdamWGroupMembers(args.attributes)) {
    all.push_back({args.input(member.param).as<const float>(), args.input(member.grad).as<const float>(),
                   args.input(member.m).as<const float>(), args.input(member.v).as<const float>(),
                   args.result(member.new_param).as<float>(), args.result(member.new_m).as<float>(),
                   args.result(member.new_v).as<float>(), member.copy ? args.result(*member.copy).data : nullptr,
                   args.input(member.param).count(), member.decay});
  }
  return EnqueueAdamW(args, std::move(all), args.input(0), args.input(1));
}

}  // namespace gptc
