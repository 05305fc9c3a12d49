// The program of a `fused` op: a few elementwise ops and row reductions that are computed in one pass over memory. The
// compiler makes it; the shape rule, the reference evaluator and every backend read it through this file.
//
//   %y: bf16[64, 768], %m: f32[64, 1] = fused %x, %bias {region = "t0 = add a0, a1; t1 = gelu t0; t2 = reduce_max t1
//       {axes = [1], keep = true}; t3 = cast t1 {to = bf16}; return t3, t2"}
//
// a0, a1, ... are the op's operands, t0, t1, ... the results of the region's ops in order, `return` names those of the
// fused op. An op, its operands and attributes are written as in a graph (a string without quotes), and mean the same;
// types follow from the operands by the same rules.
//
// All operands broadcast to one shape, the region's space, of one axis or more. What a region computes is
//   whole     of that shape;
//   a column  of that shape with 1 for the last axis: one element a row. sum, mean and reduce_max over the last axis,
//             with `keep`, make one of a whole value;
//   a total   [n]: the sum over all axes but the last, without `keep`, of a whole value. It may only be returned;
// and a constant is a scalar. Floats between are not rounded to their type: an executor may compute in a wider one.
#ifndef GPTC_IR_BASE_FUSED_REGION_H_
#define GPTC_IR_BASE_FUSED_REGION_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/attributes.h"
#include "ir/base/op_table.h"
#include "ir/base/status.h"
#include "ir/base/type.h"

namespace gptc {

struct FusedInstruction {
  Op op;
  std::vector<int>
      operands;           // values: 0..inputs-1 are the operands of the fused op, the results of instructions follow
  Attributes attributes;  // complete
};

struct FusedRegion {
  int inputs = 0;
  std::vector<FusedInstruction> code;
  std::vector<int> results;  // values that instructions made

  int ValueOf(size_t instruction) const { return inputs + static_cast<int>(instruction); }
};

inline constexpr size_t kMostFusedInstructions = 64;

// Whether an op may stand in a region at all; its shapes must be right, too.
bool IsFusible(Op op);

// Errors (InvalidArgument) say what is wrong and where in the text. What it returns is well formed: values are made
// before they are read, attributes are complete and of their types.
StatusOr<FusedRegion> ParseFusedRegion(std::string_view text, int inputs);
// Reads back as the same region.
std::string FusedRegionText(const FusedRegion& region);

enum class FusedForm : uint8_t { kWhole, kColumn, kTotal, kScalar };
struct FusedTypes {
  Shape space;
  std::vector<Type> values;      // of operands, then of instructions
  std::vector<FusedForm> forms;  // of instructions
};
// Types by the shape rules of the region's ops, and whether each value has one of the forms above.
StatusOr<FusedTypes> InferFusedRegion(const FusedRegion& region, std::span<const Type> inputs,
                                      std::span<const std::string> symbols = {});

}  // namespace gptc

#endif  // GPTC_IR_BASE_FUSED_REGION_H_
