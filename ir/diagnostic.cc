#include "ir/diagnostic.h"

#include <algorithm>
#include <cstdint>

namespace gptc {
namespace {

constexpr int kMaxColumns = 110;    // characters of a line that are shown
constexpr int kColumnsBefore = 50;  // of these, before the caret of a line that is cut

// Bytes of the UTF-8 sequence at text[at], 0 where it is not valid; `code` becomes its code point.
size_t Utf8Length(std::string_view text, size_t at, uint32_t& code) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(at);
  if (first < 0x80) {
    code = first;
    return 1;
  }
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() - at < length) return 0;
  code = first & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (byte(at + i) & 0x3f);
  }
  static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
  return length;
}

// Bytes of the character at text[at] as columns count them: at least 1.
size_t CharacterLength(std::string_view text, size_t at) {
  uint32_t code;
  return std::max<size_t>(Utf8Length(text, at, code), 1);
}

// What is not printable, replaced.
std::string Shown(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t length = PrintableLength(text, i);
    out.append(length == 0 ? std::string_view("?") : text.substr(i, length));
    i += std::max<size_t>(length, 1);
  }
  return out;
}

}  // namespace

size_t PrintableLength(std::string_view text, size_t at) {
  uint32_t code;
  size_t length = Utf8Length(text, at, code);
  if (length == 0) return 0;
  bool hidden = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || (code >= 0x200b && code <= 0x200f) ||
                (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
                (code >= 0xfff0 && code <= 0xfffb) || (code & 0xfffe) == 0xfffe || code >= 0xe0000;
  return hidden ? 0 : length;
}

TextPosition PositionOf(std::string_view source, size_t at) {
  at = std::min(at, source.size());
  TextPosition position;
  size_t line_begin = 0;
  for (size_t i = 0; i < at; ++i) {
    if (source[i] == '\n') {
      ++position.line;
      line_begin = i + 1;
    }
  }
  for (size_t i = line_begin; i < at; i += CharacterLength(source, i)) ++position.column;
  return position;
}

Status ErrorAt(std::string_view source, std::string_view file, size_t begin, size_t end, std::string_view message,
               std::string_view note) {
  begin = std::min(begin, source.size());
  TextPosition position = PositionOf(source, begin);
  size_t line_begin = begin == 0 ? 0 : source.rfind('\n', begin - 1) + 1;  // npos + 1 is 0
  size_t line_end = std::min(source.find('\n', begin), source.size());
  if (line_end > line_begin && line_end > begin && source[line_end - 1] == '\r') --line_end;
  std::string_view line = source.substr(line_begin, line_end - line_begin);

  const bool cut = line.size() > kMaxColumns;
  const int first = cut && position.column > kColumnsBefore ? position.column - kColumnsBefore : 1;
  std::string shown = first > 1 ? "..." : "";
  int column = 1;
  int marked = 0;  // characters of [begin, end) that are shown
  size_t i = 0;
  for (; i < line.size() && column < first + kMaxColumns; ++column) {
    size_t length = CharacterLength(line, i);
    if (column >= first) {
      if (PrintableLength(line, i) != 0) {
        shown.append(line.substr(i, length));
      } else {
        shown.push_back(line[i] == '\t' ? ' ' : '?');
      }
      if (line_begin + i >= begin && line_begin + i < end) ++marked;
    }
    i += length;
  }
  if (i < line.size()) shown.append("...");

  std::string number = std::to_string(position.line);
  std::string margin(std::max<size_t>(number.size(), 5), ' ');
  std::string out = Cat(Shown(file), ":", position.line, ":", position.column, ": error: ", Shown(message), "\n",
                        margin.substr(number.size()), number, " |");
  if (!shown.empty()) out += Cat(" ", shown);
  out += Cat("\n", margin, " | ", std::string(static_cast<size_t>(position.column - first + (first > 1 ? 3 : 0)), ' '),
             "^", std::string(static_cast<size_t>(std::max(marked - 1, 0)), '~'));
  if (!note.empty()) out += Cat(" ", Shown(note));
  return InvalidArgument(out);
}

}  // namespace gptc
