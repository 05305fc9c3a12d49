#include "runtime/cpu/fused_program.h"

#include <algorithm>
#include <array>
#include <map>

#include "ir/base/fused_region.h"
#include "runtime/cpu/activation.h"
#include "runtime/cpu/elementwise.h"
#include "runtime/cpu/reduction.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {

using Code = FusedStep::Code;
using Comparison = FusedStep::Comparison;

constexpr int64_t kTileElements = 2048;

// How the rows of the space lie in each operand.
struct Layout {
  std::vector<int64_t> outer;
  int64_t rows = 1, width = 1;
  struct Walk {
    bool inner = false, dense = false;
    std::vector<int64_t> strides;
  };
  std::vector<Walk> walks;
};

// Axes are merged wherever all operands allow it; the last axis stays apart with `keep_rows`.
Layout LayoutOf(const Shape& space, std::span<const TensorView> operands, bool keep_rows) {
  const int rank = static_cast<int>(space.size());
  const size_t count = operands.size();
  std::vector<int64_t> sizes;                 // innermost first
  std::vector<std::vector<int64_t>> strides;  // the same; of every operand
  std::vector<int64_t> extent(count, 1);
  for (int axis = rank - 1; axis >= 0; --axis) {
    std::vector<int64_t> stride(count, 0);
    for (size_t k = 0; k < count; ++k) {
      const Shape& shape = operands[k].type.shape;
      const int own = axis - (rank - static_cast<int>(shape.size()));
      const int64_t size = own >= 0 ? shape[own] : 1;
      const bool has_last = axis == rank - 1 && own >= 0 && size == space[axis];
      if (size != 1 || (keep_rows && has_last)) stride[k] = extent[k];
      extent[k] *= size;
    }
    const bool last = keep_rows && axis == rank - 1;
    if (space[axis] == 1 && !last) continue;
    bool merge = !sizes.empty() && !(keep_rows && sizes.size() == 1);
    for (size_t k = 0; merge && k < count; ++k) merge = stride[k] == strides.back()[k] * sizes.back();
    if (merge) {
      sizes.back() *= space[axis];
    } else {
      sizes.push_back(space[axis]);
      strides.push_back(std::move(stride));
    }
  }
  Layout layout;
  layout.walks.resize(count);
  if (sizes.empty()) {  // one element
    for (Layout::Walk& walk : layout.walks) walk = {true, true, {}};
    return layout;
  }
  layout.width = sizes[0];
  for (size_t axis = sizes.size(); axis-- > 1;) {
    layout.outer.push_back(sizes[axis]);
    layout.rows *= sizes[axis];
    for (size_t k = 0; k < count; ++k) layout.walks[k].strides.push_back(strides[axis][k]);
  }
  for (size_t k = 0; k < count; ++k) {
    Layout::Walk& walk = layout.walks[k];
    walk.inner = strides[0][k] != 0;
    int64_t dense = walk.inner ? layout.width : 1;
    walk.dense = true;
    for (size_t axis = layout.outer.size(); axis-- > 0;) {
      walk.dense = walk.dense && walk.strides[axis] == dense;
      dense *= layout.outer[axis];
    }
  }
  return layout;
}

uint8_t Number(auto value) { return static_cast<uint8_t>(value); }

struct Function {
  Code code;
  uint8_t function;
  int64_t work;
};
// The step that computes an op; casts, copies, constants and broadcasts have none of their own.
Function FunctionOf(const FusedInstruction& instruction) {
  const bool tanh =
      instruction.op == Op::kGelu || instruction.op == Op::kGeluBackward ? instruction.attributes.Bool("tanh") : false;
  switch (instruction.op) {
    case Op::kAdd:
      return {Code::kBinary, Number(Binary::kAdd), 1};
    case Op::kSub:
      return {Code::kBinary, Number(Binary::kSub), 1};
    case Op::kMul:
      return {Code::kBinary, Number(Binary::kMul), 1};
    case Op::kDiv:
      return {Code::kBinary, Number(Binary::kDiv), 1};
    case Op::kMax:
      return {Code::kBinary, Number(Binary::kMax), 1};
    case Op::kNeg:
      return {Code::kUnary, Number(Unary::kNeg), 1};
    case Op::kExp:
      return {Code::kUnary, Number(Unary::kExp), 4};
    case Op::kLog:
      return {Code::kUnary, Number(Unary::kLog), 4};
    case Op::kTanh:
      return {Code::kUnary, Number(Unary::kTanh), 4};
    case Op::kErf:
      return {Code::kUnary, Number(Unary::kErf), 4};
    case Op::kSqrt:
      return {Code::kUnary, Number(Unary::kSqrt), 2};
    case Op::kRsqrt:
      return {Code::kUnary, Number(Unary::kRsqrt), 2};
    case Op::kGelu:
      return {Code::kActivation, Number(tanh ? Activation::kGeluTanh : Activation::kGeluErf), 4};
    case Op::kRelu:
      return {Code::kActivation, Number(Activation::kRelu), 1};
    case Op::kSigmoid:
      return {Code::kActivation, Number(Activation::kSigmoid), 4};
    case Op::kSilu:
      return {Code::kActivation, Number(Activation::kSilu), 4};
    case Op::kGeluBackward:
      return {Code::kGeluBackward, Number(tanh), 6};
    case Op::kSelect:
      return {Code::kSelect, 0, 1};
    case Op::kCompare: {
      static constexpr std::array<std::string_view, 6> kNames = {"eq", "ne", "lt", "le", "gt", "ge"};
      const auto at = std::find(kNames.begin(), kNames.end(), instruction.attributes.Str("direction"));
      return {Code::kCompare, Number(at - kNames.begin()), 1};
    }
    case Op::kSum:
      return {Code::kReduce, Number(Reduction::kSum), 1};
    case Op::kMean:
      return {Code::kReduce, Number(Reduction::kMean), 1};
    case Op::kReduceMax:
      return {Code::kReduce, Number(Reduction::kMax), 1};
    default:
      return {Code::kTest, 0, 1};
  }
}

