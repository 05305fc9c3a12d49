// Rows of GELU for kernels that apply it to what they have just computed. f32 or bf16.
#ifndef GPTC_RUNTIME_CPU_ACTIVATION_H_
#define GPTC_RUNTIME_CPU_ACTIVATION_H_

#include <cstddef>

#include "ir/base/dtype.h"

namespace gptc {

// y[i] = gelu(x[i]). y may be x.
void GeluRow(bool tanh, DType dtype, const void* x, void* y, size_t n);

// du[i] = dy[i]·gelu'(u[i]); sums[i] += du[i], as rounded to du's type. du may be dy.
void GeluBackwardRow(bool tanh, DType dtype, const void* u, const void* dy, void* du, float* sums, size_t n);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ACTIVATION_H_
