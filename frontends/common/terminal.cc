#include "frontends/common/terminal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "runtime/formats/files.h"

namespace gptc {
namespace {
int verbosity = 0;
}

bool IsTerminal(int fd) { return isatty(fd) == 1; }

bool WantsColor(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return IsTerminal(fd) && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

int Verbosity() { return verbosity; }
void SetVerbosity(int level) { verbosity = level; }

void Log(std::string_view line) {
  if (verbosity < 0) return;
  std::string text = Cat(line, "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void LogVerbose(std::string_view line) {
  if (verbosity > 0) Log(line);
}

Status WriteOutput(const std::string& path, std::string_view text) {
  if (path == "-") {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      return ErrnoStatus(errno, "write", "standard output");
    }
    return OkStatus();
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return AtomicWriteFile(path, text);
  if (S_ISREG(info.st_mode)) {
    std::error_code error;
    std::string real = std::filesystem::canonical(path, error).string();  // a link stays a link
    return AtomicWriteFile(error ? path : real, text);
  }
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "open", path);
  Status written = WriteAll(fd, text.data(), text.size(), path);
  if (close(fd) != 0 && written.ok()) return ErrnoStatus(errno, "write", path);
  return written;
}

}  // namespace gptc
