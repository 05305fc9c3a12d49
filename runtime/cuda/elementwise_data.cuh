// The elementwise ops that move or choose data rather than compute.
//
//   compare   any dtype but f16; a NaN is unequal to everything and in no order
//   select    y = condition ? a : b; any dtype, as bits
//   cast      between all dtypes. To bf16 and f16 rounds to nearest even; f64 goes by way of f32. To integers truncates
//             towards 0, saturates, and makes 0 of a NaN. To bool says whether the value is not 0.
//   constant  any dtype, as bits
//   iota      i32
// Copies are movement.cuh's. Memory bound: reads each operand once, writes the result once.
#ifndef GPTC_RUNTIME_CUDA_ELEMENTWISE_DATA_CUH_
#define GPTC_RUNTIME_CUDA_ELEMENTWISE_DATA_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "ir/base/dtype.h"
#include "runtime/cuda/nest.h"

namespace gptc::cuda {

// What an order between two elements makes true, a bit each.
enum Order : uint32_t { kLess = 1, kEqual = 2, kGreater = 4, kUnordered = 8 };

// y is whether the order of a and b, of this dtype, is one of `orders`.
void ApplyCompare(cudaStream_t stream, uint32_t orders, DType dtype, const Nest& nest, const void* a, const void* b,
                  uint8_t* y);
// a, b and y have elements of `size` bytes.
void ApplySelect(cudaStream_t stream, int size, const Nest& nest, const uint8_t* condition, const void* a,
                 const void* b, void* y);
// REQUIRES: two dtypes.
void ApplyCast(cudaStream_t stream, DType from, DType to, const void* x, void* y, int64_t count);
// y holds `bytes` bytes: elements of `size` bytes with these bits.
void ApplyFill(cudaStream_t stream, uint64_t bits, int size, void* y, int64_t bytes);
// y[i] = i / inner % size for i < count.
void ApplyIota(cudaStream_t stream, int64_t inner, int64_t size, int32_t* y, int64_t count);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_ELEMENTWISE_DATA_CUH_
