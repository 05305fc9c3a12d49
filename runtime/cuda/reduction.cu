#include "runtime/cuda/reduction.cuh"

#include <algorithm>
#include <limits>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAhead = 4;             // loads of a thread on their way at once
constexpr int kColumnGroups = 8;      // of rows that a block adds side by side
constexpr int kPartGroups = 32;       // the same, of parts
constexpr int64_t kWarpTerms = 1024;  // of a row that one warp reduces
constexpr int64_t kPiece = 4096;      // terms of a piece of a row, the least

// What the terms are reduced in.
template <typename X>
struct AccumulatorOf {
  using Type = float;
};
template <>
struct AccumulatorOf<double> {
  using Type = double;
};
template <>
struct AccumulatorOf<int32_t> {
  using Type = int32_t;
};

template <typename A, typename X>
__device__ __forceinline__ A Widen(X x) {
  if constexpr (sizeof(X) == 2) {
    return ToFloat(x);
  } else {
    return static_cast<A>(x);
  }
}

template <Reduction kReduction, typename A>
__device__ __forceinline__ A Identity() {
  if constexpr (kReduction != Reduction::kMax) {
    return A{};
  } else if constexpr (std::is_same_v<A, int32_t>) {
    return std::numeric_limits<int32_t>::min();
  } else {
    return -std::numeric_limits<A>::infinity();
  }
}

// A maximum is NaN where either is.
template <Reduction kReduction, typename A>
__device__ __forceinline__ A Combine(A a, A b) {
  if constexpr (kReduction == Reduction::kMax) {
    return b > a || b != b ? b : a;
  } else if constexpr (std::is_same_v<A, int32_t>) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  } else {
    return a + b;
  }
}

// Over the block's threads; the result is thread 0's. Ends behind a barrier that lets it be called again.
template <Reduction kReduction, typename A>
__device__ __forceinline__ A CombineBlock(A value) {
  GPTC_SHARED(A, partial, kThreads / kWarp);
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = Combine<kReduction>(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = partial[0];
#pragma unroll
  for (int i = 1; i < kThreads / kWarp; ++i) value = Combine<kReduction>(value, partial[i]);
  __syncthreads();
  return value;
}

template <Reduction kReduction, typename A, typename Y>
__device__ __forceinline__ void StoreResult(Y* y, A value, int64_t terms) {
  if constexpr (kReduction == Reduction::kMean) value = value / static_cast<A>(terms);
  if constexpr (sizeof(Y) == 2) {
    *y = FromFloat<Y>(value);
  } else {
    *y = static_cast<Y>(value);
  }
}

template <typename Y>
__global__ void __launch_bounds__(kWarp* kPartGroups)
    AddPartsKernel(const float* from, int64_t parts, int64_t stride, Y* first, Y* second, int64_t split,
                   int64_t columns) {
  const int64_t column = blockIdx.x * int64_t{kWarp} + threadIdx.x;
  GPTC_SHARED(float, partial, kWarp* kPartGroups);
  float sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int64_t part = threadIdx.y; part < parts; part += kPartGroups) sum += from[part * stride + column];
  }
  partial[threadIdx.y * kWarp + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (int group = 1; group < kPartGroups; ++group) sum += partial[group * kWarp + threadIdx.x];
  *(column < split ? first + column : second + (column - split)) = FromFloat<Y>(sum);
}

template <typename Y>
void LaunchAddParts(cudaStream_t stream, const float* from, int64_t parts, int64_t stride, Y* first, Y* second,
                    int64_t columns) {
  const int64_t all = second == nullptr ? columns : 2 * columns;
  Launch(stream, AddPartsKernel<Y>, BlocksFor(all, kWarp), dim3(kWarp, kPartGroups), 0, from, parts, stride, first,
         second, columns, all);
}

