#include "frontends/gptrun/profile_report.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/plan/lifetimes.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSlowest = 20;

// Sums over launches: of a kernel, an entry point, or all.
struct Row {
  std::string name, dtype;
  int64_t calls = 0;
  double seconds = 0, predicted = 0, flops = 0, bytes = 0;  // of one step

  void Add(const Row& other) {
    calls += other.calls;
    seconds += other.seconds;
    predicted += other.predicted;
    flops += other.flops;
    bytes += other.bytes;
  }
  double roof() const { return seconds > 0 ? predicted / seconds : 0; }
  double PerSecond(double amount) const { return seconds > 0 ? amount / seconds / 1e9 : 0; }
};

struct Launch {
  const plan::EntryT* entry;
  const plan::StepT* step;
  Row row;
};

std::vector<Launch> Launches(const Profile& profile, const EntryProfile& of) {
  std::vector<Launch> launches;
  for (size_t s = 0; s < of.entry->steps.size(); ++s) {
    const plan::StepT& step = *of.entry->steps[s];
    if (IsView(step)) continue;
    launches.push_back({of.entry,
                        &step,
                        {step.kernel, std::string(NameOf(ComputesIn(*of.entry, step))), 1, of.seconds[s],
                         profile.roofline.Seconds(*of.entry, step), step.flops, step.bytes}});
  }
  return launches;
}

