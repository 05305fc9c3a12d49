// A permutation of [0, size) that is computed, not stored: the order of the training windows in shuffled order.
//
// A balanced Feistel network of 8 rounds over 2h bits, the least even number of bits that holds `size`; results past
// the end are put through it again until one falls within (cycle walking; Black and Rogaway, "Ciphers with Arbitrary
// Finite Domains", 2002). The size of the network's domain is below 4 * size + 4, so this takes fewer than four turns
// on average. Round r maps (left, right) to (right, left ^ f), where f is the low h bits of Mix(right + Mix(key + r *
// 0x9E3779B97F4A7C15)) and Mix is the finisher of SplitMix64 (Steele, Lea and Flood, 2014). The order of a training run
// depends on this text: it must not change.
#ifndef GPTC_RUNTIME_DATA_PERMUTATION_H_
#define GPTC_RUNTIME_DATA_PERMUTATION_H_

#include <bit>
#include <cstdint>

namespace gptc {

inline uint64_t Mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

// Where `index` goes. REQUIRES: index < size <= 2^62.
inline uint64_t Permute(uint64_t index, uint64_t size, uint64_t key) {
  const int half = std::bit_width(size - 1) / 2 + std::bit_width(size - 1) % 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = index >> half, right = index & mask;
    for (uint64_t round = 0; round < 8; ++round) {
      const uint64_t f = Mix(right + Mix(key + round * 0x9E3779B97F4A7C15u)) & mask;
      const uint64_t next = left ^ f;
      left = right;
      right = next;
    }
    index = left << half | right;
  } while (index >= size);
  return index;
}

// The key of an epoch's order.
inline uint64_t EpochKey(uint64_t seed, uint64_t epoch) { return Mix(Mix(seed + 0x9E3779B97F4A7C15u) + epoch); }

// How many tokens later the windows of an epoch begin: the golden-ratio sequence, whose first n points lie evenly over
// the window whatever n is, so that a text seen again is cut at other places. 0 in epoch 0. REQUIRES: sequence < 2^32.
inline uint64_t EpochShift(uint64_t epoch, uint64_t sequence) {
  const uint64_t fraction = epoch * 0x9E3779B97F4A7C15u >> 32;  // of 2^32
  return fraction * sequence >> 32;
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_PERMUTATION_H_
