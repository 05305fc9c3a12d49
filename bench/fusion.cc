// What each optional pass is worth: every row compiles a workload with the pass and without it, in this process, and
// runs both by turns. Google Benchmark drives the rows (--benchmark_filter, --benchmark_list_tests); the table and the
// JSON are this file's.
//
//   fusion --layers 2 --benchmark_filter='f32/fuse_' --json results.json
#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "bench/lib/environment.h"
#include "bench/lib/statistics.h"
#include "bench/lib/workload.h"
#include "benchmark/benchmark.h"
#include "frontends/common/terminal.h"
#include "frontends/gptc/pipeline.h"
#include "nlohmann/json.hpp"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kConfidence = 0.99;
constexpr const char* kAllPasses = "all_passes";

struct Options {
  int64_t layers = 0, batch = 1, sequence = 256, repeats = 7;
  std::string preset = "124M", patterns = GPTC_SOURCE_DIR "/bench/patterns", json;
  std::vector<std::string> precisions = {"f32", "bf16"};
  bool no_model = false;
};

// One side of a row: the plan with the pass, or without it.
struct Side {
  PlanCosts costs;
  std::vector<double> ms;
};

struct Row {
  std::string workload, precision, pass;
  Side off, on;

  std::string name() const { return Cat(workload, "/", precision, "/", pass); }
};

Json SideJson(const Row& row, const char* which, const Side& side) {
  return {{"name", Cat(row.name(), "/", which)},
          {"workload", row.workload},
          {"precision", row.precision},
          {"pass", row.pass},
          {"side", which},
          {"kernels", side.costs.kernels},
          {"flops", side.costs.flops},
          {"bytes_moved", side.costs.bytes_moved},
          {"arena_bytes", side.costs.arena_bytes},
          {"state_bytes", side.costs.state_bytes},
          {"ms", side.ms}};
}

std::string Heading() {
  return absl::StrFormat("%-18s %-5s %-22s %13s %19s %23s %19s  %s\n", "workload", "type", "pass", "kernels",
                         "MB moved", "arena", "step ms", "time, with / without");
}

std::string Line(const Row& row) {
  const RatioInterval ratio = RatioOf(row.off.ms, row.on.ms, kConfidence);
  const PlanCosts &off = row.off.costs, &on = row.on.costs;
  std::string time = absl::StrFormat("%.3f", ratio.estimate);
  if (ratio.known) time += absl::StrFormat(" (%.3f to %.3f)", ratio.low, ratio.high);
  return absl::StrFormat("%-18s %-5s %-22s %5d -> %4d %8.1f -> %7.1f %10s -> %9s %8.3f -> %7.3f  %s\n", row.workload,
                         row.precision, row.pass, off.kernels, on.kernels, off.bytes_moved / 1e6, on.bytes_moved / 1e6,
                         HumanBytes(off.arena_bytes), HumanBytes(on.arena_bytes), Median(row.off.ms), Median(row.on.ms),
                         time);
}

class FusionBenchmark {
 public:
  explicit FusionBenchmark(const Options& options) : options_(options) {}

