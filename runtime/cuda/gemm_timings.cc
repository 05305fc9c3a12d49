// The file is text: a line each, "product<tab>algorithm in hexadecimal" or "op and product<tab>=name of the way".
#include "runtime/cuda/gemm_timings.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"

namespace gptc {
namespace {

std::string CacheFolder() {
  for (const auto& [variable, below] : {std::pair{"GPTC_TUNING_DIR", ""}, {"XDG_CACHE_HOME", "/gptc"}}) {
    if (const char* value = std::getenv(variable); value != nullptr && *value != '\0') return Cat(value, below);
  }
  const char* home = std::getenv("HOME");
  return Cat(home == nullptr ? "." : home, "/.cache/gptc");
}

bool IsHex(std::string_view text) {
  return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

GemmTimings GemmTimings::Open(std::string_view engine) {
  GemmTimings timings;
  timings.path_ = Cat(CacheFolder(), "/", engine, ".tuned");
  std::ifstream file(timings.path_);
  for (std::string line; std::getline(file, line);) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    const std::string name = line.substr(0, tab), value = line.substr(tab + 1);
    if (value.starts_with('=')) timings.ways_[name] = value.substr(1);
    if (IsHex(value)) timings.algorithms_[name] = absl::HexStringToBytes(value);
  }
  return timings;
}

std::string GemmTimings::Find(const std::string& product) const {
  const auto at = algorithms_.find(product);
  return at == algorithms_.end() ? std::string() : at->second;
}

std::string GemmTimings::FindWay(const std::string& of) const {
  const auto at = ways_.find(of);
  return at == ways_.end() ? std::string() : at->second;
}

Status GemmTimings::Save() const {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  const std::string aside = path_ + ".new";
  std::ofstream file(aside);
  for (const auto& [product, algorithm] : algorithms_) {
    file << product << '\t' << absl::BytesToHexString(algorithm) << '\n';
  }
  for (const auto& [of, way] : ways_) file << of << "\t=" << way << '\n';
  file.close();
  if (file.fail()) return Failure("cannot write ", aside, "; GPTC_TUNING_DIR names another folder");
  std::filesystem::rename(aside, path_, error);
  return error ? Failure("cannot write ", path_, ": ", error.message()) : OkStatus();
}

}  // namespace gptc