// A block takes 32 vectors of neighbouring columns and every gridDim.y-th group of rows.
template <typename X>
__global__ void __launch_bounds__(kWarp* kColumnGroups)
    SumColumnsKernel(const X* x, float* parts, int64_t rows, int64_t columns) {
  constexpr int kCount = Vector<X>::kCount;
  const int64_t first = (blockIdx.x * int64_t{kWarp} + threadIdx.x) * kCount;
  GPTC_SHARED(float, partial, kColumnGroups* kWarp* kCount);
  float sums[kCount] = {};
  if (first < columns) {
    const int64_t step = int64_t{kColumnGroups} * gridDim.y;
    int64_t row = blockIdx.y * int64_t{kColumnGroups} + threadIdx.y;
    for (; row + (kAhead - 1) * step < rows; row += kAhead * step) {
      Vector<X> ahead[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) ahead[i] = LoadVector(x + (row + i * step) * columns + first);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        float values[kCount];
        Unpack(ahead[i], values);
#pragma unroll
        for (int j = 0; j < kCount; ++j) sums[j] += values[j];
      }
    }
    for (; row < rows; row += step) {
      float values[kCount];
      Unpack(LoadVector(x + row * columns + first), values);
#pragma unroll
      for (int j = 0; j < kCount; ++j) sums[j] += values[j];
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
    for (int group = 1; group < kColumnGroups; ++group) sum += partial[(group * kCount + j) * kWarp + threadIdx.x];
    parts[blockIdx.y * columns + first + j] = sum;
  }
}

// A thread's share of `count` neighbouring elements, which `threads` threads take in turn; by vectors, where the
// elements begin at a multiple of 16 bytes and are a multiple of them.
template <Reduction kReduction, typename A, typename X>
__device__ __forceinline__ A CombineShare(const X* from, int64_t count, int thread, int threads) {
  constexpr int kCount = Vector<X>::kCount;
  A values[kAhead];
#pragma unroll
  for (A& value : values) value = Identity<kReduction, A>();
  if (reinterpret_cast<uintptr_t>(from) % 16 == 0 && count % kCount == 0) {
    const int64_t items = count / kCount;
    const auto add = [](A& value, const Vector<X>& item) {
      if constexpr (sizeof(X) == 2) {
        float elements[kCount];
        Unpack(item, elements);
#pragma unroll
        for (float element : elements) value = Combine<kReduction>(value, element);
      } else {
#pragma unroll
        for (int i = 0; i < kCount; ++i) value = Combine<kReduction>(value, Widen<A>(item.at[i]));
      }
    };
    int64_t item = thread;
    for (; item + (kAhead - 1) * threads < items; item += kAhead * threads) {
      Vector<X> ahead[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) ahead[i] = LoadVector(from + (item + i * threads) * kCount);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) add(values[i], ahead[i]);
    }
    for (; item < items; item += threads) add(values[0], LoadVector(from + item * kCount));
  } else {
    int64_t term = thread;
    for (; term + (kAhead - 1) * threads < count; term += kAhead * threads) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) values[i] = Combine<kReduction>(values[i], Widen<A>(from[term + i * threads]));
    }
    for (; term < count; term += threads) values[0] = Combine<kReduction>(values[0], Widen<A>(from[term]));
  }
  return Combine<kReduction>(Combine<kReduction>(values[0], values[1]), Combine<kReduction>(values[2], values[3]));
}

// y[row] from x[row, length], a warp a row. A mean is of `terms`.
template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads)
    ReduceRowsByWarp(const X* x, Y* y, int64_t rows, int64_t length, int64_t terms) {
  using A = typename AccumulatorOf<X>::Type;
  const int64_t row = blockIdx.x * int64_t{kThreads / kWarp} + threadIdx.x / kWarp;
  if (row >= rows) return;
  A value = CombineShare<kReduction, A>(x + row * length, length, threadIdx.x % kWarp, kWarp);
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = Combine<kReduction>(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  if (threadIdx.x % kWarp == 0) StoreResult<kReduction>(y + row, value, terms);
}

// y[row, p] from piece p of x[row, length], a block a piece.
template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads)
    ReduceRowsByBlock(const X* x, Y* y, int64_t length, int64_t piece, unsigned pieces, int64_t terms) {
  using A = typename AccumulatorOf<X>::Type;
  const unsigned row = blockIdx.x / pieces;
  const int64_t begin = (blockIdx.x - row * pieces) * piece;
  const int64_t count = length - begin < piece ? length - begin : piece;
  const A share = CombineShare<kReduction, A>(x + row * length + begin, count, threadIdx.x, kThreads);
  const A value = CombineBlock<kReduction>(share);
  if (threadIdx.x == 0) StoreResult<kReduction>(y + blockIdx.x, value, terms);
}

