#include "ir/base/available_memory.h"

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
