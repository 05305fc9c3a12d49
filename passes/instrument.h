// What wraps every pass of a pipeline: it runs, the module is verified (a failure names the pass), "changed" is
// computed from fingerprints of the text, time is taken, and the text is dumped where that was asked for.
#ifndef GPTC_PASSES_INSTRUMENT_H_
#define GPTC_PASSES_INSTRUMENT_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "passes/pass.h"

namespace gptc {

struct PassRecord {
  std::string name;
  double milliseconds = 0;
  bool changed = false;  // set only where fingerprints were asked for
};

struct InstrumentOptions {
  std::vector<std::string> disabled;  // names of passes to leave out
  bool fingerprint = false;           // compute PassRecord::changed (prints the module twice a pass)
  // Called after every pass that ran, with its place in the pipeline.
  std::function<Status(int index, const Pass& pass, const Module& module)> after;
};

// Errors: those of the passes, annotated with the pass; Internal where a pass left an invalid module.
StatusOr<std::vector<PassRecord>> RunPasses(Module& module, std::span<const Pass> passes,
                                            const InstrumentOptions& options, PassContext& context);

// A number that two modules share exactly when they print alike.
uint64_t Fingerprint(const Module& module);

}  // namespace gptc

#endif  // GPTC_PASSES_INSTRUMENT_H_
