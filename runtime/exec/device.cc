#include "runtime/exec/device.h"

#include <chrono>
#include <cstring>

#include "ir/base/available_memory.h"

namespace gptc {

int64_t HostDevice::AvailableMemory() const { return gptc::AvailableMemory(); }

void HostDevice::Copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

void HostDevice::Fill(void* to, unsigned char byte, size_t bytes) { std::memset(to, byte, bytes); }

StatusOr<BoundKernel> HostDevice::Record(WorkList work) {
  return BoundKernel([work = std::move(work)] {
    for (const BoundKernel& item : work) {
      if (item) item();
    }
  });
}

Status HostDevice::RunTimed(const WorkList& work, std::vector<Span>& times) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  const Clock::time_point first = Clock::now();
  times.resize(work.size());
  for (size_t i = 0; i < work.size(); ++i) {
    const Clock::time_point begin = Clock::now();
    if (work[i]) work[i]();
    times[i] = {seconds(begin - first), work[i] ? seconds(Clock::now() - begin) : 0};
  }
  return OkStatus();
}

}  // namespace gptc
