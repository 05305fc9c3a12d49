// Attention by a library instead of our own kernels, behind an interface: cuDNN on a GPU, nothing under tests/simt.
#ifndef GPTC_RUNTIME_CUDA_ATTENTION_ENGINE_H_
#define GPTC_RUNTIME_CUDA_ATTENTION_ENGINE_H_

#include <cuda_runtime.h>

#include <memory>

#include "ir/base/status.h"
#include "runtime/exec/kernel.h"

namespace gptc {

class AttentionEngine {
 public:
  virtual ~AttentionEngine() = default;
  // Of flash_attention and flash_attention_backward. Unimplemented where the library has no such kernel: our own does
  // it. The kernel must not outlive the engine.
  virtual StatusOr<BoundKernel> BindForward(const KernelArgs& args) = 0;
  virtual StatusOr<BoundKernel> BindBackward(const KernelArgs& args) = 0;
};

// What $GPTC_ATTENTION asks for: "own" or nothing gives null; "cudnn" cuDNN's kernels, which are faster and add up the
// gradient of the queries by floating-point atomics, so that bits differ from run to run; "cudnn_same_bits" those of
// its kernels that do not, at the price of a workspace that grows with tokens². NotFound where there is no cuDNN,
// UsageError for other words.
StatusOr<std::unique_ptr<AttentionEngine>> MakeAttentionEngine(cudaStream_t stream);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_ATTENTION_ENGINE_H_
