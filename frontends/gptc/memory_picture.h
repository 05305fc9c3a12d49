// Who holds the arena's memory, step by step: as text, as JSON, and as a picture.
#ifndef GPTC_FRONTENDS_GPTC_MEMORY_PICTURE_H_
#define GPTC_FRONTENDS_GPTC_MEMORY_PICTURE_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/plan/lifetimes.h"

namespace gptc {

enum class HolderKind : uint8_t {
  kPort,      // an input of the entry point
  kLogits,    // a row a token, a column a word of the vocabulary
  kKept,      // made by the forward, read by the backward
  kForward,   // made and used up by the forward
  kBackward,  // made by the backward
};
inline constexpr int kHolderKinds = 5;

struct EntryMemory {
  const plan::EntryT* entry;
  std::vector<ArenaBlock> blocks;
  std::vector<HolderKind> kinds;  // of each block
  std::vector<int64_t> live;      // bytes held at each step
  int64_t peak_step = 0, peak_bytes = 0;
};

EntryMemory MemoryOf(const plan::PlanT& plan, const plan::EntryT& entry);

std::string MemoryText(const EntryMemory& memory);
nlohmann::ordered_json MemoryJson(const EntryMemory& memory);
// x: the steps in order; y: offset in the arena; a rectangle for every value, from the step that writes it to its last
// reader, as high as it is large.
std::string MemorySvg(const plan::PlanT& plan, const EntryMemory& memory);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_MEMORY_PICTURE_H_
