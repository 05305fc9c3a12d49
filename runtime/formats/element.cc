#include "runtime/formats/element.h"

#include <array>

#include "ir/base/check.h"

namespace gptc {
namespace {

struct Row {
  ElementType type;
  std::string_view name;
  int size;
  std::optional<DType> dtype;
};

constexpr std::array<Row, 9> kTable = {{
    {ElementType::kF64, "F64", 8, DType::kF64},
    {ElementType::kF32, "F32", 4, DType::kF32},
    {ElementType::kBF16, "BF16", 2, DType::kBF16},
    {ElementType::kF16, "F16", 2, DType::kF16},
    {ElementType::kI64, "I64", 8, std::nullopt},
    {ElementType::kI32, "I32", 4, DType::kI32},
    {ElementType::kU16, "U16", 2, DType::kU16},
    {ElementType::kU8, "U8", 1, std::nullopt},
    {ElementType::kBool, "BOOL", 1, DType::kBool},
}};

const Row& RowOf(ElementType type) { return kTable[static_cast<size_t>(type)]; }

}  // namespace

int SizeOf(ElementType type) { return RowOf(type).size; }
std::string_view NameOf(ElementType type) { return RowOf(type).name; }
bool IsFloat(ElementType type) { return type <= ElementType::kF16; }
std::optional<DType> DTypeOf(ElementType type) { return RowOf(type).dtype; }

std::optional<ElementType> ElementTypeNamed(std::string_view name) {
  for (const Row& row : kTable) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

ElementType ElementTypeOf(DType dtype) {
  for (const Row& row : kTable) {
    if (row.dtype == dtype) return row.type;
  }
  CheckFailed(__FILE__, __LINE__, "a dtype without an element type");
}

std::optional<int64_t> CheckedBytes(std::span<const int64_t> shape, ElementType type) {
  int64_t bytes = SizeOf(type);
  bool empty = false;
  for (int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty |= dimension == 0;
    if (dimension != 0 && __builtin_mul_overflow(bytes, dimension, &bytes)) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

}  // namespace gptc
