#include "runtime/cuda/optimizer.cuh"

#include <algorithm>
#include <cmath>

#include "ir/base/scalars.h"
#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

// --- global_norm -----------------------------------------------------------------------------------------------------

constexpr int kNormThreads = 256;
constexpr int kNormTotalThreads = 1024;

// Tensors of one launch. Block b works on the last tensor whose first block is not after b.
struct NormTable {
  const void* data[kNormTensors];
  int64_t count[kNormTensors];  // as -1 - count for bf16
  int32_t first_block[kNormTensors];
  int32_t tensors;
  int32_t first_chunk;  // of all launches' chunks, the one of block 0
};
static_assert(sizeof(NormTable) <= 4000);

// Σ x² of x[0 .. n), by the block's threads, each in four sums.
template <typename T>
__device__ __forceinline__ double Squares(const T* x, int n) {
  constexpr int kCount = Vector<T>::kCount, kAhead = 4;
  double sums[4] = {};
  const int vectors = n / kCount;
  for (int i = threadIdx.x; i < vectors; i += kAhead * kNormThreads) {
    Vector<T> ahead[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int at = i + k * kNormThreads;
      ahead[k] = at < vectors ? LoadVectorOnce(x + static_cast<int64_t>(at) * kCount) : Vector<T>{};
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const double value = static_cast<double>(ToFloat(ahead[k].at[j]));
        sums[j % 4] = fma(value, value, sums[j % 4]);
      }
    }
  }
  const int rest = vectors * kCount + static_cast<int>(threadIdx.x);
  if (rest < n) {
    const double value = static_cast<double>(ToFloat(x[rest]));
    sums[0] = fma(value, value, sums[0]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

__global__ __launch_bounds__(kNormThreads) void NormChunksKernel(const NormTable table, double* __restrict__ chunks) {
  const int block = static_cast<int>(blockIdx.x);
  int low = 0, high = table.tensors;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (table.first_block[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const bool is_bf16 = table.count[low] < 0;
  const int64_t count = is_bf16 ? -1 - table.count[low] : table.count[low];
  const int64_t begin = static_cast<int64_t>(block - table.first_block[low]) * kNormChunk;
  const int n = static_cast<int>(count - begin < kNormChunk ? count - begin : kNormChunk);
  const double sum = BlockSum<kNormThreads>(is_bf16 ? Squares(static_cast<const bf16*>(table.data[low]) + begin, n)
                                                    : Squares(static_cast<const float*>(table.data[low]) + begin, n));
  if (threadIdx.x == 0) chunks[table.first_chunk + block] = sum;
}

__global__ __launch_bounds__(kNormTotalThreads) void NormTotalKernel(const double* __restrict__ chunks, int64_t count,
                                                                     float* __restrict__ norm) {
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += kNormTotalThreads) sum += chunks[i];
  sum = BlockSum<kNormTotalThreads>(sum);
  if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum));
}

// --- adamw -----------------------------------------------------------------------------------------------------------

constexpr int kAdamWThreads = 256;
constexpr int kAdamWBlocks = 4;  // a multiprocessor
constexpr int kAdamWPiece = kAdamWThreads * 4;

// Tensors of one launch, none of them empty. Piece p of the launch is of the last tensor whose first piece is not after
// p.
template <int kTensors>
struct AdamWTable {
  AdamWTensors of[kTensors];
  int32_t first_piece[kTensors + 1];  // behind the last tensor's: how many there are
  int32_t tensors;
};
// A launch may have 32,764 bytes of parameters from compute capability 7.0 on (CUDA 12.1).
constexpr int kAdamWMostTensors = 384;
static_assert(sizeof(AdamWTable<kAdamWMostTensors>) <= 32700);

// What one step does to every element of a parameter.
struct AdamWStep {
  float gradient;  // factor of the gradient: scales and clipping
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float keep;          // 1 - lr · weight_decay, for parameters with decay
  float rate;          // lr / (1 - β₁ᵗ)
  float inverse_root;  // 1 / √(1 - β₂ᵗ)
  float epsilon;
  bool skip;
};

// base^exponent by squaring, for the step's number; its relative error grows as exponent · 2⁻⁵³, while what the
// moments' correction sees of it falls faster. CUDA's pow is a call, with a stack frame.
__device__ __forceinline__ double Power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) power *= base;
    base *= base;
  }
  return power;
}

