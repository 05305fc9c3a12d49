#include "runtime/exec/region.h"

#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace gptc {
namespace {

// A number from a one-line file such as /sys/fs/cgroup/memory.max; -1 where it is missing or says "max".
int64_t NumberIn(const char* path) {
  std::ifstream file(path);
  int64_t number;
  return file >> number ? number : -1;
}

}  // namespace

Region::~Region() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

StatusOr<Region> Region::Allocate(size_t bytes, std::string_view what) {
  Region region;
  if (bytes == 0) return region;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return OutOfMemory("cannot allocate ", HumanBytes(static_cast<int64_t>(bytes)), " for ", what,
                       "; compile with a smaller --batch or --seq");
  }
  region.data_ = static_cast<std::byte*>(data);
  region.bytes_ = bytes;
  if (bytes >= (size_t{4} << 20)) madvise(data, bytes, MADV_HUGEPAGE);
  return region;
}

int64_t AvailableMemory() {
  int64_t available = -1;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key; meminfo >> key;) {
    if (key == "MemAvailable:") {
      meminfo >> available;
      available *= 1024;
      break;
    }
    meminfo.ignore(256, '\n');
  }
  int64_t limit = NumberIn("/sys/fs/cgroup/memory.max"), used = NumberIn("/sys/fs/cgroup/memory.current");
  if (limit >= 0 && used >= 0 && limit < (int64_t{1} << 50)) {
    int64_t left = std::max<int64_t>(limit - used, 0);
    available = available < 0 ? left : std::min(available, left);
  }
  return available;
}

}  // namespace gptc
