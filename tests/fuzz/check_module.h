// The differential test of everything between a module and its results: the module is compiled, its plan serialized and
// read back, and executed by the CPU's kernels; the reference evaluator runs the same graphs as they were before the
// first pass.
#ifndef GPTC_TESTS_FUZZ_CHECK_MODULE_H_
#define GPTC_TESTS_FUZZ_CHECK_MODULE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

struct CheckOptions {
  std::vector<std::string> disabled;                        // passes to leave out
  std::vector<std::pair<std::string, int64_t>> dimensions;  // to bind
  uint64_t seed = 1;                                        // of inputs and states
  std::string precision = "f32";                            // as of gptc compile
  DType residual = DType::kF32;
  int64_t loss_chunk = 0;  // rows of logits that exist at a time; 0: all
  int steps = 1;           // optimizer steps, each of three micro-steps and an update
};

// Runs `steps` optimizer steps, where the module has a graph `train`, and then every other graph that reads no caches
// of generation beyond its own; all of it twice, the second time with every value in poisoned memory of its own. Under
// a memory budget that nothing meets, and one drawn from the seed, the plan must give the same bits. Both runs must
// agree bit for bit in all outputs and states, and with the reference evaluator (rounded) within what rounding
// explains; bf16 rounds where the pass mixed_precision says so, which exactly must change nothing. Errors: where
// something differs, or fails.
Status CheckModule(const Module& module, const CheckOptions& options);

// RandomModule(seed, most_ops) with all passes, of some seeds with logits in chunks, then with one or more passes left
// out: each one that may be
// (`thorough`), or a choice that depends on the seed. The error of a failure holds the smallest number of ops that
// fails and the module's text.
Status CheckSeed(uint64_t seed, int most_ops, bool thorough);

}  // namespace gptc

#endif  // GPTC_TESTS_FUZZ_CHECK_MODULE_H_
