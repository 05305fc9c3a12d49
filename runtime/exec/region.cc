#include "runtime/exec/region.h"

#include <sys/mman.h>

namespace gptc {

Region::~Region() {
  if (data_ != nullptr) release_(data_, bytes_);
}

StatusOr<Region> Region::Allocate(size_t bytes, std::string_view what) {
  if (bytes == 0) return Region();
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return OutOfMemory("cannot allocate ", HumanBytes(static_cast<int64_t>(bytes)), " for ", what,
                       "; compile with a smaller --batch or --seq");
  }
  if (bytes >= (size_t{4} << 20)) madvise(data, bytes, MADV_HUGEPAGE);
  return Region(data, bytes, [](void* memory, size_t size) { munmap(memory, size); });
}

}  // namespace gptc
