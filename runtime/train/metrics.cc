#include "runtime/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxFile = int64_t{1} << 32;

// Calls `visit(line, json)` for every whole line that is an object with a split and a step.
template <typename Visit>
void ForEachRow(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string_view::npos) return;  // the run was killed as it wrote this one
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    auto step = json.find("step"), split = json.find("split");
    if (step == json.end() || !step->is_number_integer() || split == json.end() || !split->is_string()) continue;
    visit(line, json);
  }
}

}  // namespace

StatusOr<MetricsWriter> MetricsWriter::Open(const std::string& path) {
  if (IsRegularFile(path)) {
    ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, kMaxFile));
    size_t newline = text.find_last_of('\n');
    size_t whole = newline == std::string::npos ? 0 : newline + 1;
    if (whole != text.size() && truncate(path.c_str(), static_cast<off_t>(whole)) != 0)
      return ErrnoStatus(errno, "shorten", path);
  }
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoStatus(errno, "open", path);
  return MetricsWriter(fd, path);
}

MetricsWriter& MetricsWriter::operator=(MetricsWriter&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

MetricsWriter::~MetricsWriter() {
  if (fd_ >= 0) close(fd_);
}

Status MetricsWriter::WriteLine(const std::string& json) {
  std::string line = json + "\n";
  return WriteAll(fd_, line.data(), line.size(), path_);
}

Status MetricsWriter::WriteTrain(const TrainMetrics& row) {
  return WriteLine(Json{{"split", "train"},
                        {"step", row.step},
                        {"loss", row.loss},
                        {"grad_norm", row.grad_norm},
                        {"lr", row.lr},
                        {"tokens", row.tokens},
                        {"ms", row.ms},
                        {"tokens_per_s", row.tokens_per_s}}
                       .dump());
}

Status MetricsWriter::WriteVal(int64_t step, double loss) {
  return WriteLine(Json{{"split", "val"}, {"step", step}, {"loss", loss}}.dump());
}

Status DropMetricsAfter(const std::string& path, int64_t step) {
  if (!IsRegularFile(path)) return OkStatus();
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, kMaxFile));
  std::string kept;
  ForEachRow(text, [&](std::string_view line, const Json& json) {
    if (json["step"].get<int64_t>() <= step) kept += Cat(line, "\n");
  });
  return kept == text ? OkStatus() : AtomicWriteFile(path, kept);
}

StatusOr<std::vector<MetricsRow>> ReadMetrics(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, kMaxFile));
  std::vector<MetricsRow> rows;
  ForEachRow(text, [&](std::string_view, const Json& json) {
    auto number = [&](const char* key, double& value) {
      auto found = json.find(key);
      if (found != json.end() && found->is_number()) value = found->get<double>();
    };
    MetricsRow row;
    row.split = json["split"].get<std::string>();
    row.step = json["step"].get<int64_t>();
    number("loss", row.loss);
    number("grad_norm", row.grad_norm);
    number("lr", row.lr);
    number("tokens", row.tokens);
    number("ms", row.ms);
    number("tokens_per_s", row.tokens_per_s);
    rows.push_back(std::move(row));
  });
  return rows;
}

}  // namespace gptc
