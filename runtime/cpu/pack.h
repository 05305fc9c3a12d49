// Matrices in the layout of ir/base/packing.h.
#ifndef GPTC_RUNTIME_CPU_PACK_H_
#define GPTC_RUNTIME_CPU_PACK_H_

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc {

// w [k, n], or [n, k] with `transpose`, packed as f32 or bf16.
void PackMatrix(const float* w, int64_t k, int64_t n, bool transpose, DType dtype, void* y);

// The other way: a packed matrix [k, n] of f32 or bf16 as row-major f32, for machines whose products read no other.
void UnpackMatrix(DType dtype, const void* packed, int64_t k, int64_t n, float* y);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_PACK_H_
