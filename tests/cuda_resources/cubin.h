// What nvcc's kernels take of a multiprocessor, read from the cubins inside object files: what `cuobjdump
// --dump-resource-usage` says of them, without the tool, which not every toolkit has.
#ifndef GPTC_TESTS_CUDA_RESOURCES_CUBIN_H_
#define GPTC_TESTS_CUDA_RESOURCES_CUBIN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

struct KernelResources {
  std::string kernel;  // demangled, without namespaces and parameters: "FlashForwardKernel<64, false, 64, 2>"
  int sm = 0;
  int registers = 0;        // of a thread
  int64_t stack_bytes = 0;  // of a thread, with what the functions that it calls need: spilled registers lie there, too
  int64_t shared_bytes = 0;  // of a block: the arrays alone, without what the launch asks for or the system keeps
  int threads = 0;           // of the largest block
};

// Those of every cubin in `object`, an object file's bytes. Errors: a cubin is not as it should be, or a kernel in it
// has no __launch_bounds__.
StatusOr<std::vector<KernelResources>> ReadKernelResources(std::string_view object);

// Warps on a multiprocessor in parts of the most that it holds (64 on sm_80 and sm_90), with no more shared memory than
// the kernel's arrays.
double Occupancy(const KernelResources& resources);

}  // namespace gptc

#endif  // GPTC_TESTS_CUDA_RESOURCES_CUBIN_H_
