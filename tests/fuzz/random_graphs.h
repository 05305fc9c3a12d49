// Random valid modules, for differential tests of the whole way from a module to results.
#ifndef GPTC_TESTS_FUZZ_RANDOM_GRAPHS_H_
#define GPTC_TESTS_FUZZ_RANDOM_GRAPHS_H_

#include <cstdint>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// The module of this seed, static, verified, with the graphs
//   train(tokens, targets) -> (loss, count)   differentiable; parameters, embeddings, norms, products, dropout,
//   cross-entropy run(tokens, x, ...)                       anything that the CPU has kernels for; states read, stored,
//   exchanged; several outputs
// of at most `most_ops` random ops each (and those that finish a graph). The same seed with fewer ops makes the same
// graph, cut short: so a failure shrinks. Values stay of size 1 or so, and no op is asked for where it is
// ill-conditioned.
StatusOr<Module> RandomModule(uint64_t seed, int most_ops);

}  // namespace gptc

#endif  // GPTC_TESTS_FUZZ_RANDOM_GRAPHS_H_
