#include "runtime/cuda/flash_attention.cuh"

#include "ir/base/philox.h"
#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {

namespace {

using cuda::bf16, cuda::FlashArguments;

// The operands behind the first `options`, and the attributes.
FlashArguments ArgumentsOf(const KernelArgs& args, const TensorView& qkv, size_t options) {
  const double rate = args.attributes.Double("rate");
  FlashArguments flash = {};
  flash.qkv = qkv.data;
  if (rate > 0) flash.scalars = args.input(options++).as<const double>();
  if (args.has(options)) flash.segments = args.input(options).as<const int32_t>();
  flash.batch = static_cast<int>(qkv.dim(0));
  flash.tokens = static_cast<int>(qkv.dim(1));
  flash.heads = static_cast<int>(args.attributes.Int("heads"));
  flash.head_size = static_cast<int>(qkv.dim(2) / 3 / flash.heads);
  flash.causal = args.attributes.Bool("causal");
  flash.scale = static_cast<float>(args.attributes.Double("scale"));
  flash.op_key = args.attributes.Int("key");
  flash.threshold = DropoutThreshold(rate);
  flash.kept = static_cast<float>(1 / (1 - rate));
  return flash;
}

enum class Kernels { kNone, kPlainF32, kPlainBf16, kTensorCores, kHopper };

// Whether Hopper's kernels are in this program (CMakeLists.txt).
#if defined(GPTC_CUDA_SM90A) || defined(GPTC_SIMT)
constexpr bool kHasHopper = true;
#else
constexpr bool kHasHopper = false;
#endif

bool OnHopper(const FlashArguments& flash, int sm) {
  return kHasHopper && sm == 90 && flash.head_size > 32 && flash.head_size <= 64 && flash.scalars == nullptr &&
         flash.segments == nullptr;
}

Kernels KernelsOf(const TensorView& qkv, const FlashArguments& flash, int sm) {
  const DType dtype = qkv.type.dtype;
  if (dtype == DType::kBF16 && cuda::FlashOnTensorCores(flash.tokens, flash.heads, flash.head_size, flash.scale)) {
    return OnHopper(flash, sm) ? Kernels::kHopper : Kernels::kTensorCores;
  }
  if (flash.head_size > cuda::kFlashPlainHead) return Kernels::kNone;
  return dtype == DType::kF32 ? Kernels::kPlainF32 : dtype == DType::kBF16 ? Kernels::kPlainBf16 : Kernels::kNone;
}

constexpr const char* kSupported = "f32 and bf16, heads of up to 400 elements";

}  // namespace

StatusOr<BoundKernel> BindCudaFlashAttention(const KernelArgs& args) {
  if (AttentionEngine* engine = CudaDeviceOf(args).attention(); engine != nullptr) {
    StatusOr<BoundKernel> bound = engine->BindForward(args);
    if (!absl::IsUnimplemented(bound.status())) return bound;
  }
  const TensorView qkv = args.input(0), y = args.result(0);
  const FlashArguments flash = ArgumentsOf(args, qkv, 1);
  const CudaDevice& device = CudaDeviceOf(args);
  const cudaStream_t stream = device.stream();
  float* const lse = args.result(1).as<float>();
  switch (KernelsOf(qkv, flash, device.sm())) {
    case Kernels::kHopper:
      return [=] { cuda::FlashForwardHopper(stream, flash, y.as<bf16>(), lse); };
    case Kernels::kTensorCores:
      return [=] { cuda::FlashForward(stream, flash, y.as<bf16>(), lse); };
    case Kernels::kPlainF32:
      return [=] { cuda::FlashForwardPlain(stream, flash, y.as<float>(), lse); };
    case Kernels::kPlainBf16:
      return [=] { cuda::FlashForwardPlain(stream, flash, y.as<bf16>(), lse); };
    case Kernels::kNone:
      break;
  }
  return UnsupportedOnCuda("flash_attention", args, kSupported);
}

StatusOr<BoundKernel> BindCudaFlashAttentionBackward(const KernelArgs& args) {
  if (AttentionEngine* engine = CudaDeviceOf(args).attention(); engine != nullptr) {
    StatusOr<BoundKernel> bound = engine->BindBackward(args);
    if (!absl::IsUnimplemented(bound.status())) return bound;
  }
  const TensorView dy = args.input(0), qkv = args.input(1), y = args.input(2), dqkv = args.result();
  const FlashArguments flash = ArgumentsOf(args, qkv, 4);
  const CudaDevice& device = CudaDeviceOf(args);
  const cudaStream_t stream = device.stream();
  const float* const lse = args.input(3).as<const float>();
  const Kernels kernels = KernelsOf(qkv, flash, device.sm());
  if (kernels == Kernels::kNone) return UnsupportedOnCuda("flash_attention_backward", args, kSupported);
  ScratchPool* const scratch = &args.scratch;  // the sums of dy·y
  scratch->Request(args.input(3).bytes());
  switch (kernels) {
    case Kernels::kHopper:
      return [=] {
        cuda::FlashBackwardHopper(stream, flash, dy.as<const bf16>(), y.as<const bf16>(), lse,
                                  static_cast<float*>(scratch->data()), dqkv.as<bf16>());
      };
    case Kernels::kTensorCores:
      return [=] {
        cuda::FlashBackward(stream, flash, dy.as<const bf16>(), y.as<const bf16>(), lse,
                            static_cast<float*>(scratch->data()), dqkv.as<bf16>());
      };
    case Kernels::kPlainF32:
      return [=] {
        cuda::FlashBackwardPlain(stream, flash, dy.as<const float>(), y.as<const float>(), lse,
                                 static_cast<float*>(scratch->data()), dqkv.as<float>());
      };
    default:
      return [=] {
        cuda::FlashBackwardPlain(stream, flash, dy.as<const bf16>(), y.as<const bf16>(), lse,
                                 static_cast<float*>(scratch->data()), dqkv.as<bf16>());
      };
  }
}

}  // namespace gptc
