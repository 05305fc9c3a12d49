// The type of a value: element type and shape.
//
// A dimension is a size (>= 0) or, before a module's dimensions are bound, a symbol: -1 - i stands for the i-th of the
// module's dimensions (B, T, ...). Binding replaces every symbol, after that all shapes are static.
#ifndef GPTC_IR_BASE_TYPE_H_
#define GPTC_IR_BASE_TYPE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/base/dtype.h"

namespace gptc {

using Shape = std::vector<int64_t>;

inline int64_t SymbolDim(int index) { return -1 - index; }
inline bool IsSymbol(int64_t dim) { return dim < 0; }
inline int SymbolIndex(int64_t dim) { return static_cast<int>(-1 - dim); }
bool IsStatic(const Shape& shape);

// Number of elements of a static shape; 1 for a scalar.
int64_t ElementCount(std::span<const int64_t> shape);

struct Type {
  DType dtype = DType::kF32;
  Shape shape;
  bool operator==(const Type&) const = default;
};

// Bytes of a value of a static type.
int64_t ByteCount(const Type& type);

// "768", or the symbol's name. `symbols` are the names of the module's dimensions, in order.
std::string DimText(int64_t dim, std::span<const std::string> symbols = {});
// "[B, T, 768]"; "[]" for a scalar.
std::string ShapeText(const Shape& shape, std::span<const std::string> symbols = {});
// "f32[B, T, 768]", "f32" for a scalar.
std::string TypeText(const Type& type, std::span<const std::string> symbols = {});

}  // namespace gptc

#endif  // GPTC_IR_BASE_TYPE_H_
