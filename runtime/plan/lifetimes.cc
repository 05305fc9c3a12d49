#include "runtime/plan/lifetimes.h"

#include <algorithm>
#include <map>

namespace gptc {

std::vector<ArenaBlock> ArenaBlocks(const plan::EntryT& entry) {
  const int64_t steps = static_cast<int64_t>(entry.steps.size());
  std::vector<ArenaBlock> blocks;
  std::vector<int> block_of(entry.buffers.size(), -1);
  auto open = [&](uint32_t buffer, int64_t begin, int64_t writer) {
    const plan::BufferT& b = *entry.buffers[buffer];
    if (b.state >= 0) return;
    block_of[buffer] = static_cast<int>(blocks.size());
    blocks.push_back({buffer, begin, begin, b.offset, ByteCount(TypeOf(b)), writer});
  };
  for (const auto& port : entry.inputs) open(port->buffer, 0, -1);
  for (int64_t i = 0; i < steps; ++i) {
    const plan::StepT& step = *entry.steps[i];
    for (uint32_t input : step.inputs) {
      if (block_of[input] >= 0) blocks[block_of[input]].end = i;
    }
    for (uint32_t result : step.results) {
      if (IsView(step) && !step.inputs.empty() && block_of[step.inputs[0]] >= 0) {
        block_of[result] = block_of[step.inputs[0]];
      } else {
        open(result, i, i);
      }
    }
  }
  for (const auto& port : entry.outputs) {
    if (block_of[port->buffer] >= 0) blocks[block_of[port->buffer]].end = std::max<int64_t>(0, steps - 1);
  }
  return blocks;
}

std::vector<ArenaBlock> BlocksAt(const std::vector<ArenaBlock>& blocks, int64_t step) {
  std::map<int64_t, ArenaBlock> by_offset;
  for (const ArenaBlock& block : blocks) {
    if (block.begin > step || step > block.end || block.bytes == 0) continue;
    ArenaBlock& held = by_offset.try_emplace(block.offset, block).first->second;
    if (block.bytes > held.bytes || (block.bytes == held.bytes && block.writer > held.writer)) held = block;
  }
  std::vector<ArenaBlock> alive;
  for (const auto& [offset, block] : by_offset) alive.push_back(block);
  return alive;
}

std::vector<int64_t> LiveBytes(const plan::EntryT& entry) {
  const std::vector<ArenaBlock> blocks = ArenaBlocks(entry);
  std::vector<int64_t> used(entry.steps.size());
  for (size_t i = 0; i < used.size(); ++i) {
    for (const ArenaBlock& block : BlocksAt(blocks, static_cast<int64_t>(i))) used[i] += block.bytes;
  }
  return used;
}

}  // namespace gptc
