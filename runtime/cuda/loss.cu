#include "runtime/cuda/loss.cuh"

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 512;
constexpr size_t kMostShared = 200 << 10;  // leaves room for what the sums over a block take
constexpr float kLog2E = 1.44269504088896340736f;

// exp(x - shift). bf16's own error hides the approximation's.
template <typename T>
__device__ __forceinline__ float ExpBelow(float x, float shift) {
  if constexpr (sizeof(T) == 2) return ptx::Exp2((x - shift) * kLog2E);
  return expf(x - shift);
}

// Elements of a row, in items of E: visit(index of the first, item's elements as f32, how many).
template <typename T, bool kVectors>
struct RowItems {
  static constexpr int kCount = kVectors ? Vector<T>::kCount : 1;

  __device__ __forceinline__ static void Load(const T* row, int64_t item, float (&values)[kCount]) {
    if constexpr (kVectors) {
      Unpack(LoadVector(row + item * kCount), values);
    } else {
      values[0] = ToFloat(row[item]);
    }
  }
  __device__ __forceinline__ static void Store(T* row, int64_t item, const float (&values)[kCount]) {
    if constexpr (kVectors) {
      StoreVector(row + item * kCount, Pack<T>(values));
    } else {
      row[item] = FromFloat<T>(values[0]);
    }
  }
};

// Over this thread's share of the row's classes: the largest, against which a sum is then taken. Nothing but -inf: 0.
template <typename T, bool kVectors>
__device__ __forceinline__ float ShiftOfRow(const T* from, T* copy, int64_t classes, int64_t items) {
  using Items = RowItems<T, kVectors>;
  float most = -INFINITY;
  for (int64_t item = threadIdx.x; item < items; item += kThreads) {
    float values[Items::kCount];
    if constexpr (kVectors) {
      const Vector<T> raw = LoadVector(from + item * Items::kCount);
      if (copy != nullptr) StoreVector(copy + item * Items::kCount, raw);
      Unpack(raw, values);
    } else {
      const T raw = from[item];
      if (copy != nullptr) copy[item] = raw;
      values[0] = ToFloat(raw);
    }
#pragma unroll
    for (int i = 0; i < Items::kCount; ++i) {
      if (item * Items::kCount + i < classes) most = fmaxf(most, values[i]);
    }
  }
  most = BlockMax<kThreads>(most);
  return most == -INFINITY ? 0 : most;
}

template <typename T, bool kVectors>
__device__ __forceinline__ float SumOfRow(const T* from, float shift, int64_t classes, int64_t items) {
  using Items = RowItems<T, kVectors>;
  float sum = 0;
  for (int64_t item = threadIdx.x; item < items; item += kThreads) {
    float values[Items::kCount];
    Items::Load(from, item, values);
#pragma unroll
    for (int i = 0; i < Items::kCount; ++i) {
      if (item * Items::kCount + i < classes) sum += ExpBelow<T>(values[i], shift);
    }
  }
  return BlockSum<kThreads>(sum);
}

template <typename T, bool kVectors>
__device__ __forceinline__ void WriteGradient(const T* from, T* to, int64_t target, float shift, float factor,
                                              float dloss, int64_t classes, int64_t items) {
  using Items = RowItems<T, kVectors>;
  for (int64_t item = threadIdx.x; item < items; item += kThreads) {
    float values[Items::kCount];
    Items::Load(from, item, values);
#pragma unroll
    for (int i = 0; i < Items::kCount; ++i) {
      const int64_t column = item * Items::kCount + i;
      const float share = ExpBelow<T>(values[i], shift) * factor;
      values[i] = column >= classes ? 0 : (column == target ? share - 1 : share) * dloss;
    }
    Items::Store(to, item, values);
  }
}

template <typename T, bool kVectors>
__device__ __forceinline__ void WriteZeros(T* to, int64_t items) {
  using Items = RowItems<T, kVectors>;
  const float zeros[Items::kCount] = {};
  for (int64_t item = threadIdx.x; item < items; item += kThreads) Items::Store(to, item, zeros);
}

// largest, sum: lse = largest + log(sum), apart because large logits keep more digits as differences from the largest.
__device__ __forceinline__ float LossOf(float logit, float largest, float sum) { return (largest - logit) + logf(sum); }

