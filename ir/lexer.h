// Words of the text form (docs/text_form.md). The lexer hands out views into the text, copies nothing and remembers one
// place, so its memory does not grow with the text.
#ifndef GPTC_IR_LEXER_H_
#define GPTC_IR_LEXER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gptc {

// Names longer than this are refused.
inline constexpr size_t kMaxNameLength = 255;

struct Token {
  enum class Kind : uint8_t {
    kEnd,
    kName,     // [A-Za-z_][A-Za-z0-9_.]*
    kValue,    // %[A-Za-z0-9_.]+; text without the %
    kNumber,   // -12, 0.5, 1e-05, -inf; its range is not checked
    kString,   // text between the quotes, escapes not yet decoded but known to be right
    kMark,     // one of { } ( ) [ ] , : = @
    kPath,     // only from NextPath
    kInvalid,  // `problem` says why
  };
  Kind kind = Kind::kEnd;
  size_t begin = 0, end = 0;  // bytes of the source
  int line = 1;
  std::string_view text;
  const char* problem = nullptr;

  bool IsMark(char mark) const { return kind == Kind::kMark && text[0] == mark; }
  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
};

class Lexer {
 public:
  // `source` must outlive the lexer and its tokens.
  explicit Lexer(std::string_view source) : source_(source) {}

  Token Next();
  // A file's path, which is a word only after `at`: [A-Za-z0-9_./+-]+ without "//", or a string.
  Token NextPath();

 private:
  void SkipBlanks();
  Token Take(Token::Kind kind, size_t end);
  Token Invalid(size_t end, const char* problem);
  Token String();
  Token Number();

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
};

// Whether `text` is a name of a state, input, output, dimension, graph, module or configuration key.
bool IsName(std::string_view text);
// Whether `text` may stand after %.
bool IsValueName(std::string_view text);
// Whether `text` is a path that needs no quotes.
bool IsPlainPath(std::string_view text);

// In quotes, with \" \\ \n \t \r, and \xHH for every other byte that is not part of a printable character.
std::string Quote(std::string_view text);
// The bytes that the text of a kString token stands for.
std::string DecodeString(std::string_view text);

}  // namespace gptc

#endif  // GPTC_IR_LEXER_H_
