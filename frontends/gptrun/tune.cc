// gptrun tune: times the algorithms that the device's library has for a plan's products, and the ways to what ops add
// to them, and keeps the fastest.
#include "frontends/gptrun/tune.h"

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "nlohmann/json.hpp"
#include "runtime/devices/device_for.h"
#include "runtime/exec/executor.h"
#include "runtime/train/initialize.h"
#include "runtime/train/synthetic.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kInitSeed = 1;

// "linear_gelu_saved NN 65536x3072x768 bf16 to bf16: gelu_saved 583.1 us; product, gelu 560.2 us (fastest)".
std::string WaysAsText(const ProductTiming& timing) {
  return Cat(timing.name, ": ", Join(timing.ways, "; ", [&](const ProductTiming::Way& way) {
               return absl::StrFormat("%s %.1f us%s", way.name, way.seconds * 1e6,
                                      way.seconds == timing.best_seconds ? " (fastest)" : "");
             }));
}

Json WaysAsJson(const ProductTiming& timing) {
  Json ways = Json::array();
  for (const ProductTiming::Way& way : timing.ways) ways.push_back({{"way", way.name}, {"us", way.seconds * 1e6}});
  return {{"op", timing.name}, {"ways", std::move(ways)}, {"best_us", timing.best_seconds * 1e6}};
}

class TuneCommand : public Subcommand {
 public:
  std::string name() const override { return "tune"; }
  std::string summary() const override { return "find the fastest algorithms for a plan's products on this GPU"; }

  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan, from gptc compile --target cuda:...")->required();
    app.add_flag("--json", json_, "As one JSON array");
    app.footer(
        "What is found is kept in $GPTC_TUNING_DIR, else ~/.cache/gptc, for this GPU and version of the library; every "
        "later run of a plan with such products uses it.\n\nExample:\n  gptrun tune plan.fb");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(const std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    const StatusOr<std::unique_ptr<Device>> device = DeviceFor(plan->target);
    if (!device.ok()) return Annotate(device.status(), path_);
    ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, Executor::Create(*plan, **device));
    // A step first, so that the products are timed on numbers such as they meet in training.
    RETURN_IF_ERROR(InitializeParameters(*executor, kInitSeed));
    SetSyntheticScalars(*executor);
    RETURN_IF_ERROR(executor->RunIfPresent("prepare"));
    if (BoundEntry* step = executor->entry("micro_step.only"); step != nullptr) {
      FillSyntheticInputs(*plan, *step);
      RETURN_IF_ERROR(step->Run());
    }
    Json timings = Json::array();
    double before = 0, after = 0, first_way = 0, best_way = 0;
    int products = 0, choices = 0;
    RETURN_IF_ERROR((*device)->Tune([&](const ProductTiming& timing) {
      if (!timing.ways.empty()) {
        ++choices;
        first_way += timing.default_seconds;
        best_way += timing.best_seconds;
        timings.push_back(WaysAsJson(timing));
        if (!json_) Log(WaysAsText(timing));
        return;
      }
      ++products;
      before += timing.default_seconds;
      after += timing.best_seconds;
      timings.push_back({{"product", timing.name},
                         {"algorithms", timing.algorithms},
                         {"default_us", timing.default_seconds * 1e6},
                         {"best_us", timing.best_seconds * 1e6},
                         {"tflop_per_s", timing.flops / timing.best_seconds * 1e-12}});
      if (!json_) {
        Log(absl::StrFormat("%-64s %10.1f us -> %10.1f us  %6.1f TFLOP/s  best of %d", timing.name,
                            timing.default_seconds * 1e6, timing.best_seconds * 1e6,
                            timing.flops / timing.best_seconds * 1e-12, timing.algorithms));
      }
    }));
    if (json_) return WriteOutput("-", timings.dump(2) + "\n");
    return WriteOutput(
        "-", absl::StrFormat("%d products, once each: %.2f ms by default, %.2f ms tuned\n"
                             "%d ops with several ways, once each: %.2f ms the first way, %.2f ms the fastest\n",
                             products, before * 1e3, after * 1e3, choices, first_way * 1e3, best_way * 1e3));
  }

 private:
  std::string path_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeTuneCommand() { return std::make_unique<TuneCommand>(); }

}  // namespace gptc
