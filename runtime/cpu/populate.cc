#include "runtime/cpu/populate.h"

#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "runtime/cpu/parallel.h"

namespace gptc {

void Populate(std::span<const std::span<std::byte>> ranges) {
  constexpr uintptr_t kPiece = uintptr_t{32} << 20;  // some huge pages
  constexpr int kPopulateWrite = 23;                 // MADV_POPULATE_WRITE, which older headers lack
  const uintptr_t page = 4096;
  std::vector<std::pair<uintptr_t, uintptr_t>> pieces;
  for (std::span<std::byte> range : ranges) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
    for (uintptr_t at = begin; at < end;) {
      const uintptr_t next = std::min(end, (at / kPiece + 1) * kPiece);
      pieces.emplace_back(at, next);
      at = next;
    }
  }
  ParallelForUneven(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      (void)madvise(reinterpret_cast<void*>(pieces[i].first), pieces[i].second - pieces[i].first, kPopulateWrite);
    }
  });
}

}  // namespace gptc
