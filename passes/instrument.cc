#include "passes/instrument.h"

#include <xxhash.h>

#include <algorithm>
#include <chrono>

#include "ir/printer.h"
#include "ir/verifier.h"

namespace gptc {

uint64_t Fingerprint(const Module& module) {
  std::string text = PrintModule(module);
  return XXH3_64bits(text.data(), text.size());
}

StatusOr<std::vector<PassRecord>> RunPasses(Module& module, std::span<const Pass> passes,
                                            const InstrumentOptions& options, PassContext& context) {
  std::vector<PassRecord> records;
  std::vector<Pass> active;
  std::vector<int> places;
  for (size_t i = 0; i < passes.size(); ++i) {
    const auto& disabled = options.disabled;
    if (std::find(disabled.begin(), disabled.end(), passes[i].name) != disabled.end()) continue;
    active.push_back(passes[i]);
    places.push_back(static_cast<int>(i));
  }
  for (size_t i = 0; i < active.size(); ++i) {
    const Pass& pass = active[i];
    context.set_remaining(std::span(active).subspan(i + 1));
    uint64_t before = options.fingerprint ? Fingerprint(module) : 0;
    auto start = std::chrono::steady_clock::now();
    context.set_pass(pass.name);
    RETURN_IF_ERROR(Annotate(pass.run(module, context), Cat("pass ", pass.name)));
    std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (Status valid = Verify(module); !valid.ok()) {
      return absl::InternalError(Cat("pass ", pass.name, " left an invalid module: ", valid.message()));
    }
    records.push_back({pass.name, took.count(), options.fingerprint && Fingerprint(module) != before});
    if (options.after) RETURN_IF_ERROR(options.after(places[i], pass, module));
  }
  context.set_remaining({});
  return records;
}

}  // namespace gptc
