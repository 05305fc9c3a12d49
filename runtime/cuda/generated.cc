#include "runtime/cuda/generated.h"

namespace gptc {

GeneratedKernels::~GeneratedKernels() {
  for (cudaLibrary_t library : libraries_) cudaLibraryUnload(library);
}

Status GeneratedKernels::Load(const plan::GeneratedCodeT& code, int sm) {
  if (code.kernels.empty()) return OkStatus();
  if (sm < code.sm) {
    return FailedPrecondition("the plan's generated kernels are for compute capability ", code.sm / 10, ".",
                              code.sm % 10, ", this GPU has ", sm / 10, ".", sm % 10,
                              "; compile the model with --target cuda:sm_", sm);
  }
  // A cubin runs on GPUs of its own major version.
  const bool as_is = sm / 10 == code.sm / 10 && !code.cubin.empty();
  const void* const image = as_is ? static_cast<const void*>(code.cubin.data()) : code.ptx.c_str();
  const auto refused = [&](cudaError_t error, std::string_view what) {
    const bool too_new = error == cudaErrorUnsupportedPtxVersion || error == cudaErrorInvalidKernelImage ||
                         error == cudaErrorNoKernelImageForDevice;
    return FailedPrecondition(
        "the plan's generated kernels (", as_is ? "cubin" : "PTX", " for sm_", code.sm, ") cannot be loaded: ", what,
        cudaGetErrorString(error),
        too_new ? "; update the driver, or compile the model with the CUDA toolkit that it knows" : "");
  };
  cudaLibrary_t library = nullptr;
  if (const cudaError_t error = cudaLibraryLoadData(&library, image, nullptr, nullptr, 0, nullptr, nullptr, 0);
      error != cudaSuccess)
    return refused(error, "");
  libraries_.push_back(library);
  for (const auto& kernel : code.kernels) {
    LoadedKernel loaded;
    loaded.scratch_bytes = static_cast<size_t>(kernel->scratch_bytes);
    for (const auto& launch : kernel->launches) {
      cudaKernel_t function = nullptr;
      cudaError_t error = cudaLibraryGetKernel(&function, library, launch->function.c_str());
      // Asked for now, so that the driver does not load code while a graph is recorded.
      cudaFuncAttributes attributes;
      if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(function));
      if (error != cudaSuccess) return refused(error, Cat(launch->function, ": "));
      if (launch->columns == 0 || launch->rows == 0) continue;
      loaded.launches.push_back({function, dim3(launch->columns, launch->rows), launch->threads});
    }
    kernels_.insert_or_assign(kernel->name, std::move(loaded));
  }
  return OkStatus();
}

const LoadedKernel* GeneratedKernels::Find(std::string_view name) const {
  const auto at = kernels_.find(name);
  return at == kernels_.end() ? nullptr : &at->second;
}

}  // namespace gptc
