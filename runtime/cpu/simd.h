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

inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;
// ln 2 in two parts, of which the first times an integer below 2^10 is exact.
inline constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
// Adding this rounds to an integer, and leaves 127 + that integer in the lowest bits: an exponent.
inline constexpr float kExp2Shift = 12582912.0f + 127.0f;
// (2^r - 1) / r for |r| <= 1/2, lowest order first; a fit of our own by interpolation at Chebyshev nodes. With it 2^r
// is off by 1e-8, before rounding.
inline constexpr float kExp2[] = {0.69314718246f,   0.24022650719f,   0.055503569543f,
                                  0.0096180830151f, 0.0013390863314f, 0.00015453163360f};

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