__device__ __forceinline__ int64_t OffsetOf(int64_t index, const int64_t* sizes, const int64_t* strides, int axes) {
  int64_t offset = 0;
  for (int axis = axes - 1; axis > 0; --axis) {
    const int64_t outer = index / sizes[axis];
    offset += (index - outer * sizes[axis]) * strides[axis];
    index = outer;
  }
  return axes > 0 ? offset + index * strides[0] : offset;
}

// The terms thread, thread + threads, ... of a result.
template <Reduction kReduction, typename A, typename X>
__device__ __forceinline__ A CombineTerms(const X* x, int64_t result, const ReductionShape& shape, int thread,
                                          int threads) {
  const X* from = x + OffsetOf(result, shape.sizes, shape.strides, shape.kept);
  A value = Identity<kReduction, A>();
  for (int64_t term = thread; term < shape.terms; term += threads) {
    const int64_t offset = OffsetOf(term, shape.sizes + shape.kept, shape.strides + shape.kept, shape.reduced);
    value = Combine<kReduction>(value, Widen<A>(from[offset]));
  }
  return value;
}

template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads) ReduceByThread(const X* x, Y* y, ReductionShape shape) {
  const int64_t result = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (result >= shape.results) return;
  StoreResult<kReduction>(y + result, CombineTerms<kReduction, typename AccumulatorOf<X>::Type>(x, result, shape, 0, 1),
                          shape.terms);
}

template <Reduction kReduction, typename X, typename Y>
__global__ void __launch_bounds__(kThreads) ReduceByBlock(const X* x, Y* y, ReductionShape shape) {
  using A = typename AccumulatorOf<X>::Type;
  const A share = CombineTerms<kReduction, A>(x, blockIdx.x, shape, threadIdx.x, kThreads);
  const A value = CombineBlock<kReduction>(share);
  if (threadIdx.x == 0) StoreResult<kReduction>(y + blockIdx.x, value, shape.terms);
}

template <Reduction kReduction, typename X, typename Y>
void ReduceRows(cudaStream_t stream, const X* x, Y* y, const ReductionShape& shape, const ReductionPlan& plan,
                void* scratch) {
  using A = typename AccumulatorOf<X>::Type;
  const auto by_warp = [&](auto* from, int64_t length) {
    Launch(stream, ReduceRowsByWarp<kReduction, std::remove_const_t<std::remove_pointer_t<decltype(from)>>, Y>,
           BlocksFor(shape.results, kThreads / kWarp), kThreads, 0, from, y, shape.results, length, shape.terms);
  };
  const unsigned blocks = static_cast<unsigned>(shape.results * plan.parts);
  if (shape.terms <= kWarpTerms) return by_warp(x, shape.terms);
  if (plan.parts == 1) {
    Launch(stream, ReduceRowsByBlock<kReduction, X, Y>, blocks, kThreads, 0, x, y, shape.terms, shape.terms, 1,
           shape.terms);
    return;
  }
  constexpr Reduction kOfParts = kReduction == Reduction::kMax ? Reduction::kMax : Reduction::kSum;
  A* const parts = static_cast<A*>(scratch);
  Launch(stream, ReduceRowsByBlock<kOfParts, X, A>, blocks, kThreads, 0, x, parts, shape.terms, plan.piece,
         static_cast<unsigned>(plan.parts), shape.terms);
  by_warp(static_cast<const A*>(parts), plan.parts);
}

template <typename X, typename Y>
void SumColumns(cudaStream_t stream, const X* x, Y* y, const ReductionShape& shape, const ReductionPlan& plan,
                void* scratch) {
  float* const parts = static_cast<float*>(scratch);
  Launch(stream, SumColumnsKernel<X>,
         dim3(BlocksFor(shape.results, int64_t{kWarp} * Vector<X>::kCount), static_cast<unsigned>(plan.parts)),
         dim3(kWarp, kColumnGroups), 0, x, parts, shape.terms, shape.results);
  LaunchAddParts(stream, parts, plan.parts, shape.results, y, static_cast<Y*>(nullptr), shape.results);
}

