#include "runtime/devices/cuda_libraries.h"

#ifdef GPTC_CUDA
#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "ir/base/library.h"
#include "ir/base/status.h"
#endif

namespace gptc {
#ifdef GPTC_CUDA
namespace {

// `version` makes text of what the library's function `symbol` says.
CudaLibrary Find(std::string_view what, std::string_view use, std::initializer_list<const char*> names,
                 const char* symbol, std::string (*version)(void* function)) {
  CudaLibrary found{.name = std::string(what), .use = std::string(use), .version = "", .path = "", .missing = ""};
  const StatusOr<void*> library = OpenLibrary(what, names);
  const StatusOr<void*> function = library.ok() ? FindSymbol(what, *library, symbol) : library;
  if (!function.ok()) {
    found.missing = Message(function.status());
    return found;
  }
  found.version = version(*function);
  found.path = FileOfSymbol(*function);
  return found;
}

std::string CublasLtVersion(void* function) {
  const size_t version = reinterpret_cast<size_t (*)()>(function)();
  return Cat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

std::string CudnnVersion(void* function) {
  const size_t version = reinterpret_cast<size_t (*)()>(function)();
  return Cat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

std::string NcclVersion(void* function) {
  int version = 0;
  reinterpret_cast<int (*)(int*)>(function)(&version);
  return Cat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

std::string NvrtcVersion(void* function) {
  int major = 0, minor = 0;
  reinterpret_cast<int (*)(int*, int*)>(function)(&major, &minor);
  return Cat(major, ".", minor);
}

}  // namespace

std::vector<CudaLibrary> FindCudaLibraries() {
  return {
      Find("cuBLASLt", "matrix products", {"libcublasLt.so.13", "libcublasLt.so"}, "cublasLtGetVersion",
           &CublasLtVersion),
      Find("cuDNN", "attention, optional", {"libcudnn.so.9"}, "cudnnGetVersion", &CudnnVersion),
      Find("NCCL", "several GPUs", {"libnccl.so.2"}, "ncclGetVersion", &NcclVersion),
      Find("NVRTC", "compiling fused kernels", {"libnvrtc.so.13", "libnvrtc.so"}, "nvrtcVersion", &NvrtcVersion),
  };
}
#else
std::vector<CudaLibrary> FindCudaLibraries() { return {}; }
#endif

}  // namespace gptc
