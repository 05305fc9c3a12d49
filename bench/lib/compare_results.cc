#include "bench/lib/compare_results.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/lib/statistics.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

struct ResultRow {
  std::string name;
  std::vector<double> ms;
  Json facts;
};

StatusOr<std::vector<ResultRow>> RowsOf(const Json& file, const char* which) {
  if (!file.is_object() || !file.contains("rows") || !file["rows"].is_array())
    return InvalidArgument("the ", which,
                           " file has no list of rows: it is not what bench/fusion or bench/peers write");
  std::vector<ResultRow> rows;
  for (const Json& row : file["rows"]) {
    if (!row.is_object() || !row.contains("name") || !row["name"].is_string())
      return InvalidArgument("the ", which, " file has a row without a name");
    ResultRow out{row["name"].get<std::string>(), {}, row};
    if (row.contains("ms")) {
      if (!row["ms"].is_array())
        return InvalidArgument("the ", which, " file's row '", out.name, "' has no list of times in 'ms'");
      for (const Json& sample : row["ms"]) {
        if (!sample.is_number() || !(sample.get<double>() > 0))
          return InvalidArgument("the ", which, " file's row '", out.name, "' has a time that is no positive number");
        out.ms.push_back(sample.get<double>());
      }
    }
    rows.push_back(std::move(out));
  }
  return rows;
}

const ResultRow* FindRow(const std::vector<ResultRow>& rows, const std::string& name) {
  auto at = std::find_if(rows.begin(), rows.end(), [&](const ResultRow& row) { return row.name == name; });
  return at == rows.end() ? nullptr : &*at;
}

// Each row "x/on" with the ratios of its times to those of "x/off", which were taken by turns.
std::vector<ResultRow> RatioRows(const std::vector<ResultRow>& rows) {
  constexpr std::string_view kOn = "/on";
  std::vector<ResultRow> ratios;
  for (const ResultRow& on : rows) {
    if (!on.name.ends_with(kOn)) continue;
    const std::string name = on.name.substr(0, on.name.size() - kOn.size());
    const ResultRow* off = FindRow(rows, name + "/off");
    if (off == nullptr || off->ms.size() != on.ms.size()) continue;
    ResultRow ratio{name, on.ms, on.facts};
    for (size_t i = 0; i < ratio.ms.size(); ++i) ratio.ms[i] /= off->ms[i];
    ratios.push_back(std::move(ratio));
  }
  return ratios;
}

std::string Verdict(const RatioInterval& ratio, double threshold) {
  if (!ratio.known) return "too few samples";
  if (ratio.low > 1 && ratio.estimate > 1 + threshold) return "slower";
  if (ratio.high < 1 && ratio.estimate < 1 - threshold) return "faster";
  const bool narrow = ratio.low > 1 - threshold && ratio.high < 1 + threshold;
  return narrow ? "same" : "same, within noise";
}

std::string Percent(double ratio) { return absl::StrFormat("%+.1f %%", 100 * (ratio - 1)); }

// What is counted and not measured: no noise.
constexpr const char* kCounted[] = {"kernels", "bytes_moved", "arena_bytes", "state_bytes"};

}  // namespace

StatusOr<Comparison> CompareResults(const Json& before, const Json& after, const CompareOptions& options) {
  ASSIGN_OR_RETURN(std::vector<ResultRow> old_rows, RowsOf(before, "first"));
  ASSIGN_OR_RETURN(std::vector<ResultRow> new_rows, RowsOf(after, "second"));
  if (options.ratios) {
    old_rows = RatioRows(old_rows);
    new_rows = RatioRows(new_rows);
  }
  Comparison out;
  out.json = {{"rows", Json::array()}, {"only_in_first", Json::array()}, {"only_in_second", Json::array()}};
  size_t width = 4;
  for (const ResultRow& row : new_rows) width = std::max(width, row.name.size());
  const int column = static_cast<int>(width);
  out.text = absl::StrFormat("%-*s %11s %11s %9s  %-20s %s\n", column, "row",
                             options.ratios ? "on/off was" : "before ms", options.ratios ? "on/off is" : "after ms",
                             "change", absl::StrFormat("%g %% interval", 100 * options.confidence), "verdict");
  std::vector<double> all;
  for (const ResultRow& now : new_rows) {
    const ResultRow* was = FindRow(old_rows, now.name);
    if (was == nullptr) {
      out.json["only_in_second"].push_back(now.name);
      continue;
    }
    Json row = {{"name", now.name}};
    std::string notes;
    for (const char* fact : kCounted) {
      if (!was->facts.contains(fact) || !now.facts.contains(fact) || !was->facts[fact].is_number() ||
          !now.facts[fact].is_number())
        continue;
      const double a = was->facts[fact].get<double>(), b = now.facts[fact].get<double>();
      if (a == b) continue;
      const bool worse = b > a * (1 + options.threshold);
      out.regressions += worse;
      row["counted"][fact] = {{"before", a}, {"after", b}};
      notes += absl::StrFormat("  %s %.6g -> %.6g%s", fact, a, b, worse ? " (more)" : "");
    }
    if (was->ms.empty() || now.ms.empty()) {
      out.text += absl::StrFormat("%-*s %s\n", column, now.name, notes.empty() ? "  no times" : notes);
    } else {
      const RatioInterval ratio = RatioOf(was->ms, now.ms, options.confidence);
      const std::string verdict = Verdict(ratio, options.threshold);
      out.regressions += verdict == "slower";
      all.push_back(ratio.estimate);
      const double from = Median(was->ms), to = Median(now.ms);
      const std::string interval =
          ratio.known ? Cat(Percent(ratio.low), " to ", Percent(ratio.high)) : std::string("-");
      out.text += absl::StrFormat("%-*s %11.4f %11.4f %9s  %-20s %s%s\n", column, now.name, from, to,
                                  Percent(ratio.estimate), interval, verdict, notes);
      row[options.ratios ? "before_ratio" : "before_ms"] = from;
      row[options.ratios ? "after_ratio" : "after_ms"] = to;
      row["ratio"] = ratio.estimate;
      if (ratio.known) row["interval"] = {ratio.low, ratio.high};
      row["verdict"] = verdict;
    }
    out.json["rows"].push_back(row);
  }
  for (const ResultRow& row : old_rows) {
    if (FindRow(new_rows, row.name) == nullptr) out.json["only_in_first"].push_back(row.name);
  }
  for (const char* side : {"first", "second"}) {
    const Json& only = out.json[Cat("only_in_", side)];
    if (!only.empty())
      out.text += absl::StrFormat("only in the %s file: %s\n", side,
                                  Join(only, ", ", [](const Json& name) { return name.get<std::string>(); }));
  }
  // A machine that was slower as a whole shows here, and in no single row.
  if (!all.empty()) out.text += Cat("the median row: ", Percent(Median(all)), "\n");
  const Json nothing;
  const Json& machine_a = before.contains("machine") ? before["machine"] : nothing;
  const Json& machine_b = after.contains("machine") ? after["machine"] : nothing;
  if (machine_a != machine_b && !options.ratios)
    out.text += "the files come from different machines: times cannot be held together\n";
  out.json["regressions"] = out.regressions;
  return out;
}

}  // namespace gptc