class Compiler {
 public:
  Compiler(const KernelArgs& args, const FusedRegion& region, const FusedTypes& types)
      : args_(args), region_(region), types_(types) {}

  // `copied`: the inputs that are read before anything is written, because a result lies over them.
  FusedProgram Compile(const std::vector<bool>& copied) {
    bool keep_rows = false, whole_rows = false;
    for (size_t i = 0; i < region_.code.size(); ++i) {
      whole_rows |= types_.forms[i] == FusedForm::kColumn;
      keep_rows |= whole_rows || types_.forms[i] == FusedForm::kTotal;
    }
    Layout layout = LayoutOf(types_.space, args_.inputs, keep_rows);
    p_.outer = layout.outer;
    p_.rows = layout.rows;
    p_.width = layout.width;
    p_.tile_rows = std::max<int64_t>(1, kTileElements / std::max<int64_t>(1, p_.width));
    p_.tile_width = whole_rows ? p_.width : std::min(p_.width, kTileElements);
    p_.tile_rows = std::min(p_.tile_rows, std::max<int64_t>(1, p_.rows));
    p_.work = 0;

    for (int i = 0; i < region_.inputs; ++i) {
      const TensorView& view = args_.inputs[i];
      Layout::Walk& walk = layout.walks[i];
      const bool repeated = std::all_of(walk.strides.begin(), walk.strides.end(), [](int64_t s) { return s == 0; });
      const int64_t bytes = SizeOf(view.type.dtype);
      for (int64_t& stride : walk.strides) stride *= bytes;
      values_.push_back(NewPlace({.dtype = view.type.dtype,
                                  .inner = walk.inner,
                                  .dense = walk.dense,
                                  .scalar = !walk.inner && repeated,
                                  .address = reinterpret_cast<uintptr_t>(view.data),
                                  .row_bytes = walk.dense ? (walk.inner ? p_.width : 1) * bytes : 0,
                                  .start_bytes = walk.inner ? bytes : 0,
                                  .strides = std::move(walk.strides)}));
    }
    // Loads stand before everything else, so that no store can come before one.
    for (int i = 0; i < region_.inputs; ++i) {
      if (!Direct(p_.places[values_[i]]) || copied[i]) values_[i] = Load(values_[i]);
    }
    for (size_t i = 0; i < region_.code.size(); ++i) values_.push_back(Emit(i));
    ShareSlots();
    SetAddresses();
    p_.work = std::max<int64_t>(1, p_.work / 2);
    return std::move(p_);
  }

 private:
  int NewPlace(FusedPlace place) {
    p_.places.push_back(std::move(place));
    return static_cast<int>(p_.places.size()) - 1;
  }
  int NewSlot(bool column) {
    return NewPlace({.kind = FusedPlace::Kind::kSlot, .inner = !column, .index = p_.slots++});
  }
  FusedStep& AddStep(FusedStep step) {
    p_.steps.push_back(step);
    return p_.steps.back();
  }

  // Whether steps may read the tensor where it lies.
  bool Direct(const FusedPlace& place) const {
    return place.dtype == DType::kF32 && (place.dense || p_.tile_rows == 1 || place.scalar);
  }

  int Load(int tensor) {
    const bool column = !p_.places[tensor].inner;
    const int slot = NewSlot(column);
    AddStep({.code = Code::kLoad, .column = column, .y = slot, .in = {tensor, -1, -1}});
    return slot;
  }

