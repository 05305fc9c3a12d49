#include "runtime/cuda/loss.cuh"

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kUnroll = 4;  // loads of a thread on their way at once
constexpr int kAhead = 6;   // the same, of copies into shared memory
constexpr float kLowest = -3.402823466e38f;

// exp(x), x <= 0. bf16's own error hides the approximation's.
template <typename T>
__device__ __forceinline__ float ExpOfNegative(float x) {
  constexpr float kLog2E = 1.44269504088896340736f;
  if constexpr (sizeof(T) == 2) return ptx::Exp2(x * kLog2E);
  return expf(x);
}

template <typename T>
struct Single {
  static constexpr int kCount = 1;
  T at[1];
};

// A row as items of neighbouring elements, which the block's threads take in turn. kVectors: of 16 bytes; else of one
// element.
template <typename T, bool kVectors>
struct Items {
  using Item = std::conditional_t<kVectors, Vector<T>, Single<T>>;
  static constexpr int kCount = Item::kCount;

  __device__ __forceinline__ static Item Load(const T* row, int item) {
    if constexpr (kVectors) {
      return LoadVector(row + item * kCount);
    } else {
      return {{row[item]}};
    }
  }
  __device__ __forceinline__ static void Store(T* row, int item, const float (&values)[kCount]) {
    if constexpr (kVectors) {
      StoreVector(row + item * kCount, Pack<T>(values));
    } else {
      row[item] = FromFloat<T>(values[0]);
    }
  }
  __device__ __forceinline__ static void Widen(const Item& item, float (&values)[kCount]) {
    if constexpr (kVectors) {
      Unpack(item, values);
    } else {
      values[0] = ToFloat(item.at[0]);
    }
  }
};

// Of a row's columns the first `classes` count. Items below `whole` hold nothing else, those from `used` on none.
struct Extent {
  int classes, whole, used, items;

  __device__ __forceinline__ Extent(const CrossEntropyArguments& p, int count)
      : classes(static_cast<int>(p.classes)),
        whole(classes / count),
        used((classes + count - 1) / count),
        items(static_cast<int>(p.columns) / count) {}
};

// The largest of some logits, and the sum of their exponentials over the largest's; lse is the largest plus the sum's
// logarithm. Apart, because large logits keep more digits as differences from the largest. Of nothing but -inf: the
// least number and 0.
template <typename T>
struct RowSum {
  float largest = kLowest, sum = 0;

  // A NaN, which the maximum may pass over, makes the sum NaN.
  template <int kCount>
  __device__ __forceinline__ void Add(const float (&values)[kCount]) {
    float most = values[0];
#pragma unroll
    for (int i = 1; i < kCount; ++i) most = fmaxf(most, values[i]);
    if (most > largest) {
      sum *= ExpOfNegative<T>(largest - most);
      largest = most;
    }
    float even = 0, odd = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) (i % 2 == 0 ? even : odd) += ExpOfNegative<T>(values[i] - largest);
    sum += even + odd;
  }

  // An item that may reach beyond the classes.
  template <typename Row, typename Item>
  __device__ __forceinline__ void AddItem(const Item& item, int index, int classes) {
    float values[Row::kCount];
    Row::Widen(item, values);
#pragma unroll
    for (int i = 0; i < Row::kCount; ++i) {
      if (index * Row::kCount + i >= classes) values[i] = -INFINITY;
    }
    Add(values);
  }

  // Over the block, for all its threads. Has a barrier behind everything that they did before.
  __device__ __forceinline__ void CombineBlock() {
    const float most = BlockMax<kThreads>(largest);
    sum = BlockSum<kThreads>(sum * ExpOfNegative<T>(largest - most));
    largest = most;
  }

  __device__ __forceinline__ float Loss(float logit) const { return (largest - logit) + logf(sum); }
};

template <typename T, bool kVectors>
__device__ __forceinline__ RowSum<T> SumOfRow(const T* row, const Extent& extent) {
  using Row = Items<T, kVectors>;
  RowSum<T> sum;
  int item = threadIdx.x;
  for (; item + (kUnroll - 1) * kThreads < extent.whole; item += kUnroll * kThreads) {
    typename Row::Item ahead[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) ahead[u] = Row::Load(row, item + u * kThreads);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      float values[Row::kCount];
      Row::Widen(ahead[u], values);
      sum.Add(values);
    }
  }
  for (; item < extent.used; item += kThreads) {
    sum.template AddItem<Row>(Row::Load(row, item), item, extent.classes);
  }
  sum.CombineBlock();
  return sum;
}

// The same, leaving the row in shared memory. A thread copies what it reads itself, so no barrier comes between.
template <typename T>
__device__ __forceinline__ RowSum<T> SumOfCopiedRow(const T* row, T* held, const Extent& extent) {
  using Row = Items<T, true>;
  int next = threadIdx.x;
  const auto copy_next = [&] {
    if (next < extent.used) ptx::CopyAsync16(held + next * Row::kCount, row + next * Row::kCount);
    ptx::CopyCommit();
    next += kThreads;
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) copy_next();
  RowSum<T> sum;
  int item = threadIdx.x;
  for (; item < extent.whole; item += kThreads) {
    copy_next();
    ptx::CopyWait<kAhead>();
    float values[Row::kCount];
    Row::Widen(Row::Load(held, item), values);
    sum.Add(values);
  }
  ptx::CopyWait<0>();
  if (item < extent.used) sum.template AddItem<Row>(Row::Load(held, item), item, extent.classes);
  sum.CombineBlock();
  return sum;
}

