// Normal random numbers: initial weights.
#ifndef GPTC_RUNTIME_CPU_NORMAL_H_
#define GPTC_RUNTIME_CPU_NORMAL_H_

#include <cstdint>

#include "ir/base/philox.h"

namespace gptc {

// data[i] = stddev · N(0, 1) for i in [0, count), a function of (key, i) alone (but for rounding, which differs between
// instruction sets): the Philox4x32-10 block i / 4 with counter (i / 4 as 64 bits, 0, 0) gives four words, words 0 and
// 1 make elements 0 and 1 of the block, words 2 and 3 elements 2 and 3, by u = (word >> 8 + 1) · 2^-24, a = (other word
// >> 8) · 2^-24 · 2π - π and √(-2 ln u) · (cos a, sin a) (Box & Muller 1958). Parallel; the same on any number of
// threads.
void FillNormal(float* data, int64_t count, float stddev, PhiloxKey key);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_NORMAL_H_
