// CHECK: our own bugs. It prints the condition, the place and the message, and aborts. Nothing a user does may reach
// one.
#ifndef GPTC_IR_BASE_CHECK_H_
#define GPTC_IR_BASE_CHECK_H_

#include <string_view>

#include "ir/base/text.h"

namespace gptc {
[[noreturn]] void CheckFailed(const char* file, int line, std::string_view what);
}  // namespace gptc

// CHECK(condition, message parts...)
#define CHECK(condition, ...)                                                                          \
  do {                                                                                                 \
    if (!(condition)) [[unlikely]]                                                                     \
      ::gptc::CheckFailed(__FILE__, __LINE__, ::gptc::Cat(#condition " " __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)
#define CHECK_OK(expression)                                                                     \
  do {                                                                                           \
    if (const auto& status_ = (expression); !status_.ok()) [[unlikely]]                          \
      ::gptc::CheckFailed(__FILE__, __LINE__, ::gptc::Cat(#expression ": ", status_.message())); \
  } while (false)

#endif  // GPTC_IR_BASE_CHECK_H_
