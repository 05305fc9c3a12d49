#include "frontends/common/thread_count.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

namespace gptc {

int64_t ThreadCountHere() {
  for (const char* name : {"GPTC_THREADS", "OMP_NUM_THREADS"}) {
    const char* text = std::getenv(name);
    if (const int64_t count = text == nullptr ? 0 : std::atoll(text); count > 0) return std::min<int64_t>(count, 1024);
  }
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

}  // namespace gptc