// By the first warp: lane 0 has the power of β₁, all others that of β₂.
__device__ __forceinline__ AdamWStep StepOf(float norm, const double* scalars) {
  const double scale = scalars[kInverseTokens] / scalars[kLossScale];
  const double true_norm = static_cast<double>(norm) * scale;
  const double clip = scalars[kClip], rate = scalars[kLearningRate];
  const double beta1 = scalars[kBeta1], beta2 = scalars[kBeta2];
  const double power = Power(threadIdx.x == 0 ? beta1 : beta2, static_cast<int64_t>(scalars[kStep]));
  const double power1 = __shfl_sync(0xffffffffu, power, 0), power2 = __shfl_sync(0xffffffffu, power, 1);
  AdamWStep step;
  step.skip = !isfinite(true_norm);
  step.gradient = static_cast<float>(clip > 0 ? scale * fmin(1.0, clip / (true_norm + 1e-6)) : scale);
  step.beta1 = static_cast<float>(beta1);
  step.one_minus_beta1 = static_cast<float>(1 - beta1);
  step.beta2 = static_cast<float>(beta2);
  step.one_minus_beta2 = static_cast<float>(1 - beta2);
  step.keep = static_cast<float>(1 - rate * scalars[kWeightDecay]);
  step.rate = static_cast<float>(rate / (1 - power1));
  step.inverse_root = static_cast<float>(1 / sqrt(1 - power2));
  step.epsilon = static_cast<float>(scalars[kEpsilon]);
  return step;
}

__device__ __forceinline__ void Update(const AdamWStep& s, float keep, float grad, float& param, float& m, float& v) {
  const float g = grad * s.gradient;
  m = fmaf(s.beta1, m, s.one_minus_beta1 * g);
  v = fmaf(s.beta2, v, s.one_minus_beta2 * g * g);
  param = fmaf(-s.rate, m / fmaf(sqrtf(v), s.inverse_root, s.epsilon), param * keep);
}

// Blocks that stay: each works on every gridDim.x-th piece, so that all are done at once whatever the tensors' sizes,
// and computes the step while its first piece is on its way. Of a tensor's last piece a thread may have fewer elements
// than a vector.
template <int kTensors>
__global__ __launch_bounds__(kAdamWThreads,
                             kAdamWBlocks) void AdamWKernel(const __grid_constant__ AdamWTable<kTensors> table,
                                                            const float* __restrict__ norm,
                                                            const double* __restrict__ scalars) {
  GPTC_SHARED(AdamWStep, shared, 1);
  const int pieces = table.first_piece[table.tensors];
  int tensor = 0;    // of the piece at hand
  int64_t i = 0;     // in the tensor, the first of this thread's elements
  int64_t left = 0;  // elements from there to the tensor's end
  Vector<float> param = {}, grad = {}, m = {}, v = {};
  const auto load = [&](int piece) {
    while (piece >= table.first_piece[tensor + 1]) ++tensor;
    const AdamWTensors& x = table.of[tensor];
    i = static_cast<int64_t>(piece - table.first_piece[tensor]) * kAdamWPiece + threadIdx.x * 4;
    left = x.count - i;
    if (left >= 4) {
      grad = LoadVectorOnce(x.grad + i);
      param = LoadVectorOnce(x.param + i);
      m = LoadVectorOnce(x.m + i);
      v = LoadVectorOnce(x.v + i);
      return;
    }
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      if (k >= left) break;
      grad.at[k] = x.grad[i + k];
      param.at[k] = x.param[i + k];
      m.at[k] = x.m[i + k];
      v.at[k] = x.v[i + k];
    }
  };
  const auto store = [&] {
    const AdamWTensors& x = table.of[tensor];
    if (left >= 4) {
      StoreVectorOnce(x.param_new + i, param);
      StoreVectorOnce(x.m_new + i, m);
      StoreVectorOnce(x.v_new + i, v);
      if (x.copy != nullptr) {
        *reinterpret_cast<uint2*>(static_cast<bf16*>(x.copy) + i) =
            make_uint2(ptx::PackBf16(param.at[0], param.at[1]), ptx::PackBf16(param.at[2], param.at[3]));
      }
      return;
    }
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      if (k >= left) break;
      x.param_new[i + k] = param.at[k];
      x.m_new[i + k] = m.at[k];
      x.v_new[i + k] = v.at[k];
      if (x.copy != nullptr) static_cast<bf16*>(x.copy)[i + k] = FromFloat<bf16>(param.at[k]);
    }
  };

  int piece = static_cast<int>(blockIdx.x);
  load(piece);
  if (threadIdx.x < kWarp) {
    const AdamWStep step = StepOf(*norm, scalars);
    if (threadIdx.x == 0) shared[0] = step;
  }
  __syncthreads();
  const AdamWStep step = shared[0];
  while (true) {
    if (!step.skip) {
      const float keep = table.of[tensor].decay ? step.keep : 1.0f;
#pragma unroll
      for (int k = 0; k < 4; ++k) Update(step, keep, grad.at[k], param.at[k], m.at[k], v.at[k]);
    }
    store();
    piece += static_cast<int>(gridDim.x);
    if (piece >= pieces) return;
    load(piece);
  }
}

