// A block of zeroed memory straight from the operating system: pages cost nothing until they are touched.
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
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Region& operator=(Region&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Region();

  // `what` names it in the error: OutOfMemory with the size. Asks for huge pages.
  static StatusOr<Region> Allocate(size_t bytes, std::string_view what);

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_REGION_H_
