// UTF-8, strictly: no overlong forms, no surrogates, nothing past U+10FFFF.
//
// Text may hold bytes that are not UTF-8. Everywhere in this folder such a byte counts as one character of its own,
// with the code kRawByte + byte (past all code points), so that any bytes at all survive a round trip.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_UTF8_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_UTF8_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace gptc {

inline constexpr uint32_t kRawByte = 0x110000;

struct Character {
  uint32_t code;  // a code point, or kRawByte + byte
  int size;       // bytes, 1 to 4
};
// The first character of `text`, which is not empty.
Character FirstCharacter(std::string_view text);
// Appends a character: a code point as UTF-8, kRawByte + byte as that byte.
void AppendCharacter(uint32_t code, std::string* out);
// The size in bytes of the longest prefix that is valid UTF-8.
size_t ValidPrefix(std::string_view text);
// How many characters `text` has.
int64_t CountCharacters(std::string_view text);
// Where character number `count` starts, in bytes; the size of `text` where it has no more than `count` characters.
size_t OffsetOfCharacter(std::string_view text, int64_t count);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_UTF8_H_
