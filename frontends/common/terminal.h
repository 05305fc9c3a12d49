// Standard output and error: what is a terminal, how much to say, and output that is checked to the last byte.
#ifndef GPTC_FRONTENDS_COMMON_TERMINAL_H_
#define GPTC_FRONTENDS_COMMON_TERMINAL_H_

#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

bool IsTerminal(int fd);
// A terminal, and the user has not set NO_COLOR (no-color.org) nor TERM=dumb.
bool WantsColor(int fd);

// How much is said on standard error: -1 under --quiet (errors only), 0, or 1 under --verbose.
int Verbosity();
void SetVerbosity(int level);
// One line on standard error, unless --quiet.
void Log(std::string_view line);
// One line on standard error under --verbose only.
void LogVerbose(std::string_view line);

// Writes `text` to the file `path`, or to standard output where path is "-". A regular file is replaced only once all
// of it is on disk; a device or pipe is written to directly. Every failed or short write is an error.
Status WriteOutput(const std::string& path, std::string_view text);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_COMMON_TERMINAL_H_
