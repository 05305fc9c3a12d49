// Which of NVIDIA's libraries this program would use here.
#ifndef GPTC_RUNTIME_DEVICES_CUDA_LIBRARIES_H_
#define GPTC_RUNTIME_DEVICES_CUDA_LIBRARIES_H_

#include <string>
#include <vector>

namespace gptc {

struct CudaLibrary {
  std::string name, use;
  std::string version, path;  // "" where it was not found
  std::string missing;        // why not, and where it was looked for; "" where it was found
};

// Opens each of them. Nothing where the program was built without CUDA.
std::vector<CudaLibrary> FindCudaLibraries();

}  // namespace gptc

#endif  // GPTC_RUNTIME_DEVICES_CUDA_LIBRARIES_H_
