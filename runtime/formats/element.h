// Element types of tensors in files: those of safetensors that are read and written here.
#ifndef GPTC_RUNTIME_FORMATS_ELEMENT_H_
#define GPTC_RUNTIME_FORMATS_ELEMENT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ir/base/dtype.h"

namespace gptc {

enum class ElementType : uint8_t { kF64, kF32, kBF16, kF16, kI64, kI32, kU16, kU8, kBool };

// Bytes of one element.
int SizeOf(ElementType type);
// As safetensors spells them: "F64 F32 BF16 F16 I64 I32 U16 U8 BOOL".
std::string_view NameOf(ElementType type);
std::optional<ElementType> ElementTypeNamed(std::string_view name);
// F64, F32, BF16 or F16.
bool IsFloat(ElementType type);

ElementType ElementTypeOf(DType dtype);
// nullopt for I64 and U8, which the IR does not have.
std::optional<DType> DTypeOf(ElementType type);

// Bytes of a tensor of this shape (one element for a scalar); nullopt where a dimension is negative or they exceed 63
// bits.
std::optional<int64_t> CheckedBytes(std::span<const int64_t> shape, ElementType type);

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_ELEMENT_H_
