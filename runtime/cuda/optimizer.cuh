// The optimizer: the global norm of the gradients, and AdamW (Loshchilov & Hutter 2019) in one pass over memory.
//
// global_norm  norm = sqrt(Σ g²) over all operands, f32 or bf16. Squares and sums in f64: a block adds up kNormChunk
//              elements of one tensor, then one block adds the chunks' sums, all in an order that depends on the shapes
//              alone. The list of tensors travels in the launches' parameters, kNormTensors at a time. Reads all once.
//              Workspace: 8 bytes a chunk.
// adamw        with the run-time scalars of ir/base/scalars.h, in device memory, computed in f64 and once a block, and
//              the elements in f32:
//                n  = norm · inverse_tokens / loss_scale
//                g  = grad · inverse_tokens / loss_scale · min(1, clip / (n + 1e-6))
//                m' = β₁·m + (1-β₁)·g
//                v' = β₂·v + (1-β₂)·g²
//                p' = p · (1 - lr·weight_decay) - lr / (1-β₁ᵗ) · m' / (√v' / √(1-β₂ᵗ) + ε)
//              The decay only with the attribute, the clipping only where clip > 0. A norm that is not finite leaves
//              all as it was. Reads param, grad, m, v; writes param, m, v, each of which may lie over what it replaces:
//              28 bytes an element.
// adamw_group  adamw of all its parameters in one launch, as long as they are at most 384, with the new parameters'
//              copies in bf16, also where the step is skipped: 2 bytes an element more. The list of tensors travels in
//              the launch's parameters.
#ifndef GPTC_RUNTIME_CUDA_OPTIMIZER_CUH_
#define GPTC_RUNTIME_CUDA_OPTIMIZER_CUH_

#include <cuda_runtime.h>

#include <cstdint>
#include <span>

namespace gptc::cuda {

inline constexpr int kNormChunk = 32768;
inline constexpr int kNormTensors = 160;  // a launch's parameters stay below 4 KB

struct NormTensor {
  const void* data;
  int64_t count;
  bool bf16;  // else f32
};

// Chunks of all tensors: doubles of workspace.
int64_t NormChunks(std::span<const NormTensor> tensors);

void GlobalNorm(cudaStream_t stream, std::span<const NormTensor> tensors, float* norm, double* chunks);

struct AdamWTensors {
  const float *param, *grad, *m, *v;
  float *param_new, *m_new, *v_new;
  void* copy;  // of the new parameter, in bf16; null: none
  int64_t count;
  bool decay;
};

// All pointers are at multiples of 16 bytes.
void AdamW(cudaStream_t stream, std::span<const AdamWTensors> all, const float* norm, const double* scalars,
           int multiprocessors);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_OPTIMIZER_CUH_
