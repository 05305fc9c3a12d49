#include "ir/parse_state.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "ir/diagnostic.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

// What stands at a token, for "found ...".
std::string Describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kEnd:
      return "the end of the text";
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kValue:
      return Cat("'%", token.text, "'");
    default:
      return Cat("'", token.text.substr(0, 60), "'");
  }
}

// Nothing but text that reads wholly counts.
template <typename T>
std::errc Read(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end != text.data() + text.size()) return std::errc::invalid_argument;
  return error;
}

}  // namespace

std::string SuggestAmong(std::string_view word, std::span<const std::string> candidates, std::string_view prefix) {
  std::string near = Nearest(word, candidates);
  // Any two names of one letter are near each other: that says nothing.
  bool telling = !near.empty() && std::min(near.size(), word.size()) >= 2;
  return telling ? Cat("did you mean '", prefix, near, "'?") : "";
}

Status ParseState::FailRange(size_t begin, size_t end, std::string_view message, std::string_view note) const {
  return ErrorAt(module.source, module.source_name, begin, end, message, note);
}

Status ParseState::Fail(const Token& where, std::string_view message, std::string_view note) const {
  if (where.kind == Token::Kind::kInvalid) return FailRange(where.begin, where.end, where.problem);
  return FailRange(where.begin, where.end, message, note);
}

Status ParseState::Expected(std::string_view what, std::string_view note) const {
  return Fail(token, Cat("expected ", what, ", found ", Describe(token)), note);
}

Status ParseState::NeedMark(char mark, std::string_view context) {
  if (TakeMark(mark)) return OkStatus();
  return Expected(Cat("'", mark, "' ", context));
}

StatusOr<Token> ParseState::NeedName(std::string_view what) {
  if (token.kind != Token::Kind::kName) return Expected(what);
  return Take();
}

StatusOr<std::string> ParseState::NeedString(std::string_view what) {
  if (token.kind != Token::Kind::kString) return Expected(what);
  return DecodeString(Take().text);
}

StatusOr<int64_t> ParseState::IntegerOf(const Token& number) const {
  int64_t value = 0;
  std::errc error = Read(number.text, value);
  if (error == std::errc::result_out_of_range) return Fail(number, "this number does not fit 64 bits");
  if (error != std::errc()) return Fail(number, Cat("expected an integer, found '", number.text.substr(0, 60), "'"));
  return value;
}

StatusOr<double> ParseState::DoubleOf(const Token& number) const {
  if (number.text.ends_with("nan")) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  if (Read(number.text, value) != std::errc()) return Fail(number, "this number is out of a double's range");
  return value;
}

StatusOr<int64_t> ParseState::NeedInteger(std::string_view what, int64_t least, int64_t most) {
  if (token.kind != Token::Kind::kNumber) return Expected(what);
  ASSIGN_OR_RETURN(int64_t value, IntegerOf(token));
  if (value < least) return Fail(token, Cat(what, " is at least ", least, ", found ", value));
  if (value > most) return Fail(token, Cat(what, " is at most ", most, ", found ", value));
  Advance();
  return value;
}

StatusOr<double> ParseState::NeedDouble(std::string_view what) {
  if (token.kind != Token::Kind::kNumber && !token.IsName("inf") && !token.IsName("nan")) return Expected(what);
  ASSIGN_OR_RETURN(double value, DoubleOf(token));
  Advance();
  return value;
}

StatusOr<Shape> ParseState::NeedShape(int element_size) {
  size_t begin = token.begin;
  RETURN_IF_ERROR(NeedMark('[', "before the dimensions"));
  Shape shape;
  while (!token.IsMark(']')) {
    if (!shape.empty()) RETURN_IF_ERROR(NeedMark(',', "or ']' after a dimension"));
    if (shape.size() == kMaxRank) return Fail(token, Cat("more than ", kMaxRank, " dimensions"));
    if (token.kind == Token::Kind::kName) {
      const int* dimension = dimensions.Find(token.text);
      if (dimension == nullptr) {
        std::string note = dimensions.Suggest(token.text);
        if (note.empty() && symbols.empty()) note = "the module declares none yet: dim B, T";
        if (note.empty() && symbols.size() <= 12) note = Cat("the module's are ", Join(symbols, ", "));
        return Fail(token, Cat("unknown dimension '", token.text, "'"), note);
      }
      shape.push_back(SymbolDim(*dimension));
      Advance();
    } else {
      ASSIGN_OR_RETURN(int64_t size, NeedInteger("a dimension", 0, kMaxDim));
      shape.push_back(size);
    }
  }
  size_t end = token.end;
  Advance();
  if (std::string problem = ShapeProblem(shape, element_size, symbols.size()); !problem.empty()) {
    return FailRange(begin, end, Cat("this shape is too large: ", problem));
  }
  return shape;
}

StatusOr<Type> ParseState::NeedType(size_t& begin, size_t& end) {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (int i = 0; i < kDTypeCount; ++i) names.emplace_back(NameOf(static_cast<DType>(i)));
    return names;
  }();
  if (token.kind != Token::Kind::kName) return Expected("a type, such as f32[B, 768]");
  std::optional<DType> dtype = DTypeNamed(token.text);
  if (!dtype) {
    std::string note = SuggestAmong(token.text, kNames);
    return Fail(token, Cat("unknown element type '", token.text, "'"),
                note.empty() ? Cat("there are ", Join(kNames, ", ")) : note);
  }
  Type type{*dtype, {}};
  begin = token.begin;
  end = token.end;
  Advance();
  if (token.IsMark('[')) {
    ASSIGN_OR_RETURN(type.shape, NeedShape(SizeOf(type.dtype)));
    end = last_end;
  }
  return type;
}

StatusOr<int64_t> ParseState::OptionalOffset(const Type& type) {
  if (!TakeMark('@')) return -1;
  Token where = token;
  ASSIGN_OR_RETURN(int64_t offset, NeedInteger("an offset", 0, kMaxBytes));
  if (offset % kOffsetAlignment != 0)
    return Fail(where, Cat("an offset is a multiple of ", kOffsetAlignment, ", found ", offset));
  if (IsStatic(type.shape) && offset > kMaxBytes - ByteCount(type))
    return Fail(where, "the value ends past 2^62 bytes");
  return offset;
}

StatusOr<int> ParseState::OptionalStatePlace() {
  if (!token.IsMark('@')) return -1;
  const Token next = Lexer(lexer).Next();
  if (next.kind != Token::Kind::kName) return -1;
  Advance();
  const int* state = states.Find(token.text);
  if (state == nullptr) return Fail(token, Cat("unknown state '", token.text, "'"), states.Suggest(token.text));
  Advance();
  return *state;
}

}  // namespace gptc
