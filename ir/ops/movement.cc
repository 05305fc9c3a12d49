#include <algorithm>

#include "ir/ops/rules.h"

namespace gptc {
namespace {

// Far more than any model has; keeps a wrong number in a text from making billions of results.
constexpr int64_t kMaxParts = 4096;

// The number of elements of a shape as a product of constants and a sorted list of symbols.
struct Count {
  int64_t constant = 1;
  std::vector<int64_t> symbols;
  bool operator==(const Count& other) const {
    return constant == other.constant && (constant == 0 || symbols == other.symbols);
  }
};

// REQUIRES: CheckSize passed, so the product does not overflow.
Count CountOf(const Shape& shape) {
  Count count;
  for (int64_t dim : shape) {
    if (IsSymbol(dim)) {
      count.symbols.push_back(dim);
    } else {
      count.constant *= dim;
    }
  }
  std::sort(count.symbols.begin(), count.symbols.end());
  return count;
}

}  // namespace

InferResult InferReshape(const InferContext& c) {
  Type type{c.input(0).dtype, c.attributes.Ints("shape")};
  RETURN_IF_ERROR(CheckSize(type, c.symbols));
  if (CountOf(type.shape) != CountOf(c.input(0).shape)) {
    return InvalidArgument("the number of elements differs: ", c.Describe(0), ", the new shape is ",
                           ShapeText(type.shape, c.symbols));
  }
  return std::vector<Type>{std::move(type)};
}

InferResult InferBroadcast(const InferContext& c) {
  const Shape& shape = c.attributes.Ints("shape");
  Shape joined;
  if (!BroadcastShapes(c.input(0).shape, shape, joined) || joined != shape) {
    return InvalidArgument("the shape does not broadcast: ", c.Describe(0), ", the new shape is ",
                           ShapeText(shape, c.symbols));
  }
  return std::vector<Type>{{c.input(0).dtype, shape}};
}

InferResult InferTranspose(const InferContext& c) {
  const std::vector<int64_t>& permutation = c.attributes.Ints("permutation");
  const Shape& shape = c.input(0).shape;
  std::vector<int64_t> sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  bool valid = sorted.size() == shape.size();
  for (size_t i = 0; valid && i < sorted.size(); ++i) valid = sorted[i] == static_cast<int64_t>(i);
  if (!valid) {
    return InvalidArgument("permutation [", Join(permutation, ", "), "] must name each axis once: ", c.Describe(0));
  }
  Type type{c.input(0).dtype, {}};
  for (int64_t axis : permutation) type.shape.push_back(shape[axis]);
  return std::vector<Type>{std::move(type)};
}

// Where the sizes are symbols, the bounds are checked when they are bound.
InferResult InferSlice(const InferContext& c) {
  int64_t axis = c.attributes.Int("axis"), start = c.attributes.Int("start");
  const std::vector<int64_t>& sizes = c.attributes.Ints("size");
  RETURN_IF_ERROR(RequireAxis(c, 0, axis));
  if (sizes.size() != 1) return InvalidArgument("size must be one number, not ", sizes.size());
  int64_t size = sizes[0], whole = c.input(0).shape[axis];
  if (start < 0) return InvalidArgument("start is ", start, ", it must be 0 or more");
  bool fits = IsSymbol(whole)  ? size != whole || start == 0
              : IsSymbol(size) ? start <= whole
                               : size <= whole && start <= whole - size;
  if (!fits) {
    return InvalidArgument(DimText(size, c.symbols), " from ", start, " on exceed axis ", axis, ": ", c.Describe(0));
  }
  Type type = c.input(0);
  type.shape[axis] = size;
  return std::vector<Type>{std::move(type)};
}

InferResult InferPad(const InferContext& c) {
  int64_t axis = c.attributes.Int("axis"), low = c.attributes.Int("low"), high = c.attributes.Int("high");
  RETURN_IF_ERROR(RequireAxis(c, 0, axis));
  if (low < 0 || high < 0) return InvalidArgument("low is ", low, ", high is ", high, ", both must be 0 or more");
  Type type = c.input(0);
  int64_t& size = type.shape[axis];
  if (low == 0 && high == 0) return std::vector<Type>{std::move(type)};
  if (IsSymbol(size)) return InvalidArgument("axis ", axis, " must have a size in numbers: ", c.Describe(0));
  if (__builtin_add_overflow(size, low, &size) || __builtin_add_overflow(size, high, &size)) {
    return InvalidArgument("low ", low, " and high ", high, " are too large");
  }
  return std::vector<Type>{std::move(type)};
}

InferResult InferSplit(const InferContext& c) {
  int64_t axis = c.attributes.Int("axis"), parts = c.attributes.Int("parts");
  RETURN_IF_ERROR(RequireAxis(c, 0, axis));
  if (parts < 1 || parts > kMaxParts) return InvalidArgument("parts is ", parts, ", it must be in 1..", kMaxParts);
  Type type = c.input(0);
  int64_t& size = type.shape[axis];
  if (parts > 1) {
    if (IsSymbol(size)) return InvalidArgument("axis ", axis, " must have a size in numbers: ", c.Describe(0));
    if (size % parts != 0) {
      return InvalidArgument("axis ", axis, " does not divide into ", parts, " parts: ", c.Describe(0));
    }
    size /= parts;
  }
  return std::vector<Type>(parts, type);
}

InferResult InferConcat(const InferContext& c) {
  int64_t axis = c.attributes.Int("axis");
  RETURN_IF_ERROR(RequireAxis(c, 0, axis));
  Type type = c.input(0);
  for (size_t i = 1; i < c.inputs.size(); ++i) {
    RETURN_IF_ERROR(RequireSameDType(c, i, 0));
    Shape expected = c.input(0).shape, given = c.input(i).shape;
    if (given.size() == expected.size()) given[axis] = expected[axis];
    if (given != expected) {
      return InvalidArgument("shapes differ on another axis than ", axis, ": ", c.Describe(0), ", ", c.Describe(i));
    }
    for (size_t each : {size_t{0}, i}) {
      if (!IsSymbol(c.input(each).shape[axis])) continue;
      return InvalidArgument("axis ", axis, " must have a size in numbers: ", c.Describe(each));
    }
    if (__builtin_add_overflow(type.shape[axis], c.input(i).shape[axis], &type.shape[axis])) {
      return InvalidArgument("the sizes of axis ", axis, " are too large");
    }
  }
  return std::vector<Type>{std::move(type)};
}

}  // namespace gptc
