// Typed attributes of an op: a short list of (name, value), sorted by name.
#ifndef GPTC_IR_BASE_ATTRIBUTES_H_
#define GPTC_IR_BASE_ATTRIBUTES_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/base/dtype.h"

namespace gptc {

// The order of the alternatives is the order of AttributeType.
using AttributeValue = std::variant<bool, int64_t, double, std::string, DType, std::vector<int64_t>>;
enum class AttributeType : uint8_t {
  kBool,
  kI64,
  kF64,
  kStr,
  kDType,
  kInts,  // plain integers
  kDims,  // dimensions: may hold symbols before binding
};

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string_view, AttributeValue>> items) {
    for (const auto& [name, value] : items) Set(name, value);
  }

  // Null where there is none.
  const AttributeValue* Find(std::string_view name) const;
  void Set(std::string_view name, AttributeValue value);

  // REQUIRES: the attribute is there and has this type. The verifier and the plan's loader see to it.
  bool Bool(std::string_view name) const;
  int64_t Int(std::string_view name) const;
  double Double(std::string_view name) const;
  const std::string& Str(std::string_view name) const;
  DType Dtype(std::string_view name) const;
  const std::vector<int64_t>& Ints(std::string_view name) const;  // kInts and kDims

  const std::vector<std::pair<std::string, AttributeValue>>& items() const { return items_; }
  std::vector<std::pair<std::string, AttributeValue>>& items() { return items_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::vector<std::pair<std::string, AttributeValue>> items_;
};

}  // namespace gptc

#endif  // GPTC_IR_BASE_ATTRIBUTES_H_
