#include "ir/lexer.h"

#include <algorithm>

#include "ir/diagnostic.h"

namespace gptc {
namespace {

// The locale has no say in what a letter is.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsWord(char c) { return IsLetter(c) || IsDigit(c) || c == '.'; }
bool IsPathCharacter(char c) { return IsWord(c) || c == '/' || c == '-' || c == '+'; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'; }

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Lexer::SkipBlanks() {
  while (at_ < source_.size()) {
    char c = source_[at_];
    if (IsBlank(c)) {
      if (c == '\n') ++line_;
      ++at_;
    } else if (source_.substr(at_, 2) == "//") {
      at_ = std::min(source_.find('\n', at_), source_.size());
    } else {
      break;
    }
  }
}

Token Lexer::Take(Token::Kind kind, size_t end) {
  Token token{kind, at_, end, line_, source_.substr(at_, end - at_)};
  at_ = end;
  return token;
}

Token Lexer::Invalid(size_t end, const char* problem) {
  Token token = Take(Token::Kind::kInvalid, end);
  token.problem = problem;
  return token;
}

Token Lexer::Next() {
  SkipBlanks();
  if (at_ == source_.size()) return Take(Token::Kind::kEnd, at_);
  char c = source_[at_];
  auto word_end = [&](size_t from) {
    while (from < source_.size() && IsWord(source_[from])) ++from;
    return from;
  };
  if (IsLetter(c)) {
    Token token = Take(Token::Kind::kName, word_end(at_));
    if (token.text.size() > kMaxNameLength) {
      token.kind = Token::Kind::kInvalid;
      token.problem = "this name is too long (255 characters at most)";
    }
    return token;
  }
  if (c == '%') {
    size_t end = word_end(at_ + 1);
    if (end == at_ + 1) return Invalid(end, "a value's name must follow the '%'");
    if (end - at_ - 1 > kMaxNameLength) return Invalid(end, "this name is too long (255 characters at most)");
    Token token = Take(Token::Kind::kValue, end);
    token.text.remove_prefix(1);
    return token;
  }
  if (IsDigit(c) || c == '-') return Number();
  if (c == '"') return String();
  if (std::string_view("{}()[],:=@").find(c) != std::string_view::npos) return Take(Token::Kind::kMark, at_ + 1);
  if (c == '\0') return Invalid(at_ + 1, "a zero byte: this is not a text");
  return Invalid(at_ + std::max<size_t>(PrintableLength(source_, at_), 1), "this character means nothing here");
}

Token Lexer::NextPath() {
  SkipBlanks();
  if (at_ < source_.size() && source_[at_] == '"') return String();
  size_t end = at_;
  while (end < source_.size() && IsPathCharacter(source_[end]) && source_.substr(end, 2) != "//") ++end;
  if (end == at_) return Next();
  return Take(Token::Kind::kPath, end);
}

Token Lexer::String() {
  size_t end = at_ + 1;
  for (; end < source_.size() && source_[end] != '"'; ++end) {
    char c = source_[end];
    if (c == '\n') break;
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t')
      return Invalid(end + 1, "a control character in a string: write it as \\xHH");
    if (c != '\\') continue;
    if (++end == source_.size()) break;
    if (source_[end] == 'x') {
      if (source_.size() - end < 3 || HexDigit(source_[end + 1]) < 0 || HexDigit(source_[end + 2]) < 0) {
        return Invalid(end + 1, "\\x takes two hexadecimal digits");
      }
      end += 2;
    } else if (std::string_view("\"\\ntr").find(source_[end]) == std::string_view::npos) {
      return Invalid(end, "an unknown escape: there are \\\" \\\\ \\n \\t \\r and \\xHH");
    }
  }
  if (end >= source_.size() || source_[end] != '"') return Invalid(end, "this string is not closed on its line");
  Token token = Take(Token::Kind::kString, end + 1);
  token.text = token.text.substr(1, token.text.size() - 2);
  return token;
}

Token Lexer::Number() {
  size_t end = at_;
  auto digits = [&] {
    size_t begin = end;
    while (end < source_.size() && IsDigit(source_[end])) ++end;
    return end > begin;
  };
  if (source_[end] == '-') ++end;
  std::string_view rest = source_.substr(end);
  bool good;
  if (rest.starts_with("inf") || rest.starts_with("nan")) {
    end += 3;
    good = true;
  } else {
    good = digits();
    if (good && end < source_.size() && source_[end] == '.') {
      ++end;
      good = digits();
    }
    if (good && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      ++end;
      if (end < source_.size() && (source_[end] == '-' || source_[end] == '+')) ++end;
      good = digits();
    }
  }
  size_t word_end = end;
  while (word_end < source_.size() && IsWord(source_[word_end])) ++word_end;
  if (!good || word_end != end) return Invalid(std::max(word_end, at_ + 1), "this is not a number");
  return Take(Token::Kind::kNumber, end);
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameLength && IsLetter(text[0]) &&
         std::all_of(text.begin(), text.end(), IsWord);
}

bool IsValueName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameLength && std::all_of(text.begin(), text.end(), IsWord);
}

bool IsPlainPath(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsPathCharacter) &&
         text.find("//") == std::string_view::npos;
}

std::string Quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (c == '"' || c == '\\') {
      out += {'\\', c};
      ++i;
    } else if (c == '\n' || c == '\t' || c == '\r') {
      out += {'\\', c == '\n' ? 'n' : c == '\t' ? 't' : 'r'};
      ++i;
    } else if (size_t length = PrintableLength(text, i); length > 0) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      unsigned char byte = static_cast<unsigned char>(c);
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      ++i;
    }
  }
  return out + '"';
}

std::string DecodeString(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    char c = text[++i];
    if (c == 'x' && text.size() - i >= 3) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
    }
  }
  return out;
}

}  // namespace gptc
