// cudaLibrary*, and the launch of what they load.
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/simt/simt.h"

struct CUlib_st {
  void* handle;
  // Open as long as the library is loaded: the loader takes files of one name for one library.
  int file;
};

namespace {

// Images come without their size; the table of sections stands at their end.
size_t BytesOf(const void* image) {
  Elf64_Ehdr header;
  memcpy(&header, image, sizeof header);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != EM_X86_64) return 0;
  return header.e_shoff + size_t{header.e_shnum} * header.e_shentsize;
}

}  // namespace

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
  const size_t bytes = BytesOf(code);
  if (bytes == 0) return cudaErrorInvalidValue;
  const int file = memfd_create("emulated_cubin", MFD_CLOEXEC);
  if (file < 0 || write(file, code, bytes) != static_cast<ssize_t>(bytes)) return cudaErrorMemoryAllocation;
  void* const handle = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    close(file);
    return cudaErrorInvalidValue;
  }
  *library = new CUlib_st{handle, file};
  return cudaSuccess;
}
cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
  dlclose(library->handle);
  close(library->file);
  delete library;
  return cudaSuccess;
}
cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  *kernel = reinterpret_cast<cudaKernel_t>(dlsym(library->handle, (std::string("emulated_") + name).c_str()));
  return *kernel == nullptr ? cudaErrorInvalidResourceHandle : cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {1024};
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream) {
  const auto* const kernel = static_cast<const gptc::simt::EmulatedKernel*>(function);
  std::vector<void*> values(kernel->parameters);  // as they are now: the launch may come later
  for (size_t i = 0; i < values.size(); ++i) values[i] = *static_cast<void**>(arguments[i]);
  gptc::simt::EnqueueGrid(
      stream, grid, block, shared_bytes, [=] { kernel->call(values.data()); }, function);
  return cudaSuccess;
}
