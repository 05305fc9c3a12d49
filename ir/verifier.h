// What every pass may rely on and must leave behind. Verify checks it after each of them.
//
//   Module
//    1. The names of the module, its configuration keys, dimensions, states, graphs, inputs, outputs and values can be
//    written in
//       the text form (lexer.h), and so can file formats' names.
//    2. Configuration keys, dimensions, states and graphs have names of their own.
//    3. A dimension has no size yet, or one of 1 to kMaxDim.
//    4. Types are within the limits below, and their symbols are dimensions of the module.
//    5. `of` names a parameter. Logical rows are at least 1 and, of a static first axis, at most its size. An initial
//    standard
//       deviation is finite and not negative.
//    6. An offset that is set is a multiple of kOffsetAlignment, and the value ends within kMaxBytes. A result may lie
//    in
//       a state's memory instead, if it is not larger than the state. Whether values overlap is the memory planner's
//       business.
//   Graph
//    7. Every handle that inputs, ops, outputs and stores mention is a value of the graph.
//    8. The i-th input says that it is input i; a value that reads a state says which, and has the state's name and
//    type.
//    9. SSA: every result is the result of one op, that its value names as its producer, and is used after it only.
//   10. An op's attributes are complete, known and of their types; its operand count is right; lists are at most
//   kMaxRank long.
//   11. The types of an op's results are those that its shape rule infers.
//   12. Among results no two have one name, nor do two among inputs and states, nor two outputs.
//   13. A state is stored to once at most, by a value of its type.
#ifndef GPTC_IR_VERIFIER_H_
#define GPTC_IR_VERIFIER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ir/base/infer.h"
#include "ir/base/status.h"
#include "ir/base/type.h"
#include "ir/module.h"

namespace gptc {

// Limits of what a text may say. They keep every later product and sum of sizes within 64 bits.
inline constexpr size_t kMaxRank = 8;
inline constexpr int64_t kMaxDim = int64_t{1} << 40;
inline constexpr int64_t kMaxBytes = kMaxTensorBytes;  // of one value; a symbol counts as 1
inline constexpr size_t kMaxOperands = 65536;          // of one op, and results
inline constexpr int64_t kOffsetAlignment = 64;

// The first broken invariant, or ok. Errors (InvalidArgument) name the graph, the op as it prints and where it was
// written: "graph train: op 7, '%s: f32[2, 3] = matmul %q, %k' (models/gpt2.cc:44): ...".
Status Verify(const Module& module);
// Invariants 7 to 13 of one graph.
Status Verify(const Module& module, const Graph& graph);

// Whether a type is within the limits: what is wrong with it, "" where nothing is.
std::string TypeProblem(const Type& type, size_t dimension_count);
// The same of a shape alone, as in a `dims` attribute: its elements are counted as `element_size` bytes.
std::string ShapeProblem(std::span<const int64_t> shape, int element_size, size_t dimension_count);

}  // namespace gptc

#endif  // GPTC_IR_VERIFIER_H_
