#include "ir/base/attributes.h"

#include <algorithm>

#include "ir/base/check.h"

namespace gptc {
namespace {
template <typename T>
const T& Get(const Attributes& attributes, std::string_view name) {
  const AttributeValue* value = attributes.Find(name);
  CHECK(value != nullptr && std::holds_alternative<T>(*value), "attribute ", name, " is missing or of another type");
  return std::get<T>(*value);
}
}  // namespace

const AttributeValue* Attributes::Find(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Attributes::Set(std::string_view name, AttributeValue value) {
  auto at = std::lower_bound(items_.begin(), items_.end(), name,
                             [](const auto& item, std::string_view key) { return item.first < key; });
  if (at != items_.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    items_.emplace(at, std::string(name), std::move(value));
  }
}

bool Attributes::Bool(std::string_view name) const { return Get<bool>(*this, name); }
int64_t Attributes::Int(std::string_view name) const { return Get<int64_t>(*this, name); }
double Attributes::Double(std::string_view name) const { return Get<double>(*this, name); }
const std::string& Attributes::Str(std::string_view name) const { return Get<std::string>(*this, name); }
DType Attributes::Dtype(std::string_view name) const { return Get<DType>(*this, name); }
const std::vector<int64_t>& Attributes::Ints(std::string_view name) const {
  return Get<std::vector<int64_t>>(*this, name);
}

}  // namespace gptc
