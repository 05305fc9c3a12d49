// A fused region (ir/base/fused_region.h) as the steps of a tile machine: each step reads whole tiles of f32 and writes
// one, in slots that stay in the L1 cache, in constants, or in the operands' and results' own memory.
//
// A tile is some whole rows of the region's space, or a piece of one. Where no op needs to know where a row ends, axes
// are merged and a row may be all there is.
#ifndef GPTC_RUNTIME_CPU_FUSED_PROGRAM_H_
#define GPTC_RUNTIME_CPU_FUSED_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/exec/kernel.h"

namespace gptc {

struct FusedStep {
  enum class Code : uint8_t {
    kUnary,         // y = f(a), f a Unary
    kActivation,    // y = f(a), f an Activation
    kBinary,        // y = f(a, b), f a Binary
    kCompare,       // y = a ∘ b ? 1 : 0, ∘ a Comparison
    kGeluBackward,  // y = gelu'(a)·b; f: the tanh form
    kSelect,        // y = a ? b : c
    kTest,          // y = a is not 0 ? 1 : 0
    kLoad,          // y = the tensor a, from its type
    kStore,         // the tensor y = a, in its type
    kSpread,        // y[row, i] = a[row]
    kReduce,        // y[row] = a[row, 0] ∘ a[row, 1] ∘ ..., ∘ a Reduction
    kAccumulate,    // y[i] += a[0, i] + a[1, i] + ..., y a partial row
  };
  enum class Comparison : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };

  Code code;
  uint8_t function = 0;  // which f or ∘
  bool column = false;   // on one element a row
  int y = -1;            // places
  int in[3] = {-1, -1, -1};
  bool stepping[3] = {true, true, true};  // an operand that does not is one element for the whole tile

  // Whether element i of y depends on elements i of the operands alone, so that y may be the memory of one of them.
  bool Elementwise() const { return code <= Code::kTest; }
};

// Where a step finds or leaves a tile: at address + row · row_bytes + start · start_bytes, in a slot or a partial from
// where those of the thread begin.
struct FusedPlace {
  enum class Kind : uint8_t { kMemory, kSlot, kPartial };
  Kind kind = Kind::kMemory;
  DType dtype = DType::kF32;
  bool inner = true;    // has the space's last axis, and not one element a row
  bool dense = true;    // rows follow one another without a gap or repetition
  bool scalar = false;  // one element for all rows
  int index = 0;        // of a slot or partial
  uintptr_t address = 0;
  int64_t row_bytes = 0, start_bytes = 0;
  std::vector<int64_t> strides;  // bytes, along the outer axes; of an operand that is not dense
};

struct FusedProgram {
  std::vector<int64_t> outer;  // axes that number the rows
  int64_t rows = 1, width = 1;
  int64_t tile_rows = 1;   // of a tile; where above 1, its width is the whole width
  int64_t tile_width = 1;  // elements of a row in a tile, but for a row's last
  std::vector<FusedPlace> places;
  std::vector<FusedStep> steps;
  std::vector<float> constants;
  std::vector<TensorView> totals;  // results [width] that rows are added up for, by partial
  int slots = 0;
  int64_t work = 1;  // of one element, in the measure of parallel.h

  int64_t slot_bytes = 0, partial_bytes = 0;  // from one to the next

  // The bytes from an operand's begin to its row `row`.
  int64_t RowOffset(const FusedPlace& place, int64_t row) const {
    if (place.dense) return row * place.row_bytes;
    int64_t offset = 0;
    for (size_t axis = outer.size(); axis-- > 0;) {
      const int64_t rest = row / outer[axis];
      offset += (row - rest * outer[axis]) * place.strides[axis];
      row = rest;
    }
    return offset;
  }
};

// Unimplemented where the region holds other types than f32, bf16 and bool.
StatusOr<FusedProgram> CompileFusedProgram(const KernelArgs& args);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_FUSED_PROGRAM_H_
