// What `gptrun profile` measured, and how it says it: tables, JSON and a trace.
#ifndef GPTC_FRONTENDS_GPTRUN_PROFILE_REPORT_H_
#define GPTC_FRONTENDS_GPTRUN_PROFILE_REPORT_H_

#include <chrono>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/exec/executor.h"
#include "runtime/exec/roofline.h"

namespace gptc {

// One run of an entry point.
struct EntryRun {
  std::chrono::steady_clock::time_point begin, end;
  std::vector<Device::Span> steps;  // from the begin
};

struct EntryProfile {
  const plan::EntryT* entry;
  std::vector<double> seconds;  // of each step, the mean of the measured runs
  double wall = 0;              // of the whole run, the mean
  std::vector<EntryRun> runs;   // the last few, in order
};

struct Profile {
  const plan::PlanT* plan;
  Roofline roofline;
  std::vector<EntryProfile> entries;
  int64_t steps = 0;  // runs that were measured

  double wall() const;  // seconds of one step, all entries from start to end
};

std::string ProfileTable(const Profile& profile);
// The slowest single launches, with types and the model's line.
std::string SlowestTable(const Profile& profile);
nlohmann::ordered_json ProfileJson(const Profile& profile, bool by_step);

// Trace Event Format, the JSON that chrome://tracing and ui.perfetto.dev read: every kernel of the last runs at the
// time when it began, inside its entry point, inside its step; a counter of the arena's live bytes beside them.
nlohmann::ordered_json ChromeTrace(const Profile& profile);

// "f32[4, 8], f32[8] -> f32[4]"
std::string TypesOf(const plan::EntryT& entry, const plan::StepT& step);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_PROFILE_REPORT_H_
