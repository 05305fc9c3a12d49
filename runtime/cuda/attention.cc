#include "runtime/cuda/attention.cuh"

#include <limits>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/movement.cuh"

namespace gptc {
namespace {

bool HasKernel(const TensorView& view) { return view.type.dtype == DType::kF32 || view.type.dtype == DType::kBF16; }

// bind(float{}) or bind(bf16), as a null pointer of that type.
template <typename Bind>
BoundKernel WithFloats(const TensorView& view, const Bind& bind) {
  if (view.type.dtype == DType::kF32) return bind(static_cast<const float*>(nullptr));
  return bind(static_cast<const cuda::bf16*>(nullptr));
}

cuda::SoftmaxShape RowsOf(const TensorView& x, bool causal) {
  const int64_t columns = x.dim(-1);
  return {columns == 0 ? 0 : x.count() / columns, x.rank() > 1 ? x.dim(-2) : 1, columns, causal};
}

constexpr std::string_view kRows = "f32 and bf16, up to 2^30 rows and columns";
bool Fits(const cuda::SoftmaxShape& shape) { return shape.count <= 1 << 30 && shape.columns <= 1 << 30; }

}  // namespace

StatusOr<BoundKernel> BindCudaCausalMask(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const cuda::SoftmaxShape shape = RowsOf(x, true);
  if (!HasKernel(x) || !Fits(shape)) return UnsupportedOnCuda("causal_mask", args, kRows);
  return WithFloats(x, [&]<typename T>(const T*) -> BoundKernel {
    return [=, stream = CudaDeviceOf(args).stream(), x = x.as<const T>(), y = y.as<T>()] {
      cuda::CausalMask(stream, x, y, shape);
    };
  });
}

StatusOr<BoundKernel> BindCudaSoftmax(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const cuda::SoftmaxShape shape = RowsOf(x, args.attributes.Bool("causal"));
  if (!HasKernel(x) || !Fits(shape)) return UnsupportedOnCuda("softmax", args, kRows);
  return WithFloats(x, [&]<typename T>(const T*) -> BoundKernel {
    return [=, stream = CudaDeviceOf(args).stream(), x = x.as<const T>(), y = y.as<T>()] {
      cuda::Softmax(stream, x, y, shape);
    };
  });
}

StatusOr<BoundKernel> BindCudaSoftmaxBackward(const KernelArgs& args) {
  const TensorView &y = args.input(0), &dy = args.input(1), &dx = args.result();
  const cuda::SoftmaxShape shape = RowsOf(y, args.attributes.Bool("causal"));
  if (!HasKernel(y) || !Fits(shape)) return UnsupportedOnCuda("softmax_backward", args, kRows);
  return WithFloats(y, [&]<typename T>(const T*) -> BoundKernel {
    return [=, stream = CudaDeviceOf(args).stream(), y = y.as<const T>(), dy = dy.as<const T>(), dx = dx.as<T>()] {
      cuda::SoftmaxBackward(stream, y, dy, dx, shape);
    };
  });
}

StatusOr<BoundKernel> BindCudaCacheUpdate(const KernelArgs& args) {
  const TensorView &cache = args.input(0), &x = args.input(1), &y = args.result();
  const cuda::CacheShape shape = {x.dim(0), x.dim(1), cache.dim(0), cache.dim(1), SizeOf(x.type.dtype) * x.dim(2)};
  // Indices of bytes, in any unit.
  if (shape.row_bytes % 2 != 0 || static_cast<int64_t>(x.bytes()) > std::numeric_limits<int32_t>::max()) {
    return UnsupportedOnCuda("cache_update", args, "f32, bf16 and f64, x below 2 GiB");
  }
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), from = cache.data, x = x.data, y = y.data,
                      bytes = static_cast<int64_t>(y.bytes()), positions = args.input(2).as<const int32_t>(),
                      slots = args.input(3).as<const int32_t>()] {
    if (from != y) cuda::CopyBytes(stream, from, y, bytes);
    cuda::CacheUpdate(stream, x, positions, slots, y, shape);
  });
}

StatusOr<BoundKernel> BindCudaCachedAttention(const KernelArgs& args) {
  const TensorView &q = args.input(0), &k = args.input(1);
  const int64_t heads = args.attributes.Int("heads");
  const cuda::CachedAttentionShape shape = {q.dim(0),
                                            q.dim(1),
                                            heads,
                                            q.dim(2) / heads,
                                            k.dim(0),
                                            k.dim(1),
                                            static_cast<float>(args.attributes.Double("scale"))};
  if (!HasKernel(q) || shape.head_size > cuda::kMostHeadSize || shape.context > 1 << 30) {
    return UnsupportedOnCuda("cached_attention", args,
                             Cat("f32 and bf16, heads of up to ", cuda::kMostHeadSize, " elements"));
  }
  args.scratch.Request(static_cast<size_t>(
      cuda::CachedAttentionWorkspace(shape.batch, shape.tokens, heads, shape.head_size, shape.context)));
  return WithFloats(q, [&]<typename T>(const T*) -> BoundKernel {
    return [=, stream = CudaDeviceOf(args).stream(), scratch = &args.scratch, q = q.as<const T>(), k = k.as<const T>(),
            v = args.input(2).as<const T>(), positions = args.input(3).as<const int32_t>(),
            slots = args.input(4).as<const int32_t>(), y = args.result().as<T>()] {
      cuda::CachedAttention(stream, q, k, v, positions, slots, y, shape, scratch->data());
    };
  });
}

}  // namespace gptc
