#include "ir/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace gptc {
void CheckFailed(const char* file, int line, std::string_view what) {
  std::fprintf(stderr, "%s:%d: internal error: CHECK failed: %.*s\nThis is a bug in the program, please report it.\n",
               file, line, static_cast<int>(what.size()), what.data());
  std::abort();
}
}  // namespace gptc
