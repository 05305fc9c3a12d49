#include "runtime/cuda/reduction.cuh"

#include <algorithm>
#include <limits>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

constexpr int kGroups = 8;  // of rows (parts) that a block adds side by side
constexpr int kThreads = 256;

template <typename Y>
__global__ void __launch_bounds__(kWarp* kGroups)
    AddPartsKernel(const float* from, int64_t parts, int64_t stride, Y* sums, int64_t columns) {
  const int64_t column = blockIdx.x * int64_t{kWarp} + threadIdx.x;
  GPTC_SHARED(float, partial, kWarp* kGroups);
  float sum = 0;
  if (column < columns) {
    for (int64_t part = threadIdx.y; part < parts; part += kGroups) sum += from[part * stride + column];
  }
  partial[threadIdx.y * kWarp + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (int group = 1; group < kGroups; ++group) sum += partial[group * kWarp + threadIdx.x];
  sums[column] = FromFloat<Y>(sum);
}

// A block takes 32 vectors of neighbouring columns and every gridDim.y-th group of rows.
template <typename X>
__global__ void __launch_bounds__(kWarp* kGroups)
    SumColumnsKernel(const X* x, float* parts, int64_t rows, int64_t columns) {
  constexpr int kCount = Vector<X>::kCount;
  const int64_t first = (blockIdx.x * int64_t{kWarp} + threadIdx.x) * kCount;
  GPTC_SHARED(float, partial, kGroups* kWarp* kCount);
  float sums[kCount] = {};
  if (first < columns) {
    const int64_t step = int64_t{kGroups} * gridDim.y;
    int64_t row = blockIdx.y * int64_t{kGroups} + threadIdx.y;
    for (; row + 3 * step < rows; row += 4 * step) {
      Vector<X> four[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) four[i] = LoadVector(x + (row + i * step) * columns + first);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < kCount; ++j) sums[j] += ToFloat(four[i].at[j]);
      }
    }
    for (; row < rows; row += step) {
      const Vector<X> one = LoadVector(x + row * columns + first);
#pragma unroll
      for (int j = 0; j < kCount; ++j) sums[j] += ToFloat(one.at[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) partial[(threadIdx.y * kCount + j) * kWarp + threadIdx.x] = sums[j];
  __syncthreads();
  if (threadIdx.y != 0 || first >= columns) return;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    float sum = partial[j * kWarp + threadIdx.x];
#pragma unroll
    for (int group = 1; group < kGroups; ++group) sum += partial[(group * kCount + j) * kWarp + threadIdx.x];
    parts[blockIdx.y * columns + first + j] = sum;
  }
}

// What the terms are reduced in.
template <typename X>
struct SumType {
  using Type = float;
};
template <>
struct SumType<double> {
  using Type = double;
};
template <>
struct SumType<int32_t> {
  using Type = int32_t;
};

template <typename A, typename X>
__device__ __forceinline__ A Load(X x) {
  if constexpr (sizeof(X) == 2) {
    return ToFloat(x);
  } else {
    return static_cast<A>(x);
  }
}

template <Reduction kReduction, typename A>
__device__ __forceinline__ A Identity() {
  if constexpr (kReduction != Reduction::kMax) return A{};
  if constexpr (std::is_same_v<A, int32_t>) return std::numeric_limits<int32_t>::min();
  return -static_cast<A>(INFINITY);
}

// A maximum is NaN where either is.
template <Reduction kReduction, typename A>
__device__ __forceinline__ A Combine(A a, A b) {
  if constexpr (kReduction == Reduction::kMax) return b > a || b != b ? b : a;
  if constexpr (std::is_same_v<A, int32_t>) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
  return a + b;
}

__device__ __forceinline__ int64_t OffsetOf(int64_t index, const int64_t* sizes, const int64_t* strides, int axes) {
  int64_t offset = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    offset += index % sizes[axis] * strides[axis];
    index /= sizes[axis];
  }
  return offset;
}

template <Reduction kReduction, typename X, typename Y>
__device__ __forceinline__ void StoreResult(Y* y, typename SumType<X>::Type value, int64_t terms) {
  if constexpr (kReduction == Reduction::kMean) value = value / static_cast<typename SumType<X>::Type>(terms);
  if constexpr (sizeof(Y) == 2) {
    *y = FromFloat<Y>(value);
  } else {
    *y = static_cast<Y>(value);
  }
}

template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads) ReduceByThread(const X* x, Y* y, ReductionShape shape) {
  using A = typename SumType<X>::Type;
  const int64_t result = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (result >= shape.results) return;
  const X* from = x + OffsetOf(result, shape.sizes, shape.strides, shape.kept);
  A value = Identity<kReduction, A>();
  for (int64_t term = 0; term < shape.terms; ++term) {
    const int64_t offset = OffsetOf(term, shape.sizes + shape.kept, shape.strides + shape.kept, shape.reduced);
    value = Combine<kReduction>(value, Load<A>(from[offset]));
  }
  StoreResult<kReduction, X>(y + result, value, shape.terms);
}

