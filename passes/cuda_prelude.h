// The text that every generated CUDA program begins with (cuda_source.h): element types, wide accesses, the functions
// of a region's ops in f32, sums over a group of threads. It includes nothing, so that a plan's program can be compiled
// wherever it is read.
#ifndef GPTC_PASSES_CUDA_PRELUDE_H_
#define GPTC_PASSES_CUDA_PRELUDE_H_

#include <string_view>

namespace gptc {
std::string_view CudaPrelude();
}  // namespace gptc

#endif  // GPTC_PASSES_CUDA_PRELUDE_H_
