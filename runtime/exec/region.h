// A block of memory that frees itself: the host's, or a device's.
#ifndef GPTC_RUNTIME_EXEC_REGION_H_
#define GPTC_RUNTIME_EXEC_REGION_H_

#include <cstddef>
#include <string_view>
#include <utility>

#include "ir/base/status.h"

namespace gptc {

class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        release_(std::exchange(other.release_, nullptr)) {}
  Region& operator=(Region&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~Region();

  // How a device gives memory back.
  using Release = void (*)(void* data, size_t bytes);
  Region(void* data, size_t bytes, Release release)
      : data_(static_cast<std::byte*>(data)), bytes_(bytes), release_(release) {}

  // Zeroed memory of the host, straight from the operating system: pages cost nothing until they are touched. `what`
  // names it in the error: OutOfMemory with the size. Asks for huge pages.
  static StatusOr<Region> Allocate(size_t bytes, std::string_view what);

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  Release release_ = nullptr;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_REGION_H_
