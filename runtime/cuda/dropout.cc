#include "runtime/cuda/dropout.cuh"

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {

StatusOr<BoundKernel> BindCudaDropout(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const DType dtype = y.type.dtype;
  const bool supported = dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF64;
  if (x.type.dtype != dtype || y.rank() < 1 || !supported) {
    return UnsupportedOnCuda("dropout", args, "f32, bf16 or f64");
  }
  const int64_t sequences = y.dim(0);
  const cuda::DropoutShape shape = {sequences, sequences == 0 ? 0 : y.count() / sequences};
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), x = x.data, scalars = args.input(1).as<const double>(),
                      y = y.data, rate = args.attributes.Double("rate"), key = args.attributes.Int("key")] {
    cuda::Dropout(stream, dtype, x, scalars, y, shape, rate, key);
  });
}

}  // namespace gptc
