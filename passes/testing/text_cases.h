// Tests of passes as text: what goes in and what comes out stand together in `passes/<pass>_test.graph`, a list of
// cases.
//
//   // case: the scores have a second reader
//   // passes: canonicalize, cse              (left out: the pass that the file is named after)
//   // options: compute = bf16                (PassOptions; left out: the defaults)
//   module t { ... }                          the text that goes in
//   // ---
//   // remark: 4: what the pass says of line 4 of that text (its first line is 1); "missed: ..." of what it did not do
//   module t { ... }                          the text that must come out, byte for byte as it prints
//
// In place of the text that comes out: `// unchanged`, or `// error: the message`. Both texts are evaluated besides, by
// the reference evaluator in exact mode on random inputs and states: graphs of one name must give equal outputs and
// states, so each expected text is a semantic test as well.
//
// With GPTC_REWRITE=1 in the environment a file's expected texts, remarks and errors are written anew; `// unchanged`
// stays a demand. Read what it wrote.
#ifndef GPTC_PASSES_TESTING_TEXT_CASES_H_
#define GPTC_PASSES_TESTING_TEXT_CASES_H_

#include <span>
#include <string>
#include <string_view>

#include "passes/pass.h"

namespace gptc {

// Runs every case of a file; `passes` are those that cases may name. One line a failure: "file:line: case title: ...",
// then the texts; "" where all is well.
std::string RunTextCases(const std::string& path, std::span<const Pass> passes);

// What differs between the graphs of the two modules, or "". A graph that one of them lacks is left out, but for
// `micro_step`, which its clones must equal: `first` and `only` from any gradients as it does from zero gradients, the
// others as they are.
std::string CompareMeaning(const Module& before, const Module& after);

}  // namespace gptc

#endif  // GPTC_PASSES_TESTING_TEXT_CASES_H_