template <Reduction kReduction, typename X, typename Y>
void ReduceTyped(cudaStream_t stream, const void* source, void* result, const ReductionShape& shape,
                 const ReductionPlan& plan, void* scratch) {
  const X* x = static_cast<const X*>(source);
  Y* y = static_cast<Y*>(result);
  switch (plan.form) {
    case ReductionPlan::Form::kThreads:
      Launch(stream, ReduceByThread<kReduction, X, Y>, BlocksFor(shape.results, kThreads), kThreads, 0, x, y, shape);
      return;
    case ReductionPlan::Form::kBlocks:
      Launch(stream, ReduceByBlock<kReduction, X, Y>, static_cast<unsigned>(shape.results), kThreads, 0, x, y, shape);
      return;
    case ReductionPlan::Form::kRows:
      return ReduceRows<kReduction>(stream, x, y, shape, plan, scratch);
    case ReductionPlan::Form::kColumns:
      if constexpr (std::is_same_v<typename AccumulatorOf<X>::Type, float>) {
        SumColumns(stream, x, y, shape, plan, scratch);
      }
      return;
  }
}

template <Reduction kReduction>
void ReduceAs(cudaStream_t stream, DType x_dtype, const void* x, DType y_dtype, void* y, const ReductionShape& shape,
              const ReductionPlan& plan, void* scratch) {
  if (x_dtype == DType::kF64) return ReduceTyped<kReduction, double, double>(stream, x, y, shape, plan, scratch);
  if (x_dtype == DType::kI32) return ReduceTyped<kReduction, int32_t, int32_t>(stream, x, y, shape, plan, scratch);
  if (x_dtype == DType::kF32) return ReduceTyped<kReduction, float, float>(stream, x, y, shape, plan, scratch);
  if (y_dtype == DType::kF32) return ReduceTyped<kReduction, bf16, float>(stream, x, y, shape, plan, scratch);
  ReduceTyped<kReduction, bf16, bf16>(stream, x, y, shape, plan, scratch);
}

}  // namespace

void AddParts(cudaStream_t stream, const float* from, int64_t parts, int64_t stride, float* first, float* second,
              int64_t columns) {
  LaunchAddParts(stream, from, parts, stride, first, second, columns);
}

ReductionPlan PlanReduction(Reduction reduction, DType x, const ReductionShape& shape, int multiprocessors) {
  constexpr int64_t kFewTerms = 16, kBlockTerms = 64, kManyResults = 1 << 16;
  constexpr int64_t kResident = 4;  // blocks of a multiprocessor that hide the latency of memory
  using Form = ReductionPlan::Form;
  ReductionPlan plan;
  const int64_t size = SizeOf(x), wanted = kResident * multiprocessors;
  const bool columns = shape.kept == 1 && shape.reduced == 1 && shape.strides[0] == 1;
  if (shape.terms >= kFewTerms && shape.reduced == 1 && shape.kept <= 1 && shape.strides[shape.kept] == 1) {
    plan.form = Form::kRows;
    if (shape.terms > kPiece && shape.results < wanted) {
      const int64_t pieces = wanted / shape.results;
      plan.piece = std::max(kPiece, (shape.terms + pieces * 64 - 1) / (pieces * 64) * 64);
      plan.parts = (shape.terms + plan.piece - 1) / plan.piece;
      plan.scratch_bytes = static_cast<size_t>((size == 8 ? 8 : 4) * plan.parts * shape.results);
    }
  } else if (columns && shape.terms >= kFewTerms && reduction == Reduction::kSum && x != DType::kI32 && size <= 4 &&
             shape.results * size % 16 == 0) {
    plan.form = Form::kColumns;
    const int64_t across = (shape.results * size + 16 * kWarp - 1) / (16 * kWarp);
    plan.parts = std::clamp<int64_t>(shape.terms / (kAhead * kColumnGroups), 1, std::max<int64_t>(1, wanted / across));
    plan.scratch_bytes = static_cast<size_t>(4 * plan.parts * shape.results);
  } else if (shape.terms >= kBlockTerms && shape.results < kManyResults) {
    plan.form = Form::kBlocks;
  }
  return plan;
}

void Reduce(cudaStream_t stream, Reduction reduction, DType x_dtype, const void* x, DType y_dtype, void* y,
            const ReductionShape& shape, const ReductionPlan& plan, void* scratch) {
  switch (reduction) {
    case Reduction::kSum:
      return ReduceAs<Reduction::kSum>(stream, x_dtype, x, y_dtype, y, shape, plan, scratch);
    case Reduction::kMean:
      return ReduceAs<Reduction::kMean>(stream, x_dtype, x, y_dtype, y, shape, plan, scratch);
    case Reduction::kMax:
      return ReduceAs<Reduction::kMax>(stream, x_dtype, x, y_dtype, y, shape, plan, scratch);
  }
}

}  // namespace gptc::cuda
