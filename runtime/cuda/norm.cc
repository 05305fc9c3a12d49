#include "runtime/cuda/norm.cuh"

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

bool Narrow(const TensorView& view) { return view.type.dtype == DType::kBF16; }

bool HasKernel(const KernelArgs& args) {
  for (const TensorView& view : args.inputs) {
    if (view.type.dtype != DType::kF32 && !Narrow(view)) return false;
  }
  return true;
}

int64_t RowsOf(const TensorView& x) { return x.dim(-1) == 0 ? 0 : x.count() / x.dim(-1); }

// `residual`: r is the second operand, and the sum the first result.
StatusOr<BoundKernel> BindForward(std::string_view op, const KernelArgs& args, bool center, bool residual) {
  if (!HasKernel(args)) return UnsupportedOnCuda(op, args, "f32 and bf16");
  const TensorView& x = args.input(0);
  const size_t weight_at = residual ? 2 : 1, y_at = residual ? 1 : 0;
  const TensorView &weight = args.input(weight_at), &y = args.result(y_at);
  cuda::NormForward p;
  p.x = x.data;
  if (residual) {
    p.residual = args.input(1).data;
    p.residual_narrow = Narrow(args.input(1));
    p.sum = args.result(0).data;
  }
  p.weight = {weight.data, Narrow(weight)};
  if (args.has(weight_at + 1)) p.bias = {args.input(weight_at + 1).data, Narrow(args.input(weight_at + 1))};
  p.y = y.data;
  p.mean = center ? args.result(y_at + 1).as<float>() : nullptr;
  p.rstd = args.result(y_at + (center ? 2 : 1)).as<float>();
  p.rows = RowsOf(x);
  p.width = x.dim(-1);
  p.epsilon = static_cast<float>(args.attributes.Double("epsilon"));
  return BoundKernel([stream = CudaDeviceOf(args).stream(), x = x.type.dtype, y = y.type.dtype, p] {
    cuda::Normalize(stream, x, y, p);
  });
}

StatusOr<BoundKernel> BindBackward(std::string_view op, const KernelArgs& args, bool center) {
  if (!HasKernel(args)) return UnsupportedOnCuda(op, args, "f32 and bf16");
  const TensorView &dy = args.input(0), &x = args.input(1);
  const size_t dsum = center ? 5 : 4;
  CudaDevice& device = CudaDeviceOf(args);
  cuda::NormBackward p;
  p.dy = dy.data;
  p.x = x.data;
  p.dsum = args.has(dsum) ? args.input(dsum).data : nullptr;
  p.weight = {args.input(2).data, Narrow(args.input(2))};
  p.mean = center ? args.input(3).as<float>() : nullptr;
  p.rstd = args.input(center ? 4 : 3).as<float>();
  p.dx = args.result(0).data;
  p.dweight = args.result(1).as<float>();
  p.dbias = center ? args.result(2).as<float>() : nullptr;
  p.rows = RowsOf(x);
  p.width = x.dim(-1);
  const cuda::NormBackwardPlan plan =
      cuda::PlanNormBackward(dy.type.dtype, x.type.dtype, p.dsum != nullptr, p.rows, p.width,
                             MostSharedBytes(device.sm()), device.multiprocessors());
  args.scratch.Request(static_cast<size_t>(4 * 2 * plan.blocks * p.width));
  return BoundKernel(
      [stream = device.stream(), dy = dy.type.dtype, x = x.type.dtype, plan, p, pool = &args.scratch]() mutable {
        p.parts = static_cast<float*>(pool->data());
        cuda::NormalizeBackward(stream, dy, x, plan, p);
      });
}

}  // namespace

StatusOr<BoundKernel> BindCudaLayerNorm(const KernelArgs& args) { return BindForward("layer_norm", args, true, false); }
StatusOr<BoundKernel> BindCudaRmsNorm(const KernelArgs& args) { return BindForward("rms_norm", args, false, false); }
StatusOr<BoundKernel> BindCudaResidualLayerNorm(const KernelArgs& args) {
  return BindForward("residual_layer_norm", args, true, true);
}
StatusOr<BoundKernel> BindCudaResidualRmsNorm(const KernelArgs& args) {
  return BindForward("residual_rms_norm", args, false, true);
}
StatusOr<BoundKernel> BindCudaLayerNormBackward(const KernelArgs& args) {
  return BindBackward("layer_norm_backward", args, true);
}
StatusOr<BoundKernel> BindCudaRmsNormBackward(const KernelArgs& args) {
  return BindBackward("rms_norm_backward", args, false);
}

}  // namespace gptc
