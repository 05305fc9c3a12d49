// NVIDIA's run-time compiler, which gptc calls where it compiles for a GPU. The library is looked for when it is
// needed: gptc builds and runs without it, and it needs no GPU.
#ifndef GPTC_PASSES_NVRTC_H_
#define GPTC_PASSES_NVRTC_H_

#include <string>

#include "ir/base/status.h"

namespace gptc {

struct CudaBinary {
  std::string cubin;  // for one GPU
  std::string ptx;    // for that and newer ones
};

// Whether the library is there. NotFound names what was looked for and where (ir/base/library.h).
Status FindNvrtc();
// "13.0", of the library found.
StatusOr<std::string> NvrtcVersion();

// Compiles a program for compute capability sm / 10. Functions are found by the names that extern "C" gives them.
// Errors: the compiler's own first lines.
StatusOr<CudaBinary> CompileCuda(const std::string& program, int sm);

// The same, kept on disk by the content: $XDG_CACHE_HOME/gptc or ~/.cache/gptc. Where nothing can be kept, nothing is.
StatusOr<CudaBinary> CompileCudaCached(const std::string& program, int sm);

}  // namespace gptc

#endif  // GPTC_PASSES_NVRTC_H_
