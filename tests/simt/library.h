// Code that is loaded at run time, emulated, the last part of include/cuda_runtime.h: in place of a cubin stands a
// shared object of the host, which was compiled from the same source (generated_code.h). From there on everything is as
// on a GPU.
#ifndef GPTC_TESTS_SIMT_LIBRARY_H_
#define GPTC_TESTS_SIMT_LIBRARY_H_

#include <cstddef>
#include <utility>

namespace gptc::simt {

// What such a shared object exports for a function f that takes addresses: `emulated_f`.
struct EmulatedKernel {
  size_t parameters;
  void (*call)(void* const* values);
};
template <typename... Parameters, size_t... kIndex>
void CallWith(void (*kernel)(Parameters...), void* const* values, std::index_sequence<kIndex...>) {
  kernel(static_cast<Parameters>(values[kIndex])...);
}
template <auto kKernel, typename... Parameters>
EmulatedKernel Describe(void (*)(Parameters...)) {
  return {sizeof...(Parameters),
          [](void* const* values) { CallWith(kKernel, values, std::index_sequence_for<Parameters...>()); }};
}
#define GPTC_EMULATED_KERNEL(f) \
  extern "C" const ::gptc::simt::EmulatedKernel emulated_##f = ::gptc::simt::Describe<&f>(&f);

}  // namespace gptc::simt

using cudaLibrary_t = struct CUlib_st*;
using cudaKernel_t = struct CUkern_st*;
enum cudaJitOption {};
enum cudaLibraryOption {};
struct cudaFuncAttributes {
  int maxThreadsPerBlock;
};
cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned);
cudaError_t cudaLibraryUnload(cudaLibrary_t library);
cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
// The arguments are read now.
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream);

#endif  // GPTC_TESTS_SIMT_LIBRARY_H_
