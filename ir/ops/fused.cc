#include "ir/base/fused_region.h"

#include <algorithm>
#include <numeric>

#include "ir/ops/rules.h"

namespace gptc {
namespace {

// sum over all axes but the last, which vanish.
bool IsTotal(const FusedInstruction& instruction, size_t rank) {
  std::vector<int64_t> axes(rank - 1);
  std::iota(axes.begin(), axes.end(), 0);
  return instruction.op == Op::kSum && rank > 1 && !instruction.attributes.Bool("keep") &&
         instruction.attributes.Ints("axes") == axes;
}

bool IsRowReduction(const FusedInstruction& instruction, size_t rank) {
  return instruction.attributes.Bool("keep") &&
         instruction.attributes.Ints("axes") == std::vector<int64_t>{static_cast<int64_t>(rank) - 1};
}

std::vector<Type> TypesOf(std::span<const int> operands, const std::vector<Type>& values) {
  std::vector<Type> types;
  for (int value : operands) types.push_back(values[value]);
  return types;
}

}  // namespace

StatusOr<FusedTypes> InferFusedRegion(const FusedRegion& region, std::span<const Type> inputs,
                                      std::span<const std::string> symbols) {
  FusedTypes types;
  types.values.assign(inputs.begin(), inputs.end());
  for (const FusedInstruction& instruction : region.code) {
    const std::vector<Type> operands = TypesOf(instruction.operands, types.values);
    std::vector<std::string> names;
    for (int value : instruction.operands)
      names.push_back(value < region.inputs ? Cat("a", value) : Cat("t", value - region.inputs));
    ASSIGN_OR_RETURN(std::vector<Type> results,
                     InferTypes({InfoOf(instruction.op), operands, instruction.attributes, symbols, names}));
    types.values.push_back(std::move(results[0]));
  }

  Shape& space = types.space;
  const auto extend = [&](int value) {
    Shape wider;
    if (!BroadcastShapes(space, types.values[value].shape, wider)) {
      return InvalidArgument("region: ", ShapeText(types.values[value].shape, symbols), " and ",
                             ShapeText(space, symbols), " do not broadcast to one shape");
    }
    space = std::move(wider);
    return OkStatus();
  };
  for (int i = 0; i < region.inputs; ++i) RETURN_IF_ERROR(extend(i));
  for (size_t i = 0; i < region.code.size(); ++i) {
    if (InfoOf(region.code[i].op).family != "reduction") RETURN_IF_ERROR(extend(region.ValueOf(i)));
  }
  if (space.empty()) return InvalidArgument("region: its space has no axis");

  Shape column = space;
  column.back() = 1;
  std::vector<bool> total(types.values.size());
  for (size_t i = 0; i < region.code.size(); ++i) {
    const FusedInstruction& instruction = region.code[i];
    const Shape& shape = types.values[region.ValueOf(i)].shape;
    const bool reduction = InfoOf(instruction.op).family == "reduction";
    for (int operand : instruction.operands) {
      if (total[operand]) return InvalidArgument("region: t", i, " reads a total, which may only be returned");
      if (reduction && types.values[operand].shape != space)
        return InvalidArgument("region: t", i, " reduces a value that is not of the shape ", ShapeText(space, symbols));
    }
    FusedForm form = FusedForm::kWhole;
    if (reduction && IsTotal(instruction, space.size())) {
      form = FusedForm::kTotal;
      total[region.ValueOf(i)] = true;
    } else if (reduction && !IsRowReduction(instruction, space.size())) {
      return InvalidArgument("region: t", i, " reduces other axes than the last, with keep, or all before it");
    } else if (instruction.op == Op::kConstant) {
      form = FusedForm::kScalar;
      if (!shape.empty()) return InvalidArgument("region: the constant t", i, " must be a scalar");
    } else if (shape == column && (reduction || shape != space)) {
      form = FusedForm::kColumn;
    } else if (shape != space) {
      return InvalidArgument("region: t", i, " is ", ShapeText(shape, symbols), ", it must be ",
                             ShapeText(space, symbols), " or ", ShapeText(column, symbols));
    }
    types.forms.push_back(form);
  }
  for (int value : region.results) {
    if (types.forms[value - region.inputs] == FusedForm::kScalar)
      return InvalidArgument("region: the constant t", value - region.inputs, " is returned");
  }
  return types;
}

InferResult InferFused(const InferContext& c) {
  ASSIGN_OR_RETURN(FusedRegion region, ParseFusedRegion(c.attributes.Str("region"), static_cast<int>(c.inputs.size())));
  ASSIGN_OR_RETURN(FusedTypes types, InferFusedRegion(region, c.inputs, c.symbols));
  return TypesOf(region.results, types.values);
}

}  // namespace gptc
