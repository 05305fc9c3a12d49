// What a kernel file asks of its compiler: nvcc, or a C++ compiler with the emulator of tests/simt, which has a header
// of this name of its own.
//
// Rules that let one source serve both: shared arrays are declared by the macros below, kernels are launched by
// Launch(), every instruction that C++ has no words for stands in ptx.cuh. No cooperative groups, no printf, no device
// allocation.
#ifndef GPTC_RUNTIME_CUDA_LAUNCH_CUH_
#define GPTC_RUNTIME_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#ifdef GPTC_SIMT
// A pointer `name` to `count` elements of the block's shared memory.
#define GPTC_SHARED(type, name, count)                \
  type* const name = ::gptc::simt::SharedArray<type>( \
      [] {                                            \
        static char site;                             \
        return &site;                                 \
      }(),                                            \
      (count))
// A pointer to the shared bytes that the launch asked for, aligned to 1,024.
#define GPTC_DYNAMIC_SHARED(name) unsigned char* const name = ::gptc::simt::DynamicShared()
#else
#define GPTC_SHARED(type, name, count) __shared__ type name[count]
#define GPTC_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif

namespace gptc::cuda {

inline constexpr size_t kPlainSharedBytes = 48 << 10;  // more must be asked for, kernel by kernel

// Enqueues kernel(arguments...) on the stream. Nothing where the grid is empty. Errors are the stream's: the device
// reports them when it is synchronized.
template <typename... Parameters, typename... Arguments>
void Launch(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#ifdef GPTC_SIMT
  ::gptc::simt::EnqueueGrid(
      stream, grid, block, shared_bytes, [=] { kernel(static_cast<Parameters>(arguments)...); },
      reinterpret_cast<const void*>(kernel));
#else
  if (shared_bytes > kPlainSharedBytes) {
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  // clang-format off
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  // clang-format on
#endif
}

// Blocks of `size` that cover `count`.
inline unsigned BlocksFor(int64_t count, int64_t size) { return static_cast<unsigned>((count + size - 1) / size); }

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_LAUNCH_CUH_
