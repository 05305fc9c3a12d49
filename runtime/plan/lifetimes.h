// Which value lies where in the arena, and when: read back from a plan. A view (reshape) belongs to the value that it
// looks at; a result written over an operand is a value of its own in the same place.
#ifndef GPTC_RUNTIME_PLAN_LIFETIMES_H_
#define GPTC_RUNTIME_PLAN_LIFETIMES_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/plan.h"

namespace gptc {

// Bytes of the arena that hold one value from step `begin` to step `end`, both included.
struct ArenaBlock {
  uint32_t buffer = 0;  // the value as it was written first
  int64_t begin = 0, end = 0;
  int64_t offset = 0, bytes = 0;
  int64_t writer = -1;  // the step that writes it; -1: an input
};

// Every value of the entry point that lies in the arena, in the order in which they appear.
std::vector<ArenaBlock> ArenaBlocks(const plan::EntryT& entry);
// What holds memory during `step`, by offset. Where a result is written over its operand, the result.
std::vector<ArenaBlock> BlocksAt(const std::vector<ArenaBlock>& blocks, int64_t step);
// Bytes held at each step of the entry point.
std::vector<int64_t> LiveBytes(const plan::EntryT& entry);

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_LIFETIMES_H_
