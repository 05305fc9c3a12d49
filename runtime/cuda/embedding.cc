#include "runtime/cuda/embedding.cuh"

#include <limits>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {

StatusOr<BoundKernel> BindCudaEmbedding(const KernelArgs& args) {
  const TensorView &table = args.input(0), &ids = args.input(1);
  return BoundKernel([stream = CudaDeviceOf(args).stream(), table = table.data, ids = ids.as<const int32_t>(),
                      y = args.result().data, rows = table.dim(0), row_bytes = SizeOf(table.type.dtype) * table.dim(1),
                      count = ids.count()] { cuda::Embedding(stream, table, ids, y, rows, row_bytes, count); });
}

StatusOr<BoundKernel> BindCudaEmbeddingBackward(const KernelArgs& args) {
  const TensorView &ids = args.input(0), &dy = args.input(1), &dtable = args.result();
  const DType dtype = dy.type.dtype;
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return UnsupportedOnCuda("embedding_backward", args, "dy f32 or bf16");
  }
  const cuda::EmbeddingBackwardShape shape = {ids.count(), dtable.dim(0), dtable.dim(1)};
  if (shape.count > std::numeric_limits<int32_t>::max() || shape.rows >= std::numeric_limits<int32_t>::max()) {
    return UnsupportedOnCuda("embedding_backward", args, "fewer than 2^31 ids and rows");
  }
  args.scratch.Request(static_cast<size_t>(cuda::EmbeddingWorkspaceOf(shape.count, shape.width).bytes));
  const auto bind = [&]<typename T>(const T* dy_data) {
    return BoundKernel([stream = CudaDeviceOf(args).stream(), ids = ids.as<const int32_t>(), dy_data,
                        base = args.has(2) ? args.input(2).as<const float>() : nullptr, dtable = dtable.as<float>(),
                        shape, scratch = &args.scratch] {
      cuda::EmbeddingBackward(stream, ids, dy_data, base, dtable, shape, scratch->data());
    });
  };
  return dtype == DType::kF32 ? bind(dy.as<const float>()) : bind(dy.as<const cuda::bf16>());
}

}  // namespace gptc