template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads) LossKernel(CrossEntropyArguments p) {
  const int64_t row = blockIdx.x, items = p.columns / RowItems<T, kVectors>::kCount;
  const T* from = static_cast<const T*>(p.logits) + row * p.columns;
  const float shift = ShiftOfRow<T, kVectors>(from, nullptr, p.classes, items);
  const float sum = SumOfRow<T, kVectors>(from, shift, p.classes, items);
  if (threadIdx.x != 0) return;
  const int64_t target = p.targets[row];
  p.lse[row] = shift + logf(sum);
  p.losses[row] = target < 0 ? 0 : target >= p.classes ? NAN : LossOf(ToFloat(from[target]), shift, sum);
}

template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads) BackwardKernel(CrossEntropyArguments p) {
  const int64_t row = blockIdx.x, items = p.columns / RowItems<T, kVectors>::kCount, target = p.targets[row];
  const T* from = static_cast<const T*>(p.logits) + row * p.columns;
  T* to = static_cast<T*>(p.dlogits) + row * p.columns;
  if (target < 0) return WriteZeros<T, kVectors>(to, items);
  WriteGradient<T, kVectors>(from, to, target, p.given_lse[row], 1, p.dlosses[row], p.classes, items);
}

// kShared: the row is kept in shared memory; else it is read three times, by then from the caches.
template <typename T, bool kVectors, bool kShared>
__global__ void __launch_bounds__(kThreads, 2) GradientKernel(CrossEntropyArguments p) {
  GPTC_DYNAMIC_SHARED(shared);
  const int64_t row = blockIdx.x, items = p.columns / RowItems<T, kVectors>::kCount, target = p.targets[row];
  const T* from = static_cast<const T*>(p.logits) + row * p.columns;
  T* to = static_cast<T*>(p.dlogits) + row * p.columns;
  if (target < 0) {
    if (threadIdx.x == 0) p.losses[row] = 0;
    return WriteZeros<T, kVectors>(to, items);
  }
  T* const copy = kShared ? reinterpret_cast<T*>(shared) : nullptr;
  const float shift = ShiftOfRow<T, kVectors>(from, copy, p.classes, items);
  // A thread reads again what it wrote itself, thread 0 apart, which is behind the barriers of the maximum.
  if constexpr (kShared) from = copy;
  const float logit = target < p.classes ? ToFloat(from[target]) : NAN;
  const float sum = SumOfRow<T, kVectors>(from, shift, p.classes, items);
  if (threadIdx.x == 0) p.losses[row] = LossOf(logit, shift, sum);
  WriteGradient<T, kVectors>(from, to, target, shift, 1 / sum, p.dlosses[row], p.classes, items);
}

template <typename T, bool kVectors>
void RunGradient(cudaStream_t stream, const CrossEntropyArguments& p) {
  const size_t bytes = static_cast<size_t>(p.columns) * sizeof(T);
  if (bytes <= kMostShared) {
    Launch(stream, GradientKernel<T, kVectors, true>, static_cast<unsigned>(p.rows), kThreads, bytes, p);
  } else {
    Launch(stream, GradientKernel<T, kVectors, false>, static_cast<unsigned>(p.rows), kThreads, 0, p);
  }
}

// Calls run(T(), whether rows are whole vectors).
template <typename Run>
void WithRows(const CrossEntropyArguments& p, Run run) {
  const auto vectors = [&](auto element) {
    if (p.columns % Vector<decltype(element)>::kCount == 0) {
      run(element, std::true_type());
    } else {
      run(element, std::false_type());
    }
  };
  if (p.dtype == DType::kBF16) {
    vectors(bf16());
  } else {
    vectors(float());
  }
}

}  // namespace

void CrossEntropy(cudaStream_t stream, const CrossEntropyArguments& p) {
  WithRows(p, [&](auto element, auto vectors) {
    Launch(stream, LossKernel<decltype(element), decltype(vectors)::value>, static_cast<unsigned>(p.rows), kThreads, 0,
           p);
  });
}

void CrossEntropyBackward(cudaStream_t stream, const CrossEntropyArguments& p) {
  WithRows(p, [&](auto element, auto vectors) {
    Launch(stream, BackwardKernel<decltype(element), decltype(vectors)::value>, static_cast<unsigned>(p.rows), kThreads,
           0, p);
  });
}

void CrossEntropyGradient(cudaStream_t stream, const CrossEntropyArguments& p) {
  WithRows(p, [&](auto element, auto vectors) { RunGradient<decltype(element), decltype(vectors)::value>(stream, p); });
}

}  // namespace gptc::cuda
