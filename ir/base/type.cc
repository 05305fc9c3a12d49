#include "ir/base/type.h"

#include "ir/base/check.h"
#include "ir/base/text.h"

namespace gptc {

bool IsStatic(const Shape& shape) {
  for (int64_t dim : shape) {
    if (IsSymbol(dim)) return false;
  }
  return true;
}

int64_t ElementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    CHECK(!IsSymbol(dim), "ElementCount of a shape that is not bound");
    count *= dim;
  }
  return count;
}

int64_t ByteCount(const Type& type) { return ElementCount(type.shape) * SizeOf(type.dtype); }

std::string DimText(int64_t dim, std::span<const std::string> symbols) {
  if (!IsSymbol(dim)) return Cat(dim);
  size_t index = SymbolIndex(dim);
  return index < symbols.size() ? symbols[index] : Cat("dim", index);
}

std::string ShapeText(const Shape& shape, std::span<const std::string> symbols) {
  return Cat("[", Join(shape, ", ", [&](int64_t dim) { return DimText(dim, symbols); }), "]");
}

std::string TypeText(const Type& type, std::span<const std::string> symbols) {
  return type.shape.empty() ? std::string(NameOf(type.dtype)) : Cat(NameOf(type.dtype), ShapeText(type.shape, symbols));
}

}  // namespace gptc
