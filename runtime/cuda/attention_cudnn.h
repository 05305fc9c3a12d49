// Attention by cuDNN's fused kernels, where the library is found: an alternative to flash_attention.cu for bf16 without
// dropout and segments. Operands and results are those of the ops flash_attention and flash_attention_backward.
#ifndef GPTC_RUNTIME_CUDA_ATTENTION_CUDNN_H_
#define GPTC_RUNTIME_CUDA_ATTENTION_CUDNN_H_

#include <cuda_runtime.h>

#include <memory>
#include <string>
#include <string_view>

#include "ir/base/status.h"
#include "runtime/cuda/attention_engine.h"
#include "runtime/exec/kernel.h"

namespace gptc {

class CudnnAttention : public AttentionEngine {
 public:
  // Bits: the backward gives the same bits in every run, but is slower and needs a workspace of up to
  // 2 · batch · heads · tokens² bytes; else it adds up dq in memory by floating-point atomics.
  enum class Bits { kSame, kMayDiffer };

  // Kernels are enqueued on `stream`. NotFound, with all that was tried, where there is no cuDNN; FailedPrecondition
  // where it is too old.
  static StatusOr<std::unique_ptr<CudnnAttention>> Open(cudaStream_t stream, Bits bits = Bits::kSame);

  // "cuDNN 9.19.0 (/usr/local/cuda/lib64/libcudnn.so.9)".
  virtual std::string name() const = 0;
  // Unimplemented where there is no such kernel. Workspace: cuDNN's, which is known only here, and in the backward
  // 4 · batch · heads · tokens bytes and, where bits may differ, 4 · batch · tokens · width. The kernel may be recorded
  // into a CUDA graph. It must not outlive this object.
  StatusOr<BoundKernel> BindForward(const KernelArgs& args) override = 0;
  StatusOr<BoundKernel> BindBackward(const KernelArgs& args) override = 0;
};

// Builds both plans for a GPU of these properties (the text of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), which need
// not be there: "forward: workspace 0 bytes; backward: ...".
StatusOr<std::string> DescribeCudnnAttention(std::string_view properties, int64_t batch, int64_t tokens, int64_t heads,
                                             int64_t head_size, bool causal, CudnnAttention::Bits bits);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_ATTENTION_CUDNN_H_