// to = (exp(from - shift)·factor - [column is target])·dloss; 0 beyond the classes. A target that is no class is none.
template <typename T, bool kVectors>
__device__ __forceinline__ void WriteGradient(const T* from, T* to, const Extent& extent, int target, float shift,
                                              float factor, float dloss) {
  using Row = Items<T, kVectors>;
  const float scale = factor * dloss;
  const auto write = [&](const typename Row::Item& raw, int item, auto may_be_part) {
    float values[Row::kCount];
    Row::Widen(raw, values);
    const int place = target - item * Row::kCount;
#pragma unroll
    for (float& value : values) value = ExpOfNegative<T>(value - shift);
    if (place >= 0 && place < Row::kCount && target < extent.classes) {
#pragma unroll
      for (int i = 0; i < Row::kCount; ++i) {
        values[i] = i == place ? (values[i] * factor - 1) * dloss : values[i] * scale;
      }
    } else {
#pragma unroll
      for (float& value : values) value *= scale;
    }
    if (decltype(may_be_part)::value && item >= extent.whole) {
#pragma unroll
      for (int i = 0; i < Row::kCount; ++i) {
        if (item * Row::kCount + i >= extent.classes) values[i] = 0;
      }
    }
    Row::Store(to, item, values);
  };
  int item = threadIdx.x;
  for (; item + (kUnroll - 1) * kThreads < extent.whole; item += kUnroll * kThreads) {
    typename Row::Item ahead[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) ahead[u] = Row::Load(from, item + u * kThreads);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) write(ahead[u], item + u * kThreads, std::false_type());
  }
  for (; item < extent.used; item += kThreads) write(Row::Load(from, item), item, std::true_type());
  const float zeros[Row::kCount] = {};
  for (; item < extent.items; item += kThreads) Row::Store(to, item, zeros);
}

template <typename T, bool kVectors>
__device__ __forceinline__ void WriteZeros(T* to, const Extent& extent) {
  const float zeros[Items<T, kVectors>::kCount] = {};
  for (int item = threadIdx.x; item < extent.items; item += kThreads) Items<T, kVectors>::Store(to, item, zeros);
}

template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads) LossKernel(CrossEntropyArguments p) {
  const int64_t row = blockIdx.x;
  const T* from = static_cast<const T*>(p.logits) + row * p.columns;
  const RowSum<T> sum = SumOfRow<T, kVectors>(from, Extent(p, Items<T, kVectors>::kCount));
  if (threadIdx.x != 0) return;
  const int target = p.targets[row];
  p.lse[row] = sum.largest + logf(sum.sum);
  p.losses[row] = target < 0 ? 0 : target >= p.classes ? NAN : sum.Loss(ToFloat(from[target]));
}

template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads) BackwardKernel(CrossEntropyArguments p) {
  const int64_t row = blockIdx.x;
  const int target = p.targets[row];
  const Extent extent(p, Items<T, kVectors>::kCount);
  T* to = static_cast<T*>(p.dlogits) + row * p.columns;
  if (target < 0) return WriteZeros<T, kVectors>(to, extent);
  WriteGradient<T, kVectors>(static_cast<const T*>(p.logits) + row * p.columns, to, extent, target, p.given_lse[row], 1,
                             p.dlosses[row]);
}

// kHeld: the row is kept in shared memory; else it is read twice, the second time from the caches if they can hold it.
template <typename T, bool kVectors, bool kHeld>
__global__ void __launch_bounds__(kThreads, 2) GradientKernel(CrossEntropyArguments p) {
  GPTC_DYNAMIC_SHARED(shared);
  const int64_t row = blockIdx.x;
  const int target = p.targets[row];
  const Extent extent(p, Items<T, kVectors>::kCount);
  const T* from = static_cast<const T*>(p.logits) + row * p.columns;
  T* to = static_cast<T*>(p.dlogits) + row * p.columns;
  if (target < 0) {
    if (threadIdx.x == 0) p.losses[row] = 0;
    return WriteZeros<T, kVectors>(to, extent);
  }
  // Read before the barriers of the sum, as `to` may be `from`.
  const float logit = target < p.classes ? ToFloat(from[target]) : NAN;
  RowSum<T> sum;
  if constexpr (kHeld) {
    T* const held = reinterpret_cast<T*>(shared);
    sum = SumOfCopiedRow(from, held, extent);
    from = held;
  } else {
    sum = SumOfRow<T, kVectors>(from, extent);
  }
  if (threadIdx.x == 0) p.losses[row] = sum.Loss(logit);
  WriteGradient<T, kVectors>(from, to, extent, target, sum.largest, 1 / sum.sum, p.dlosses[row]);
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
  constexpr size_t kForSums = 1 << 10;  // of shared memory, by the sums over a block
  WithRows(p, [&](auto element, auto vectors) {
    using T = decltype(element);
    constexpr bool kVectors = decltype(vectors)::value;
    const size_t bytes = static_cast<size_t>(p.columns) * sizeof(T);
    if (kVectors && bytes + kForSums <= p.most_shared) {
      Launch(stream, GradientKernel<T, kVectors, kVectors>, static_cast<unsigned>(p.rows), kThreads, bytes, p);
    } else {
      Launch(stream, GradientKernel<T, kVectors, false>, static_cast<unsigned>(p.rows), kThreads, 0, p);
    }
  });
}

}  // namespace gptc::cuda
