// Building messages from parts of any printable type.
#ifndef GPTC_IR_BASE_TEXT_H_
#define GPTC_IR_BASE_TEXT_H_

#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace gptc {

// absl's StrCat does not read std::string_view where the two string_views are different types (Debian's build), hence
// this.
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  auto append = [&out]<typename T>(const T& part) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      out.append(std::string_view(part));
    } else if constexpr (std::is_same_v<T, absl::string_view>) {
      out.append(part.data(), part.size());
    } else if constexpr (std::is_same_v<T, char>) {
      out.push_back(part);
    } else {
      absl::StrAppend(&out, part);
    }
  };
  (append(parts), ...);
  return out;
}

// The parts with `separator` between them; `format` makes a string of one.
template <typename Range, typename Format>
std::string Join(const Range& range, std::string_view separator, Format format) {
  std::string out;
  bool first = true;
  for (const auto& item : range) {
    if (!first) out.append(separator);
    first = false;
    out.append(format(item));
  }
  return out;
}
template <typename Range>
std::string Join(const Range& range, std::string_view separator) {
  return Join(range, separator, [](const auto& item) { return Cat(item); });
}

// The shortest decimal text that reads back as exactly `value`: "0.5", "1e-05", "inf". Never depends on the locale.
std::string ShortestDouble(double value);

// The candidate nearest to `word` by edit distance, or "" where none is near: the "did you mean" of every error.
std::string Nearest(std::string_view word, std::span<const std::string> candidates);

// 1234567 -> "1,234,567".
std::string Grouped(int64_t value);
// Bytes as people read them: "604 MiB", "2.31 GiB".
std::string HumanBytes(int64_t bytes);

}  // namespace gptc

#endif  // GPTC_IR_BASE_TEXT_H_
