// The random numbers of dropout: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel Random Numbers: As Easy as
// 1, 2, 3"), a function of a counter and a key with no state. This file is the specification that the reference and
// every kernel follow: a mask depends on (seed, step, sequence, op key, element) alone, and so is the same under any
// number of threads, ranks, micro-batches or passes. What is constexpr serves the kernels of GPUs too.
//
//   key      the 64 bits Mix64(Mix64(seed) ^ op key): low half key[0], high half key[1]
//   counter  [0] bits  0..31 of block      block = element / 4, the element's row-major index within its sequence
//            [1] bits  0..31 of sequence   the entry of axis 0, counted in the global batch
//            [2] bits  0..31 of step
//            [3] bits 32..47 of block, and above them bits 32..47 of sequence
//   element  takes word element % 4 of the result
#ifndef GPTC_IR_BASE_PHILOX_H_
#define GPTC_IR_BASE_PHILOX_H_

#include <array>
#include <cmath>
#include <cstdint>

namespace gptc {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// The output function of splitmix64 (Steele, Lea, Flood 2014) after one step.
constexpr uint64_t Mix64(uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

constexpr PhiloxKey DropoutKey(uint64_t seed, int64_t op_key) {
  uint64_t mixed = Mix64(Mix64(seed) ^ static_cast<uint64_t>(op_key));
  return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

constexpr PhiloxCounter DropoutCounter(uint64_t block, uint64_t sequence, uint64_t step) {
  return {static_cast<uint32_t>(block), static_cast<uint32_t>(sequence), static_cast<uint32_t>(step),
          static_cast<uint32_t>((block >> 32) & 0xffff) | static_cast<uint32_t>((sequence >> 32) & 0xffff) << 16};
}

// An element is kept where its word >= DropoutThreshold(rate); 0 <= rate < 1.
inline uint32_t DropoutThreshold(double rate) {
  double threshold = std::ceil(rate * 0x1p32);
  return threshold >= 0x1p32 ? 0xffffffffu : static_cast<uint32_t>(threshold);
}

}  // namespace gptc

#endif  // GPTC_IR_BASE_PHILOX_H_