template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads) ReduceByBlock(const X* x, Y* y, ReductionShape shape) {
  using A = typename SumType<X>::Type;
  GPTC_SHARED(A, partial, kThreads);
  for (int64_t result = blockIdx.x; result < shape.results; result += gridDim.x) {
    const X* from = x + OffsetOf(result, shape.sizes, shape.strides, shape.kept);
    // Four chains: a thread's terms are many where a block's are.
    A values[4];
#pragma unroll
    for (A& value : values) value = Identity<kReduction, A>();
    const auto load = [&](int64_t term) {
      return Load<A>(from[OffsetOf(term, shape.sizes + shape.kept, shape.strides + shape.kept, shape.reduced)]);
    };
    int64_t term = threadIdx.x;
    for (; term + 3 * kThreads < shape.terms; term += 4 * kThreads) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = Combine<kReduction>(values[i], load(term + i * kThreads));
    }
    for (; term < shape.terms; term += kThreads) values[0] = Combine<kReduction>(values[0], load(term));
    partial[threadIdx.x] =
        Combine<kReduction>(Combine<kReduction>(values[0], values[1]), Combine<kReduction>(values[2], values[3]));
    __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        partial[threadIdx.x] = Combine<kReduction>(partial[threadIdx.x], partial[threadIdx.x + half]);
      }
      __syncthreads();
    }
    if (threadIdx.x == 0) StoreResult<kReduction, X>(y + result, partial[0], shape.terms);
    __syncthreads();
  }
}

template <Reduction kReduction, typename X, typename Y>
void ReduceTyped(cudaStream_t stream, const void* x, void* y, const ReductionShape& shape) {
  constexpr int64_t kManyTerms = 64;
  const X* from = static_cast<const X*>(x);
  Y* to = static_cast<Y*>(y);
  if (shape.terms >= kManyTerms) {
    const unsigned blocks = static_cast<unsigned>(std::min<int64_t>(shape.results, 1 << 16));
    Launch(stream, ReduceByBlock<kReduction, X, Y>, blocks, kThreads, 0, from, to, shape);
  } else {
    Launch(stream, ReduceByThread<kReduction, X, Y>, BlocksFor(shape.results, kThreads), kThreads, 0, from, to, shape);
  }
}

template <Reduction kReduction>
void ReduceAs(cudaStream_t stream, DType x_dtype, const void* x, DType y_dtype, void* y, const ReductionShape& shape) {
  if (x_dtype == DType::kF64) return ReduceTyped<kReduction, double, double>(stream, x, y, shape);
  if (x_dtype == DType::kI32) return ReduceTyped<kReduction, int32_t, int32_t>(stream, x, y, shape);
  if (x_dtype == DType::kF32) return ReduceTyped<kReduction, float, float>(stream, x, y, shape);
  if (y_dtype == DType::kF32) return ReduceTyped<kReduction, bf16, float>(stream, x, y, shape);
  ReduceTyped<kReduction, bf16, bf16>(stream, x, y, shape);
}

}  // namespace

void AddParts(cudaStream_t stream, const float* from, int64_t parts, int64_t stride, DType dtype, void* sums,
              int64_t columns) {
  const dim3 block(kWarp, kGroups);
  if (dtype == DType::kBF16) {
    Launch(stream, AddPartsKernel<bf16>, BlocksFor(columns, kWarp), block, 0, from, parts, stride,
           static_cast<bf16*>(sums), columns);
  } else {
    Launch(stream, AddPartsKernel<float>, BlocksFor(columns, kWarp), block, 0, from, parts, stride,
           static_cast<float*>(sums), columns);
  }
}

int64_t ColumnParts(int64_t rows, int64_t columns, int multiprocessors) {
  // Four blocks a multiprocessor hide the latency of memory; a part has at least four rows a group to sum.
  const int64_t across = std::max<int64_t>(1, (columns + 255) / 256);
  const int64_t wanted = std::max<int64_t>(1, 4 * multiprocessors / across);
  return std::clamp<int64_t>(rows / (4 * kGroups), 1, wanted);
}

void SumColumns(cudaStream_t stream, DType x_dtype, const void* x, DType y_dtype, void* y, int64_t rows,
                int64_t columns, float* parts, int64_t part_count) {
  const dim3 block(kWarp, kGroups);
  const auto grid = [&](int count) {
    return dim3(BlocksFor(columns, int64_t{kWarp} * count), static_cast<unsigned>(part_count));
  };
  if (x_dtype == DType::kBF16) {
    Launch(stream, SumColumnsKernel<bf16>, grid(Vector<bf16>::kCount), block, 0, static_cast<const bf16*>(x), parts,
           rows, columns);
  } else {
    Launch(stream, SumColumnsKernel<float>, grid(Vector<float>::kCount), block, 0, static_cast<const float*>(x), parts,
           rows, columns);
  }
  AddParts(stream, parts, part_count, columns, y_dtype, y, columns);
}

void Reduce(cudaStream_t stream, Reduction reduction, DType x_dtype, const void* x, DType y_dtype, void* y,
            const ReductionShape& shape) {
  switch (reduction) {
    case Reduction::kSum:
      return ReduceAs<Reduction::kSum>(stream, x_dtype, x, y_dtype, y, shape);
    case Reduction::kMean:
      return ReduceAs<Reduction::kMean>(stream, x_dtype, x, y_dtype, y, shape);
    case Reduction::kMax:
      return ReduceAs<Reduction::kMax>(stream, x_dtype, x, y_dtype, y, shape);
  }
}

}  // namespace gptc::cuda