std::vector<Row> Kernels(const Profile& profile) {
  std::map<std::pair<std::string, std::string>, Row> kernels;
  for (const EntryProfile& entry : profile.entries) {
    for (const Launch& launch : Launches(profile, entry)) {
      Row& kernel = kernels[{launch.row.name, launch.row.dtype}];
      kernel.name = launch.row.name;
      kernel.dtype = launch.row.dtype;
      kernel.Add(launch.row);
    }
  }
  std::vector<Row> sorted;
  for (auto& [key, kernel] : kernels) sorted.push_back(std::move(kernel));
  std::stable_sort(sorted.begin(), sorted.end(), [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return sorted;
}

// The kernels of each entry point together, and of all.
std::vector<Row> Totals(const Profile& profile) {
  std::vector<Row> rows;
  Row all{.name = "all"};
  for (const EntryProfile& entry : profile.entries) {
    Row row{.name = entry.entry->name};
    for (const Launch& launch : Launches(profile, entry)) row.Add(launch.row);
    all.Add(row);
    rows.push_back(row);
  }
  if (rows.size() > 1) rows.push_back(all);
  return rows;
}

std::vector<Launch> Slowest(const Profile& profile) {
  std::vector<Launch> launches;
  for (const EntryProfile& entry : profile.entries) {
    for (Launch& launch : Launches(profile, entry)) launches.push_back(std::move(launch));
  }
  std::stable_sort(launches.begin(), launches.end(),
                   [](const Launch& a, const Launch& b) { return a.row.seconds > b.row.seconds; });
  launches.resize(std::min(launches.size(), kSlowest));
  return launches;
}

std::string Header(const char* name) {
  return absl::StrFormat("%-28s %-5s %6s %10s %7s %9s %8s %13s %6s\n", name, "type", "calls", "ms", "share", "GFLOP/s",
                         "GB/s", "predicted ms", "roof");
}

std::string Line(const Row& row, double wall) {
  return absl::StrFormat("%-28s %-5s %6d %10.3f %5.1f %% %9.1f %8.1f %13.3f %4.0f %%\n", row.name, row.dtype, row.calls,
                         row.seconds * 1e3, wall > 0 ? 100 * row.seconds / wall : 0, row.PerSecond(row.flops),
                         row.PerSecond(row.bytes), row.predicted * 1e3, 100 * row.roof());
}

Json RowJson(const Row& row, double wall) {
  return {{"calls", row.calls},
          {"ms", row.seconds * 1e3},
          {"predicted_ms", row.predicted * 1e3},
          {"share", wall > 0 ? row.seconds / wall : 0},
          {"flops", row.flops},
          {"bytes", row.bytes},
          {"gflop_per_s", row.PerSecond(row.flops)},
          {"gb_per_s", row.PerSecond(row.bytes)},
          {"share_of_roofline", row.roof()}};
}

std::string CeilingsText(const Roofline& roofline) {
  std::string text = absl::StrFormat("ceilings, measured: products %.0f GFLOP/s in f32", roofline.f32_gflops);
  if (roofline.bf16_gflops > 0) text += absl::StrFormat(", %.0f in bf16", roofline.bf16_gflops);
  text += "; reading, and reading and writing, ";
  for (size_t i = 0; i < roofline.levels.size(); ++i) {
    const Roofline::Level& level = roofline.levels[i];
    text += absl::StrFormat("%s%.0f and %.0f GB/s %s", i == 0 ? "" : ", ", level.read_gb_per_s, level.update_gb_per_s,
                            i + 1 < roofline.levels.size() ? Cat("up to ", HumanBytes(level.bytes)) : "beyond");
  }
  return text + "\n";
}

}  // namespace

double Profile::wall() const {
  double seconds = 0;
  for (const EntryProfile& entry : entries) seconds += entry.wall;
  return seconds;
}

std::string TypesOf(const plan::EntryT& entry, const plan::StepT& step) {
  constexpr size_t kMost = 8;  // of an op of all parameters, the first will do
  const auto types = [&](std::span<const uint32_t> buffers) {
    const std::string text = Join(buffers.first(std::min(kMost, buffers.size())), ", ",
                                  [&](uint32_t buffer) { return TypeText(TypeOf(*entry.buffers[buffer])); });
    return buffers.size() <= kMost ? text : Cat(text, " and ", buffers.size() - kMost, " more");
  };
  return Cat(types(step.inputs), " -> ", types(step.results));
}

std::string ProfileTable(const Profile& profile) {
  const double wall = profile.wall();
  std::string text = Cat(CeilingsText(profile.roofline), "\n", Header("kernel"));
  for (const Row& kernel : Kernels(profile)) text += Line(kernel, wall);
  text += Cat("\n", Header("entry point"));
  for (const Row& entry : Totals(profile)) text += Line(entry, wall);
  return text + absl::StrFormat("%.3f ms from start to end, mean of %d\n", wall * 1e3, profile.steps);
}

std::string SlowestTable(const Profile& profile) {
  std::string text = absl::StrFormat("\n%10s %13s %6s %9s %8s  %s\n", "ms", "predicted ms", "roof", "GFLOP/s", "GB/s",
                                     "the slowest kernels");
  for (const auto& [entry, step, row] : Slowest(profile)) {
    text += absl::StrFormat("%10.3f %13.3f %4.0f %% %9.1f %8.1f  %s: %s", row.seconds * 1e3, row.predicted * 1e3,
                            100 * row.roof(), row.PerSecond(row.flops), row.PerSecond(row.bytes), step->kernel,
                            TypesOf(*entry, *step));
    text += step->location.empty() ? "\n" : Cat("  from ", step->location, "\n");
  }
  return text;
}

Json ProfileJson(const Profile& profile, bool by_step) {
  const double wall = profile.wall();
  Json out = {{"steps", profile.steps},
              {"ms", wall * 1e3},
              {"target", profile.plan->target},
              {"precision", profile.plan->precision}};
  Json& ceilings = out["ceilings"];
  ceilings["f32_gflops"] = profile.roofline.f32_gflops;
  ceilings["bf16_gflops"] = profile.roofline.bf16_gflops > 0 ? Json(profile.roofline.bf16_gflops) : Json(nullptr);
  for (const Roofline::Level& level : profile.roofline.levels)
    ceilings["memory"].push_back(
        {{"bytes", level.bytes}, {"read_gb_per_s", level.read_gb_per_s}, {"update_gb_per_s", level.update_gb_per_s}});
  out["entries"] = Json::array();
  const std::vector<Row> totals = Totals(profile);
  for (size_t i = 0; i < profile.entries.size(); ++i) {
    Json entry = {{"name", totals[i].name}, {"wall_ms", profile.entries[i].wall * 1e3}};
    entry.update(RowJson(totals[i], wall));
    out["entries"].push_back(entry);
  }
  out["kernels"] = Json::array();
  for (const Row& kernel : Kernels(profile)) {
    Json row = {{"name", kernel.name}, {"dtype", kernel.dtype}};
    row.update(RowJson(kernel, wall));
    out["kernels"].push_back(row);
  }
  if (!by_step) return out;
  out["slowest"] = Json::array();
  for (const auto& [entry, step, row] : Slowest(profile)) {
    Json launch = {{"entry", entry->name},
                   {"kernel", step->kernel},
                   {"types", TypesOf(*entry, *step)},
                   {"location", step->location}};
    launch.update(RowJson(row, wall));
    out["slowest"].push_back(launch);
  }
  return out;
}

}  // namespace gptc
