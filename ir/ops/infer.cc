#include "ir/base/infer.h"

#include "ir/ops/rules.h"

namespace gptc {
namespace {

using Rule = InferResult (*)(const InferContext&);
constexpr Rule kRules[] = {
#define OP(symbol, ...) Infer##symbol,
#include "ir/base/ops.def"
#undef OP
};

InferResult Checked(const InferContext& c) {
  if (!c.info.AcceptsInputCount(c.inputs.size())) {
    return InvalidArgument("takes ", c.info.InputCountText(), " operands, not ", c.inputs.size());
  }
  for (const Type& type : c.inputs) RETURN_IF_ERROR(CheckSize(type, c.symbols));
  for (const AttributeSpec& spec : c.info.attributes) {
    if (spec.type == AttributeType::kDims) RETURN_IF_ERROR(RequireDims(c, spec.name));
  }
  ASSIGN_OR_RETURN(std::vector<Type> types, kRules[static_cast<size_t>(c.info.op)](c));
  for (const Type& type : types) RETURN_IF_ERROR(CheckSize(type, c.symbols));
  return types;
}

}  // namespace

std::string InferContext::Describe(size_t i) const {
  return Cat(OperandText(*this, i), " is ", ShapeText(inputs[i].shape, symbols));
}

Status CheckSize(const Type& type, std::span<const std::string> symbols) {
  // A zero counts as one, so that no order of multiplication overflows.
  int64_t bytes = SizeOf(type.dtype);
  for (int64_t dim : type.shape) {
    if (IsSymbol(dim) || dim == 0) continue;
    if (__builtin_mul_overflow(bytes, dim, &bytes) || bytes > kMaxTensorBytes) {
      return InvalidArgument("a tensor ", TypeText(type, symbols), " is larger than 2^62 bytes");
    }
  }
  return OkStatus();
}

InferResult InferTypes(const InferContext& context) {
  InferResult types = Checked(context);
  if (!types.ok()) return Annotate(types.status(), context.info.name);
  return types;
}

}  // namespace gptc
