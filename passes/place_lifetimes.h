// Lifetimes -> offsets, the memory planner's algorithm. It knows no IR: an interval of steps and a size in, an offset
// out.
#ifndef GPTC_PASSES_PLACE_LIFETIMES_H_
#define GPTC_PASSES_PLACE_LIFETIMES_H_

#include <cstdint>
#include <span>
#include <vector>

namespace gptc {

// A block of `bytes` that must keep its content from step `begin` to step `end`, both included.
struct Lifetime {
  int begin, end;
  int64_t bytes;
};

struct Placement {
  std::vector<int64_t> offsets;  // one a lifetime, multiples of the alignment
  int64_t peak = 0;              // the largest offset + bytes
  int64_t lower_bound = 0;       // the largest sum of bytes alive at one step: no placement can need less
};

// Blocks that are alive at the same step never overlap. Greedy: in several orders (size, area, time) each block takes
// the lowest gap that holds it; the best order wins (Sekiyama et al. 2018). Where none meets the bound, orders between
// them are drawn. Deterministic. Time: quadratic in the number of blocks, with a small constant.
Placement PlaceLifetimes(std::span<const Lifetime> lifetimes, int64_t alignment);

}  // namespace gptc

#endif  // GPTC_PASSES_PLACE_LIFETIMES_H_
