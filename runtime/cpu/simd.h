// What the vector code (simd-inl.h) and its callers share. Include it before hwy/foreach_target.h.
//
// Code is compiled for baseline x86-64 (an emulation of 128-bit vectors), AVX2 and AVX-512, and chosen by the machine
// at run time.
#ifndef GPTC_RUNTIME_CPU_SIMD_H_
#define GPTC_RUNTIME_CPU_SIMD_H_

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif

#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc {

// A bf16 element in memory.
struct Bf16 {
  uint16_t bits;
};
inline float ToFloat(float value) { return value; }
inline float ToFloat(Bf16 value) { return FloatFromBf16(value.bits); }

// Coefficients, lowest order first, of the two polynomials described at ErfOfPositive.
inline constexpr float kErfSmall[] = {0.12837916612625122f,    -0.37612637877464294f,  0.11283782124519348f,
                                      -0.026865430176258087f,  0.005221031606197357f,  -0.0008484080317430198f,
                                      0.00011265958892181516f, -9.667044650996104e-06f};
inline constexpr float kErfcLarge[] = {1.128971815109253f,      0.6339126825332642f,      0.1081780195236206f,
                                       -0.02536429651081562f,   0.004384370055049658f,    -0.0005091670318506658f,
                                       3.2075120543595403e-05f, -1.3734328341286073e-08f, -1.383740624305574e-07f,
                                       6.449275335995708e-09f};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_SIMD_H_
