// Shape rules: the types of an op's results from those of its operands. One function an op, in ir/ops/<family>.cc, a
// leaf that stands on ir/base alone: the plan's loader checks steps by the very rules of the compiler.
#ifndef GPTC_IR_BASE_INFER_H_
#define GPTC_IR_BASE_INFER_H_

#include <span>
#include <string>
#include <vector>

#include "ir/base/op_table.h"
#include "ir/base/status.h"
#include "ir/base/type.h"

namespace gptc {

struct InferContext {
  const OpInfo& info;
  std::span<const Type> inputs;           // as many as given; a missing optional operand is not there
  const Attributes& attributes;           // complete
  std::span<const std::string> symbols;   // names of the module's dimensions, for messages
  std::span<const std::string> operands;  // how messages call each input: "%q", "wte"

  const Type& input(size_t i) const { return inputs[i]; }
  bool has(size_t i) const { return i < inputs.size(); }
  // "%q is [B, 12, T, 64]"
  std::string Describe(size_t i) const;
};
using InferResult = StatusOr<std::vector<Type>>;

#define OP(symbol, ...) InferResult Infer##symbol(const InferContext& c);
#include "ir/base/ops.def"
#undef OP

// Checks the operand count, then the op's own rule. Shapes may hold symbols. Messages start with the op's name:
// "matmul: inner dimensions differ: %q is [B, 12, T, 64], %k is [B, 12, T, 32]".
InferResult InferTypes(const InferContext& context);

// No tensor may be larger: then neither an element count nor a sum of two byte counts overflows.
inline constexpr int64_t kMaxTensorBytes = int64_t{1} << 62;
// A symbol counts as 1 (BindDimensions checks again), a 0 too, so that no order of multiplication overflows.
Status CheckSize(const Type& type, std::span<const std::string> symbols = {});

}  // namespace gptc

#endif  // GPTC_IR_BASE_INFER_H_
