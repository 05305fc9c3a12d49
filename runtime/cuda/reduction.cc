#include <algorithm>
#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/reduction.cuh"

namespace gptc {
namespace {

// The axes of x, kept ones first, neighbours merged.
cuda::ReductionShape ShapeOf(const TensorView& x, const std::vector<int64_t>& axes) {
  struct Axis {
    int64_t size, stride;
  };
  std::vector<Axis> kept, reduced;
  int64_t stride = 1;
  bool last_reduced = false, first = true;
  for (int axis = x.rank() - 1; axis >= 0; --axis) {
    const int64_t size = x.dim(axis);
    const bool is_reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    std::vector<Axis>& list = is_reduced ? reduced : kept;
    if (size != 1) {
      if (!first && last_reduced == is_reduced) {
        list.back().size *= size;
      } else {
        list.push_back({size, stride});
      }
      first = false;
      last_reduced = is_reduced;
    }
    stride *= size;
  }
  cuda::ReductionShape shape;
  int at = 0;
  for (auto* list : {&kept, &reduced}) {
    (list == &kept ? shape.kept : shape.reduced) = static_cast<int>(list->size());
    for (auto axis = list->rbegin(); axis != list->rend(); ++axis, ++at) {
      shape.sizes[at] = axis->size;
      shape.strides[at] = axis->stride;
      (list == &kept ? shape.results : shape.terms) *= axis->size;
    }
  }
  return shape;
}

StatusOr<BoundKernel> Bind(std::string_view op, const KernelArgs& args, cuda::Reduction reduction) {
  const TensorView &x = args.input(0), &y = args.result();
  const DType from = x.type.dtype, to = y.type.dtype;
  const bool floats = from == to || (from == DType::kBF16 && to == DType::kF32);
  const bool known = from == DType::kF32 || from == DType::kBF16 || from == DType::kF64 ||
                     (from == DType::kI32 && reduction != cuda::Reduction::kMean);
  if (!known || !floats || x.rank() > cuda::ReductionShape::kMostAxes) {
    return UnsupportedOnCuda(op, args,
                             reduction == cuda::Reduction::kMean ? "f32, bf16 or f64" : "f32, bf16, f64 or i32");
  }
  CudaDevice& device = CudaDeviceOf(args);
  const cudaStream_t stream = device.stream();
  const cuda::ReductionShape shape = ShapeOf(x, args.attributes.Ints("axes"));
  const cuda::ReductionPlan plan = cuda::PlanReduction(reduction, from, shape, device.multiprocessors());
  if (plan.scratch_bytes > 0) args.scratch.Request(plan.scratch_bytes);
  return BoundKernel([=, x = x.data, y = y.data, pool = &args.scratch] {
    cuda::Reduce(stream, reduction, from, x, to, y, shape, plan, pool->data());
  });
}

}  // namespace

StatusOr<BoundKernel> BindCudaSum(const KernelArgs& args) { return Bind("sum", args, cuda::Reduction::kSum); }
StatusOr<BoundKernel> BindCudaMean(const KernelArgs& args) { return Bind("mean", args, cuda::Reduction::kMean); }
StatusOr<BoundKernel> BindCudaReduceMax(const KernelArgs& args) {
  return Bind("reduce_max", args, cuda::Reduction::kMax);
}

}  // namespace gptc
