#include "ir/base/fused_region.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace gptc {
namespace {

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '+' || c == '-';
}

// Words (names and numbers) and marks of a region's text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The next word or mark, without taking it; "" at the end.
  std::string_view Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    size_t end = at_;
    while (end < text_.size() && IsWord(text_[end])) ++end;
    if (end == at_ && end < text_.size()) ++end;
    return text_.substr(at_, end - at_);
  }
  std::string_view Take() {
    std::string_view word = Peek();
    at_ += word.size();
    return word;
  }
  bool Accept(std::string_view word) {
    if (Peek() != word) return false;
    Take();
    return true;
  }
  Status Expect(std::string_view word) {
    if (Accept(word)) return OkStatus();
    return Problem(Cat("expected '", word, "'"));
  }
  Status Problem(std::string_view what) {
    std::string_view next = Peek();
    return InvalidArgument("region: ", what, next.empty() ? " at its end" : Cat(" before '", next, "'"), ", at byte ",
                           at_);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

template <typename T>
std::optional<T> NumberOf(std::string_view word) {
  T value{};
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

class Parser {
 public:
  Parser(std::string_view text, int inputs) : scan_(text) { region_.inputs = inputs; }

  StatusOr<FusedRegion> Parse() {
    while (!scan_.Accept("return")) {
      RETURN_IF_ERROR(Instruction());
      RETURN_IF_ERROR(scan_.Expect(";"));
    }
    do {
      ASSIGN_OR_RETURN(int value, Value());
      if (value < region_.inputs) return scan_.Problem("an operand is returned");
      region_.results.push_back(value);
    } while (scan_.Accept(","));
    if (!scan_.Peek().empty()) return scan_.Problem("expected nothing more");
    return std::move(region_);
  }

 private:
  Status Instruction() {
    if (region_.code.size() == kMostFusedInstructions)
      return scan_.Problem(Cat("more than ", kMostFusedInstructions, " ops"));
    RETURN_IF_ERROR(scan_.Expect(Cat("t", region_.code.size())));
    RETURN_IF_ERROR(scan_.Expect("="));
    std::optional<Op> op = OpNamed(scan_.Peek());
    if (!op || !IsFusible(*op)) return scan_.Problem("expected an op that can be fused");
    scan_.Take();
    FusedInstruction instruction{*op, {}, {}};
    const OpInfo& info = InfoOf(*op);
    for (size_t i = 0; i < info.inputs.size(); ++i) {
      if (i > 0) RETURN_IF_ERROR(scan_.Expect(","));
      ASSIGN_OR_RETURN(int value, Value());
      instruction.operands.push_back(value);
    }
    if (scan_.Accept("{")) {
      do {
        RETURN_IF_ERROR(Attribute(info, instruction.attributes));
      } while (scan_.Accept(","));
      RETURN_IF_ERROR(scan_.Expect("}"));
    }
    if (Status status = CompleteAttributes(info, instruction.attributes); !status.ok())
      return Annotate(status, "region");
    region_.code.push_back(std::move(instruction));
    return OkStatus();
  }

  StatusOr<int> Value() {
    std::string_view word = scan_.Peek();
    const bool input = word.starts_with('a');
    if (input || word.starts_with('t')) {
      const size_t known = input ? static_cast<size_t>(region_.inputs) : region_.code.size();
      std::optional<uint32_t> index = NumberOf<uint32_t>(word.substr(1));
      if (index && *index < known) {
        scan_.Take();
        return static_cast<int>(*index) + (input ? 0 : region_.inputs);
      }
    }
    return scan_.Problem("expected a value that there is");
  }

  Status Attribute(const OpInfo& info, Attributes& attributes) {
    const AttributeSpec* spec = info.Attribute(scan_.Peek());
    if (spec == nullptr || attributes.Find(spec->name) != nullptr)
      return scan_.Problem(Cat("expected another attribute of ", info.name));
    scan_.Take();
    RETURN_IF_ERROR(scan_.Expect("="));
    if (spec->type == AttributeType::kInts || spec->type == AttributeType::kDims) return List(*spec, attributes);
    std::optional<AttributeValue> value = Scalar(spec->type, scan_.Peek());
    if (!value) return scan_.Problem(Cat("expected a ", NameOf(spec->type), " for ", spec->name));
    scan_.Take();
    attributes.Set(spec->name, *std::move(value));
    return OkStatus();
  }

  static std::optional<AttributeValue> Scalar(AttributeType type, std::string_view word) {
    switch (type) {
      case AttributeType::kBool:
        if (word != "true" && word != "false") return std::nullopt;
        return word == "true";
      case AttributeType::kI64:
        return NumberOf<int64_t>(word);
      case AttributeType::kF64:
        return NumberOf<double>(word);
      case AttributeType::kDType:
        return DTypeNamed(word);
      case AttributeType::kStr:
        if (word.empty() || !IsWord(word[0])) return std::nullopt;
        return std::string(word);
      default:
        return std::nullopt;
    }
  }

  Status List(const AttributeSpec& spec, Attributes& attributes) {
    std::vector<int64_t> values;
    RETURN_IF_ERROR(scan_.Expect("["));
    while (!scan_.Accept("]")) {
      if (!values.empty()) RETURN_IF_ERROR(scan_.Expect(","));
      std::optional<int64_t> value = NumberOf<int64_t>(scan_.Peek());
      if (!value) return scan_.Problem("expected an integer");
      scan_.Take();
      values.push_back(*value);
    }
    attributes.Set(spec.name, std::move(values));
    return OkStatus();
  }

  Scanner scan_;
  FusedRegion region_;
};

std::string AttributeText(const AttributeValue& value) {
  struct Visitor {
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(int64_t v) const { return Cat(v); }
    std::string operator()(double v) const { return ShortestDouble(v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(DType v) const { return Cat(NameOf(v)); }
    std::string operator()(const std::vector<int64_t>& v) const { return Cat("[", Join(v, ", "), "]"); }
  };
  return std::visit(Visitor(), value);
}

}  // namespace

bool IsFusible(Op op) {
  const std::string& family = InfoOf(op).family;
  return (family == "elementwise" && op != Op::kIota) || family == "activation" || family == "reduction" ||
         op == Op::kBroadcast;
}

StatusOr<FusedRegion> ParseFusedRegion(std::string_view text, int inputs) { return Parser(text, inputs).Parse(); }

std::string FusedRegionText(const FusedRegion& region) {
  const auto name = [&](int value) {
    return value < region.inputs ? Cat("a", value) : Cat("t", value - region.inputs);
  };
  std::string text;
  for (size_t i = 0; i < region.code.size(); ++i) {
    const FusedInstruction& instruction = region.code[i];
    const OpInfo& info = InfoOf(instruction.op);
    text +=
        Cat("t", i, " = ", info.name, instruction.operands.empty() ? "" : " ", Join(instruction.operands, ", ", name));
    std::vector<std::string> attributes;
    for (const auto& [key, value] : instruction.attributes.items()) {
      if (info.Attribute(key)->default_value == value) continue;
      attributes.push_back(Cat(key, " = ", AttributeText(value)));
    }
    if (!attributes.empty()) text += Cat(" {", Join(attributes, ", "), "}");
    text += "; ";
  }
  return text + Cat("return ", Join(region.results, ", ", name));
}

}  // namespace gptc
