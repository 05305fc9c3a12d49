#include "bench/lib/environment.h"

#include <omp.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>

#include "ir/base/text.h"

namespace gptc {
namespace {

// The first line that a command prints, "" where it fails.
std::string FirstLineOf(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::array<char, 256> line{};
  const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
  const bool well = pclose(pipe) == 0;
  std::string text = read && well ? line.data() : "";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string Processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

nlohmann::ordered_json DescribeEnvironment() {
  const std::string revision = FirstLineOf(
      Cat("git -C '", GPTC_SOURCE_DIR, "' describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null"));
  const std::time_t now = std::time(nullptr);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return {{"revision", revision.empty() ? "unknown" : revision},
          {"date", date.data()},
          {"machine", Cat(std::thread::hardware_concurrency(), " cores of ", Processor())},
          {"threads", omp_get_max_threads()}};
}

}  // namespace gptc
