// The generated kernels of plans (runtime/plan/generated.h), loaded as functions of the GPU.
#ifndef GPTC_RUNTIME_CUDA_GENERATED_H_
#define GPTC_RUNTIME_CUDA_GENERATED_H_

#include <cuda_runtime.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/plan/plan.h"

namespace gptc {

struct LoadedKernel {
  struct Launch {
    cudaKernel_t function = nullptr;
    dim3 grid;
    unsigned threads = 0;
  };
  std::vector<Launch> launches;  // in order; without empty ones
  size_t scratch_bytes = 0;      // where not 0, the functions' last argument is the address of so many
};

class GeneratedKernels {
 public:
  GeneratedKernels() = default;
  GeneratedKernels(const GeneratedKernels&) = delete;
  GeneratedKernels& operator=(const GeneratedKernels&) = delete;
  ~GeneratedKernels();

  // For a GPU of compute capability sm / 10: the cubin where it runs there, the PTX on newer ones.
  // FailedPrecondition on older ones, and where the driver does not take them.
  Status Load(const plan::GeneratedCodeT& code, int sm);

  // Null where no plan that was loaded has it. Valid until one that has it, too, is loaded.
  const LoadedKernel* Find(std::string_view name) const;

 private:
  std::vector<cudaLibrary_t> libraries_;
  std::map<std::string, LoadedKernel, std::less<>> kernels_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_GENERATED_H_
