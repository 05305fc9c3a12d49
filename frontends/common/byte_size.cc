#include "frontends/common/byte_size.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

#include "ir/base/available_memory.h"

namespace gptc {
namespace {

// Code, libraries and data of gptrun, which are not in the plan.
constexpr int64_t kBesidesThePlan = int64_t{64} << 20;

struct Unit {
  const char* name;  // in lower case
  double bytes;
};
constexpr Unit kUnits[] = {{"", 1},         {"b", 1},    {"kib", 0x1p10}, {"mib", 0x1p20}, {"gib", 0x1p30},
                           {"tib", 0x1p40}, {"kb", 1e3}, {"mb", 1e6},     {"gb", 1e9},     {"tb", 1e12}};

}  // namespace

StatusOr<int64_t> ParseByteSize(std::string_view flag, std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string unit;
  for (const char* at = end; at != text.data() + text.size(); ++at) {
    if (!std::isspace(static_cast<unsigned char>(*at)))
      unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*at)));
  }
  for (const Unit& known : kUnits) {
    if (error != std::errc() || unit != known.name) continue;
    const double bytes = std::floor(number * known.bytes);
    if (bytes >= 1 && bytes <= 0x1p60) return static_cast<int64_t>(bytes);
    return UsageError(flag, " ", text, ": must be between 1 byte and 2^60");
  }
  return UsageError(flag, " ", text, ": is no size; write 6GiB, 1.5GB, 512MiB or a number of bytes");
}

StatusOr<int64_t> ParseMemoryBudget(std::string_view text) {
  if (text != "auto") {
    StatusOr<int64_t> bytes = ParseByteSize("--memory-budget", text);
    return bytes.ok() ? bytes : UsageError(Message(bytes.status()), ", or auto for what is free");
  }
  const int64_t available = AvailableMemory();
  if (available < 0)
    return FailedPrecondition("--memory-budget auto: this machine does not say how much memory is free");
  return std::max<int64_t>(1, available - kBesidesThePlan);
}

}  // namespace gptc