  // Of a step on whole tiles or on columns: makes place `value` its k-th operand. `dense`: one element of memory for
  // each of the tile.
  void SetOperand(FusedStep& step, int k, int value, bool dense) {
    const bool scalar = p_.places[value].scalar;
    step.in[k] = value;
    if (p_.places[value].inner || (step.column && !(scalar && dense))) {
      step.stepping[k] = !scalar;
      return;
    }
    if (!dense && (scalar || p_.tile_rows == 1)) {
      step.stepping[k] = false;
      return;
    }
    auto [at, made] = spread_.try_emplace({value, step.column}, -1);
    if (made) {
      at->second = NewSlot(step.column);
      AddStep({.code = Code::kSpread,
               .column = step.column,
               .y = at->second,
               .in = {value, -1, -1},
               .stepping = {!scalar, true, true}});
    }
    step.in[k] = at->second;
  }

  // The place of instruction i's value, after the steps that make it.
  int Emit(size_t i) {
    const FusedInstruction& instruction = region_.code[i];
    const Type& type = types_.values[region_.ValueOf(i)];
    const FusedForm form = types_.forms[i];
    if (instruction.op == Op::kConstant) {
      p_.constants.push_back(static_cast<float>(instruction.attributes.Double("value")));
      constants_.push_back(NewPlace({.inner = false, .dense = false, .scalar = true}));
      return constants_.back();
    }
    const int first = values_[instruction.operands[0]];
    if (form == FusedForm::kTotal) {
      for (size_t r = 0; r < region_.results.size(); ++r) {
        if (region_.results[r] != region_.ValueOf(i)) continue;
        FusedStep step{.code = Code::kAccumulate};
        SetOperand(step, 0, first, true);
        step.y = NewPlace(
            {.kind = FusedPlace::Kind::kPartial, .index = static_cast<int>(p_.totals.size()), .start_bytes = 4});
        AddStep(step);
        p_.totals.push_back(args_.results[r]);
        ++p_.work;
      }
      return -1;
    }
    const bool column = form == FusedForm::kColumn;
    const bool test = instruction.op == Op::kCast && type.dtype == DType::kBool;
    const bool same = (instruction.op == Op::kCast && !test) || instruction.op == Op::kCopy;
    const bool spread = instruction.op == Op::kBroadcast;
    int value = first;
    if (spread) {
      FusedStep reader{.code = Code::kTest, .column = column};
      SetOperand(reader, 0, first, true);
      value = reader.in[0];
    } else if (!same) {
      const Function function = FunctionOf(instruction);
      FusedStep step{.code = function.code, .function = function.function, .column = column};
      const bool reduce = function.code == Code::kReduce;
      if (reduce) step.column = false;  // of its operand
      // What has no form for one element in all of a tile.
      const bool dense = function.code != Code::kBinary && function.code != Code::kCompare;
      for (size_t k = 0; k < instruction.operands.size(); ++k)
        SetOperand(step, static_cast<int>(k), values_[instruction.operands[k]], dense);
      value = ResultPlace(i, type, column || reduce);
      step.y = value;
      AddStep(step);
      p_.work += function.work;
    }
    StoreResults(i, value);
    return value;
  }

  // Where a new value is made: in the memory of an f32 result that it is, else in a slot.
  int ResultPlace(size_t i, const Type& type, bool column) {
    if (type.dtype == DType::kF32) {
      for (size_t r = 0; r < region_.results.size(); ++r) {
        if (region_.results[r] == region_.ValueOf(i)) return ResultTensor(r, column);
      }
    }
    return NewSlot(column);
  }
  int ResultTensor(size_t r, bool column) {
    const TensorView& view = args_.results[r];
    const int64_t bytes = SizeOf(view.type.dtype);
    return NewPlace({.dtype = view.type.dtype,
                     .inner = !column,
                     .address = reinterpret_cast<uintptr_t>(view.data),
                     .row_bytes = (column ? 1 : p_.width) * bytes,
                     .start_bytes = column ? 0 : bytes});
  }
  // Copies the value into every result that it is and was not made in.
  void StoreResults(size_t i, int value) {
    const bool column = types_.forms[i] == FusedForm::kColumn;
    for (size_t r = 0; r < region_.results.size(); ++r) {
      if (region_.results[r] != region_.ValueOf(i)) continue;
      const FusedPlace& place = p_.places[value];
      if (place.kind == FusedPlace::Kind::kMemory &&
          place.address == reinterpret_cast<uintptr_t>(args_.results[r].data))
        continue;
      FusedStep step{.code = Code::kStore, .column = column};
      SetOperand(step, 0, value, !column);
      step.y = ResultTensor(r, column);
      AddStep(step);
    }
  }

