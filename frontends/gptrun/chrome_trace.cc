// The events: "M" names the process and its rows, "X" is a span with its begin and duration in microseconds (spans of
// one row nest by time), "C" is a counter's new value. Times count from the first step's begin.
#include <algorithm>

#include "frontends/gptrun/profile_report.h"
#include "runtime/plan/lifetimes.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int kProcess = 1, kRow = 1;

class TraceWriter {
 public:
  explicit TraceWriter(const Profile& profile) : profile_(profile) {
    origin_ = profile.entries.front().runs.front().begin;
    for (const EntryProfile& entry : profile.entries) live_.push_back(LiveBytes(*entry.entry));
  }

  Json Write() {
    Name("process_name", Cat("gptrun ", profile_.plan->model));
    Name("thread_name", "kernels");
    const size_t steps = profile_.entries.front().runs.size();
    for (size_t i = 0; i < steps; ++i) {
      const Clock::time_point begin = profile_.entries.front().runs[i].begin;
      const Clock::time_point end = profile_.entries.back().runs[i].end;
      Span(Cat("step ", i + 1), "step", begin, Seconds(begin, end), Json::object());
      for (size_t e = 0; e < profile_.entries.size(); ++e) Entry(e, profile_.entries[e].runs[i]);
    }
    return {{"traceEvents", std::move(events_)},
            {"displayTimeUnit", "ms"},
            {"otherData",
             {{"model", profile_.plan->model},
              {"target", profile_.plan->target},
              {"precision", profile_.plan->precision},
              {"compiler", profile_.plan->compiler}}}};
  }

 private:
  static double Seconds(Clock::time_point begin, Clock::time_point end) {
    return std::chrono::duration<double>(end - begin).count();
  }
  double Microseconds(Clock::time_point time) const { return Seconds(origin_, time) * 1e6; }

  void Name(const char* what, const std::string& name) {
    events_.push_back({{"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", kRow}, {"args", {{"name", name}}}});
  }

  void Span(const std::string& name, const std::string& category, Clock::time_point begin, double seconds, Json args) {
    events_.push_back({{"name", name},
                       {"cat", category},
                       {"ph", "X"},
                       {"ts", Microseconds(begin)},
                       {"dur", seconds * 1e6},
                       {"pid", kProcess},
                       {"tid", kRow},
                       {"args", std::move(args)}});
  }

  void LiveArena(Clock::time_point time, int64_t bytes) {
    events_.push_back({{"name", "arena"},
                       {"ph", "C"},
                       {"ts", Microseconds(time)},
                       {"pid", kProcess},
                       {"args", {{"live bytes", bytes}}}});
  }

  void Entry(size_t index, const EntryRun& run) {
    const plan::EntryT& entry = *profile_.entries[index].entry;
    Span(entry.name, "entry point", run.begin, Seconds(run.begin, run.end), Json::object());
    for (size_t s = 0; s < entry.steps.size(); ++s) {
      const plan::StepT& step = *entry.steps[s];
      if (IsView(step)) continue;
      const Device::Span& time = run.steps[s];
      const Clock::time_point begin =
          run.begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(time.begin));
      Span(step.kernel, "kernel", begin, time.seconds,
           {{"types", TypesOf(entry, step)},
            {"location", step.location},
            {"step", s},
            {"flops", step.flops},
            {"bytes", step.bytes},
            {"predicted_us", profile_.roofline.Seconds(entry, step) * 1e6}});
      LiveArena(begin, live_[index][s]);
    }
    LiveArena(run.end, 0);
  }

  const Profile& profile_;
  Clock::time_point origin_;
  std::vector<std::vector<int64_t>> live_;  // of each entry point
  Json events_ = Json::array();
};

}  // namespace

Json ChromeTrace(const Profile& profile) { return TraceWriter(profile).Write(); }

}  // namespace gptc
