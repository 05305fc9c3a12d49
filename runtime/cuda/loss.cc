#include "runtime/cuda/loss.cuh"

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

using Run = void (*)(cudaStream_t stream, const cuda::CrossEntropyArguments& arguments);

// The part that all three have: logits and targets.
StatusOr<BoundKernel> Bind(std::string_view op, const KernelArgs& args, cuda::CrossEntropyArguments p, Run run) {
  const TensorView& logits = args.input(0);
  if (logits.type.dtype != DType::kF32 && logits.type.dtype != DType::kBF16) {
    return UnsupportedOnCuda(op, args, "f32 and bf16 logits");
  }
  p.dtype = logits.type.dtype;
  p.logits = logits.data;
  p.targets = args.input(1).as<int32_t>();
  p.rows = args.input(1).count();
  p.classes = args.attributes.Int("classes");
  p.columns = logits.dim(-1);
  p.most_shared = MostSharedBytes(CudaDeviceOf(args).sm());
  return BoundKernel([stream = CudaDeviceOf(args).stream(), p, run] { run(stream, p); });
}

}  // namespace

StatusOr<BoundKernel> BindCudaCrossEntropy(const KernelArgs& args) {
  cuda::CrossEntropyArguments p;
  p.losses = args.result(0).as<float>();
  p.lse = args.result(1).as<float>();
  return Bind("cross_entropy", args, p, &cuda::CrossEntropy);
}

StatusOr<BoundKernel> BindCudaCrossEntropyBackward(const KernelArgs& args) {
  cuda::CrossEntropyArguments p;
  p.given_lse = args.input(2).as<float>();
  p.dlosses = args.input(3).as<float>();
  p.dlogits = args.result().data;
  return Bind("cross_entropy_backward", args, p, &cuda::CrossEntropyBackward);
}

StatusOr<BoundKernel> BindCudaCrossEntropyGradient(const KernelArgs& args) {
  cuda::CrossEntropyArguments p;
  p.dlosses = args.input(2).as<float>();
  p.losses = args.result(0).as<float>();
  p.dlogits = args.result(1).data;
  return Bind("cross_entropy_gradient", args, p, &cuda::CrossEntropyGradient);
}

}  // namespace gptc