  Status Prepare() {
    if (!options_.no_model) {
      ASSIGN_OR_RETURN(Workload model,
                       ModelWorkload(options_.preset, options_.layers, options_.batch, options_.sequence));
      workloads_.push_back(std::move(model));
    }
    ASSIGN_OR_RETURN(std::vector<Workload> patterns, PatternWorkloads(options_.patterns));
    for (Workload& pattern : patterns) workloads_.push_back(std::move(pattern));
    for (const Workload& workload : workloads_) {
      for (const std::string& precision : options_.precisions) RETURN_IF_ERROR(AddRows(workload, precision));
    }
    for (const auto& [why, names] : left_out_) Log(Cat("left out in ", why, ": ", names));
    for (const std::unique_ptr<Row>& row : rows_) {
      benchmark::RegisterBenchmark(row->name().c_str(),
                                   [this, r = row.get()](benchmark::State& state) { Measure(state, *r); })
          ->Iterations(options_.repeats)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
    return OkStatus();
  }

  // The rows that were measured, as a table line by line and as JSON at the end.
  Status Finish(const std::vector<std::string>& flags) const {
    for (const auto& [where, passes] : idle_)
      std::printf("%s: no change by %s\n", where.c_str(), Join(passes, ", ").c_str());
    if (options_.json.empty()) return OkStatus();
    Json out = DescribeEnvironment();
    out["program"] = "bench/fusion";
    out["flags"] = flags;
    out["rows"] = Json::array();
    for (const std::unique_ptr<Row>& row : rows_) {
      if (row->on.ms.empty()) continue;
      out["rows"].push_back(SideJson(*row, "off", row->off));
      out["rows"].push_back(SideJson(*row, "on", row->on));
    }
    out["no_change"] = idle_;
    return WriteOutput(options_.json, out.dump(1) + "\n");
  }

  bool failed() const { return failed_; }

 private:
  // A row for each pass that changes the plan, and one for all of them.
  Status AddRows(const Workload& workload, const std::string& precision) {
    StatusOr<std::unique_ptr<plan::PlanT>> with = CompileWorkload(workload, precision, {});
    if (absl::IsOutOfRange(with.status()) || absl::IsUnimplemented(with.status())) {
      std::string& names = left_out_[Cat(precision, " (", Message(with.status()), ")")];
      names += Cat(names.empty() ? "" : ", ", workload.name);
      return OkStatus();
    }
    RETURN_IF_ERROR(Annotate(with.status(), workload.name));
    std::vector<std::string> optional;
    for (const Pass& pass : Pipeline()) {
      if (pass.optional) optional.push_back(pass.name);
    }
    for (size_t i = 0; i <= optional.size(); ++i) {
      const std::string pass = i == 0 ? kAllPasses : optional[i - 1];
      ASSIGN_OR_RETURN(const std::unique_ptr<plan::PlanT> without,
                       CompileWorkload(workload, precision, Disabled(pass)));
      if (RunAlike(**with, *without)) {
        idle_[Cat(workload.name, "/", precision)].push_back(pass);
        continue;
      }
      rows_.push_back(std::make_unique<Row>(Row{workload.name, precision, pass, {}, {}}));
    }
    return OkStatus();
  }

  static std::vector<std::string> Disabled(const std::string& pass) {
    if (pass != kAllPasses) return {pass};
    std::vector<std::string> all;
    for (const Pass& each : Pipeline()) {
      if (each.optional) all.push_back(each.name);
    }
    return all;
  }

  void Measure(benchmark::State& state, Row& row) {
    if (Status status = TryMeasure(state, row); !status.ok()) {
      failed_ = true;
      state.SkipWithError(Message(status).c_str());
    }
  }

  Status TryMeasure(benchmark::State& state, Row& row) {
    auto workload = std::find_if(workloads_.begin(), workloads_.end(),
                                 [&](const Workload& each) { return each.name == row.workload; });
    ASSIGN_OR_RETURN(const auto plan_off, CompileWorkload(*workload, row.precision, Disabled(row.pass)));
    ASSIGN_OR_RETURN(const auto plan_on, CompileWorkload(*workload, row.precision, {}));
    row.off = {CostsOf(*plan_off), {}};
    row.on = {CostsOf(*plan_on), {}};
    ASSIGN_OR_RETURN(const std::unique_ptr<StepRunner> off, StepRunner::Create(*plan_off));
    ASSIGN_OR_RETURN(const std::unique_ptr<StepRunner> on, StepRunner::Create(*plan_on));
    off->Sample();
    on->Sample();
    bool first = true;
    for (auto _ : state) {  // off on, on off, off on: a machine that slows down slows both
      double off_seconds = first ? off->Sample() : 0;
      const double on_seconds = on->Sample();
      if (!first) off_seconds = off->Sample();
      first = !first;
      state.SetIterationTime(on_seconds);
      row.off.ms.push_back(off_seconds * 1e3);
      row.on.ms.push_back(on_seconds * 1e3);
    }
    std::printf("%s", Line(row).c_str());
    std::fflush(stdout);
    return OkStatus();
  }

  const Options& options_;
  std::vector<Workload> workloads_;
  std::vector<std::unique_ptr<Row>> rows_;
  std::map<std::string, std::vector<std::string>> idle_;  // passes that change nothing, by workload and type
  std::map<std::string, std::string> left_out_;           // workloads by the reason
  bool failed_ = false;
};

// The table is printed row by row above; of Google Benchmark's reports only errors are of use.
class ErrorReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.error_occurred) Log(Cat(run.benchmark_name(), ": ", run.error_message));
    }
  }
};

int Main(int argc, char** argv) {
  const std::vector<std::string> flags(argv + 1, argv + argc);
  const bool listing = std::any_of(flags.begin(), flags.end(), [](const std::string& flag) {
    return flag.starts_with("--benchmark_list_tests") && flag != "--benchmark_list_tests=false";
  });
  benchmark::Initialize(&argc, argv);
  Options options;
  CLI::App app("What each optional pass is worth: kernels, bytes, memory and time of a step, with it and without it");
  app.add_option("--preset", options.preset, "The GPT-2 whose step is measured")->capture_default_str();
  app.add_option("--layers", options.layers, "With so many layers; 0: all")->check(CLI::Range(0, 1000));
  app.add_option("--batch", options.batch, "Its sequences")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--seq", options.sequence, "Its tokens a sequence")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_flag("--patterns-only", options.no_model, "Leave the model out");
  app.add_option("--patterns", options.patterns, "Folder of .graph files")->capture_default_str();
  app.add_option("--precision", options.precisions, "f32, bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--repeats", options.repeats, "Samples of each side, by turns")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--json", options.json, "Write all samples here, for bench/compare");
  app.footer("Example:\n  bench/fusion --layers 2 --benchmark_filter='f32/fuse_' --json results.json");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "fusion: error: %s\n", error.what());
    return 2;
  }
  FusionBenchmark fusion(options);
  Status status = fusion.Prepare();
  if (status.ok()) {
    if (!listing) std::printf("%s", Heading().c_str());
    ErrorReporter reporter;
    benchmark::RunSpecifiedBenchmarks(listing ? nullptr : &reporter);
    if (!listing) status = fusion.Finish(flags);
  }
  if (!status.ok()) std::fprintf(stderr, "fusion: error: %s\n", Message(status).c_str());
  return !status.ok() ? ExitCode(status) : fusion.failed() ? 1 : 0;
}

}  // namespace
}  // namespace gptc

int main(int argc, char** argv) { return gptc::Main(argc, argv); }