  // Gives slots that are not needed at the same time one number.
  void ShareSlots() {
    std::vector<int> last(p_.places.size(), -1);
    for (size_t s = 0; s < p_.steps.size(); ++s) {
      for (int place : p_.steps[s].in) {
        if (place >= 0) last[place] = static_cast<int>(s);
      }
    }
    std::vector<int> free;
    int used = 0;
    const auto is_slot = [&](int place) { return place >= 0 && p_.places[place].kind == FusedPlace::Kind::kSlot; };
    for (size_t s = 0; s < p_.steps.size(); ++s) {
      const FusedStep& step = p_.steps[s];
      const auto give_back = [&] {
        for (int k = 0; k < 3; ++k) {
          const int place = step.in[k];
          const bool again = std::find(step.in, step.in + k, place) != step.in + k;
          if (is_slot(place) && !again && last[place] == static_cast<int>(s)) free.push_back(p_.places[place].index);
        }
      };
      if (step.Elementwise()) give_back();
      if (is_slot(step.y)) {
        if (free.empty()) free.push_back(used++);
        p_.places[step.y].index = free.back();
        free.pop_back();
        if (last[step.y] < 0) free.push_back(p_.places[step.y].index);  // nobody reads it
      }
      if (!step.Elementwise()) give_back();
    }
    p_.slots = used;
  }

  void SetAddresses() {
    // A line more than a power of two, so that slots do not share the cache's sets.
    p_.slot_bytes = (p_.tile_rows * p_.tile_width + 15) / 16 * 64 + 64;
    p_.partial_bytes = (p_.width + 15) / 16 * 64;
    for (FusedPlace& place : p_.places) {
      if (place.kind == FusedPlace::Kind::kSlot) place.address = static_cast<uintptr_t>(place.index * p_.slot_bytes);
      if (place.kind == FusedPlace::Kind::kPartial)
        place.address = static_cast<uintptr_t>(place.index * p_.partial_bytes);
    }
    for (size_t i = 0; i < constants_.size(); ++i)
      p_.places[constants_[i]].address = reinterpret_cast<uintptr_t>(p_.constants.data() + i);
  }

  const KernelArgs& args_;
  const FusedRegion& region_;
  const FusedTypes& types_;
  FusedProgram p_;
  std::vector<int> constants_;  // places
  std::vector<int> values_;     // places, by value of the region
  // Slots that hold a column or a scalar once for each element, of a whole tile or of a column.
  std::map<std::pair<int, bool>, int> spread_;
};

// The first input that is read where it lies after a step has written over it; -1 where there is none.
int ReadTooLate(const FusedProgram& p, size_t inputs) {
  for (size_t w = 0; w < p.steps.size(); ++w) {
    const FusedPlace& written = p.places[p.steps[w].y];
    if (written.kind != FusedPlace::Kind::kMemory) continue;
    for (size_t s = p.steps[w].Elementwise() || p.steps[w].code == Code::kStore ? w + 1 : w; s < p.steps.size(); ++s) {
      for (int place : p.steps[s].in) {
        if (place >= 0 && place < static_cast<int>(inputs) && p.places[place].address == written.address) return place;
      }
    }
  }
  return -1;
}

}  // namespace

StatusOr<FusedProgram> CompileFusedProgram(const KernelArgs& args) {
  std::vector<Type> inputs;
  for (const TensorView& input : args.inputs) inputs.push_back(input.type);
  ASSIGN_OR_RETURN(const FusedRegion region,
                   ParseFusedRegion(args.attributes.Str("region"), static_cast<int>(inputs.size())));
  ASSIGN_OR_RETURN(const FusedTypes types, InferFusedRegion(region, inputs));
  for (const Type& type : types.values) {
    if (type.dtype != DType::kF32 && type.dtype != DType::kBF16 && type.dtype != DType::kBool)
      return Unsupported("fused", args,
                         Cat("f32, bf16 and bool, not ", NameOf(type.dtype), ", also within the region"));
  }
  for (const TensorView& input : args.inputs) {
    for (const TensorView& result : args.results) {
      if (input.data == result.data && input.type != result.type && result.count() > 0)
        return InvalidArgument("fused: a result of ", TypeText(result.type), " lies over an operand of ",
                               TypeText(input.type));
    }
  }
  std::vector<bool> copied(inputs.size());
  while (true) {
    FusedProgram program = Compiler(args, region, types).Compile(copied);
    const int late = ReadTooLate(program, inputs.size());
    if (late < 0) return program;
    copied[late] = true;
  }
}

}  // namespace gptc