template <int kTensors>
void LaunchAdamW(cudaStream_t stream, std::span<const AdamWTensors> all, const float* norm, const double* scalars,
                 int multiprocessors) {
  AdamWTable<kTensors> table = {};
  const auto launch = [&] {
    const int pieces = table.first_piece[table.tensors];
    const int blocks = std::min(pieces, kAdamWBlocks * multiprocessors);
    Launch(stream, AdamWKernel<kTensors>, dim3(static_cast<unsigned>(blocks)), dim3(kAdamWThreads), 0, table, norm,
           scalars);
    table.tensors = 0;
  };
  for (const AdamWTensors& tensors : all) {
    if (tensors.count == 0) continue;
    if (table.tensors == kTensors) launch();
    table.of[table.tensors++] = tensors;
    table.first_piece[table.tensors] =
        table.first_piece[table.tensors - 1] + static_cast<int32_t>(BlocksFor(tensors.count, kAdamWPiece));
  }
  launch();
}

int64_t ChunksOf(const NormTensor& tensor) { return (tensor.count + kNormChunk - 1) / kNormChunk; }

}  // namespace

int64_t NormChunks(std::span<const NormTensor> tensors) {
  int64_t chunks = 0;
  for (const NormTensor& tensor : tensors) chunks += ChunksOf(tensor);
  return chunks;
}

void GlobalNorm(cudaStream_t stream, std::span<const NormTensor> tensors, float* norm, double* chunks) {
  NormTable table = {};
  int32_t blocks = 0;
  const auto launch = [&] {
    Launch(stream, NormChunksKernel, dim3(static_cast<unsigned>(blocks)), dim3(kNormThreads), 0, table, chunks);
    table.first_chunk += blocks;
    table.tensors = blocks = 0;
  };
  for (const NormTensor& tensor : tensors) {
    if (tensor.count == 0) continue;
    if (table.tensors == kNormTensors) launch();
    table.data[table.tensors] = tensor.data;
    table.count[table.tensors] = tensor.bf16 ? -1 - tensor.count : tensor.count;
    table.first_block[table.tensors++] = blocks;
    blocks += static_cast<int32_t>(ChunksOf(tensor));
  }
  launch();
  Launch(stream, NormTotalKernel, dim3(1), dim3(kNormTotalThreads), 0, chunks, int64_t{table.first_chunk}, norm);
}

void AdamW(cudaStream_t stream, std::span<const AdamWTensors> all, const float* norm, const double* scalars,
           int multiprocessors) {
  if (all.size() == 1) {
    LaunchAdamW<1>(stream, all, norm, scalars, multiprocessors);
  } else {
    LaunchAdamW<kAdamWMostTensors>(stream, all, norm, scalars, multiprocessors);
  }
}

}  // namespace gptc::cuda
