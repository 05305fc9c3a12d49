#include "ir/base/op_table.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/container/flat_hash_map.h"
#include "ir/base/check.h"

namespace gptc {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '(')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == ')')) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> SplitOn(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = text.find(separator);
    parts.push_back(Trim(text.substr(0, end)));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

std::vector<OperandSpec> ParseOperands(std::string_view text, const std::vector<OperandSpec>& inputs) {
  std::vector<OperandSpec> specs;
  for (std::string_view item : SplitOn(Trim(text), ',')) {
    OperandSpec spec;
    spec.pairwise = item.find('=') != std::string_view::npos;
    std::vector<std::string_view> names = SplitOn(item, spec.pairwise ? '=' : '~');
    std::string_view name = names[0];
    if (name.ends_with("...")) {
      spec.variadic = true;
      name.remove_suffix(3);
    } else if (name.ends_with("?")) {
      spec.optional = true;
      name.remove_suffix(1);
    }
    spec.name = Trim(name);
    for (size_t i = 1; i < names.size(); ++i) {
      auto at =
          std::find_if(inputs.begin(), inputs.end(), [&](const OperandSpec& input) { return input.name == names[i]; });
      CHECK(at != inputs.end(), "ops.def: no input ", names[i]);
      spec.may_alias.push_back(static_cast<int>(at - inputs.begin()));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

AttributeType ParseType(std::string_view name) {
  for (AttributeType type : {AttributeType::kBool, AttributeType::kI64, AttributeType::kF64, AttributeType::kStr,
                             AttributeType::kDType, AttributeType::kInts, AttributeType::kDims}) {
    if (NameOf(type) == name) return type;
  }
  CHECK(false, "ops.def: no attribute type ", name);
  return AttributeType::kBool;
}

AttributeValue ParseDefault(AttributeType type, std::string_view text) {
  switch (type) {
    case AttributeType::kBool:
      return text == "true";
    case AttributeType::kDType:
      return *DTypeNamed(text);
    case AttributeType::kInts:
    case AttributeType::kDims:
      CHECK(text == "[]");
      return std::vector<int64_t>{};
    case AttributeType::kF64:
      return std::stod(std::string(text));
    case AttributeType::kI64:
      return static_cast<int64_t>(std::stoll(std::string(text)));
    case AttributeType::kStr:
      return std::string(text);
  }
  return false;
}

std::vector<AttributeSpec> ParseAttributes(std::string_view text) {
  std::vector<AttributeSpec> specs;
  for (std::string_view item : SplitOn(Trim(text), ',')) {
    std::vector<std::string_view> sides = SplitOn(item, '=');
    std::vector<std::string_view> words = SplitOn(sides[0], ' ');
    AttributeSpec spec{std::string(words[1]), ParseType(words[0]), std::nullopt};
    if (sides.size() > 1) spec.default_value = ParseDefault(spec.type, sides[1]);
    specs.push_back(std::move(spec));
  }
  std::sort(specs.begin(), specs.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return specs;
}

struct Row {
  Op op;
  const char *symbol, *name, *inputs, *results, *attributes;
  Gradient gradient;
  Execution execution;
  const char* family;
};

const std::vector<OpInfo>& Table() {
  static const std::vector<OpInfo>* table = [] {
    const Row rows[] = {
#define OP(symbol, name, inputs, results, attributes, gradient, execution, family) \
  {Op::k##symbol, #symbol, #name, #inputs, #results, #attributes, Gradient::gradient, Execution::execution, #family},
#include "ir/base/ops.def"
#undef OP
    };
    auto* infos = new std::vector<OpInfo>;
    for (const Row& row : rows) {
      OpInfo info{row.op,
                  row.name,
                  row.symbol,
                  row.family,
                  ParseOperands(row.inputs, {}),
                  {},
                  ParseAttributes(row.attributes),
                  row.gradient,
                  row.execution};
      info.results = ParseOperands(row.results, info.inputs);
      infos->push_back(std::move(info));
    }
    return infos;
  }();
  return *table;
}

AttributeType TypeIndex(const AttributeValue& value) { return static_cast<AttributeType>(value.index()); }

}  // namespace

const OpInfo& InfoOf(Op op) { return Table()[static_cast<size_t>(op)]; }

std::optional<Op> OpNamed(std::string_view name) {
  static const auto* map = [] {
    auto* ops = new absl::flat_hash_map<std::string, Op>;
    for (const OpInfo& info : Table()) (*ops)[info.name] = info.op;
    return ops;
  }();
  auto at = map->find(std::string(name));
  if (at == map->end()) return std::nullopt;
  return at->second;
}

std::span<const std::string> OpNames() {
  static const auto* names = [] {
    auto* all = new std::vector<std::string>;
    for (const OpInfo& info : Table()) all->push_back(info.name);
    return all;
  }();
  return *names;
}

std::string_view NameOf(AttributeType type) {
  static constexpr std::array<std::string_view, 7> kNames = {"bool", "i64", "f64", "str", "dtype", "ints", "dims"};
  return kNames[static_cast<size_t>(type)];
}

namespace {
size_t RequiredCount(const std::vector<OperandSpec>& inputs) {
  return static_cast<size_t>(
      std::count_if(inputs.begin(), inputs.end(), [](const OperandSpec& input) { return !input.optional; }));
}
}  // namespace

const OperandSpec& OpInfo::Input(size_t i) const { return inputs[std::min(i, inputs.size() - 1)]; }

std::vector<int> OpInfo::AliasCandidates(size_t result, size_t input_count) const {
  std::vector<int> candidates;
  const OperandSpec& of = results[std::min(result, results.size() - 1)];
  for (int spec : of.may_alias) {
    size_t begin = static_cast<size_t>(spec), end = inputs[begin].variadic ? input_count : begin + 1;
    if (of.pairwise) {
      begin += result - (results.size() - 1);
      end = begin + 1;
    }
    for (size_t i = begin; i < std::min(end, input_count); ++i) candidates.push_back(static_cast<int>(i));
  }
  return candidates;
}

bool OpInfo::MayAlias(size_t result, size_t input) const {
  const std::vector<int> candidates = AliasCandidates(result, input + 1);
  return std::find(candidates.begin(), candidates.end(), static_cast<int>(input)) != candidates.end();
}

bool OpInfo::AcceptsInputCount(size_t count) const {
  if (inputs.empty()) return count == 0;
  if (inputs.back().variadic) return count >= inputs.size();
  return count <= inputs.size() && count >= RequiredCount(inputs);
}

std::string OpInfo::InputCountText() const {
  size_t count = inputs.size();
  if (count != 0 && inputs.back().variadic) return Cat("at least ", count);
  const size_t required = RequiredCount(inputs);
  if (required == count) return Cat(count);
  return Cat(required, required + 1 == count ? " or " : " to ", count);
}

const AttributeSpec* OpInfo::Attribute(std::string_view attribute) const {
  for (const AttributeSpec& spec : attributes) {
    if (spec.name == attribute) return &spec;
  }
  return nullptr;
}

Status CompleteAttributes(const OpInfo& info, Attributes& attributes) {
  for (const auto& [name, value] : attributes.items()) {
    const AttributeSpec* spec = info.Attribute(name);
    if (spec == nullptr) {
      std::vector<std::string> known;
      for (const AttributeSpec& each : info.attributes) known.push_back(each.name);
      std::string near = Nearest(name, known);
      return InvalidArgument(info.name, " has no attribute '", name, "'",
                             !near.empty()   ? Cat("; did you mean '", near, "'?")
                             : known.empty() ? "; it takes none"
                                             : Cat("; it takes ", Join(known, ", ")));
    }
    AttributeType type = spec->type == AttributeType::kDims ? AttributeType::kInts : spec->type;
    if (TypeIndex(value) != type) {
      return InvalidArgument(info.name, ": attribute ", name, " must be of type ", NameOf(spec->type));
    }
  }
  for (const AttributeSpec& spec : info.attributes) {
    if (attributes.Find(spec.name) != nullptr) continue;
    if (!spec.default_value)
      return InvalidArgument(info.name, " needs the attribute ", spec.name, " (", NameOf(spec.type), ")");
    attributes.Set(spec.name, *spec.default_value);
  }
  return OkStatus();
}

}  // namespace gptc
