#include "runtime/data/tokenizer/utf8.h"

#include <cstring>

namespace gptc {
namespace {

// The bytes at the front of `text` that are ASCII for sure, a multiple of eight.
size_t AsciiPrefix(std::string_view text) {
  size_t at = 0;
  for (uint64_t word; at + 8 <= text.size(); at += 8) {
    std::memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080u) break;
  }
  return at;
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const Character raw{kRawByte + lead, 1};
  const int size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < static_cast<size_t>(size)) return raw;
  uint32_t code = lead & (0x7Fu >> size);
  for (int i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return raw;
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = code < (size == 3 ? 0x800u : size == 4 ? 0x10000u : 0x80u);
  if (overlong || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return raw;
  return {code, size};
}

void AppendCharacter(uint32_t code, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code >= kRawByte) {
    put(code - kRawByte);
  } else if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

size_t ValidPrefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (const size_t skip = AsciiPrefix(text.substr(at)); skip > 0) {
      at += skip;
      continue;
    }
    const Character c = FirstCharacter(text.substr(at));
    if (c.code >= kRawByte) break;
    at += static_cast<size_t>(c.size);
  }
  return at;
}

int64_t CountCharacters(std::string_view text) {
  int64_t count = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t skip = AsciiPrefix(text.substr(at));
    count += static_cast<int64_t>(skip);
    at += skip;
    if (at == text.size()) break;
    at += static_cast<size_t>(FirstCharacter(text.substr(at)).size);
    ++count;
  }
  return count;
}

size_t OffsetOfCharacter(std::string_view text, int64_t count) {
  size_t at = 0;
  for (int64_t seen = 0; at < text.size() && seen < count;) {
    const size_t skip = AsciiPrefix(text.substr(at, static_cast<size_t>(count - seen)));
    if (skip > 0) {
      at += skip;
      seen += static_cast<int64_t>(skip);
    } else {
      at += static_cast<size_t>(FirstCharacter(text.substr(at)).size);
      ++seen;
    }
  }
  return at;
}

}  // namespace gptc
