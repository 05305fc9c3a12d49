// Errors about a place in a text, as compilers show them: where, what, the line itself and a caret under it.
#ifndef GPTC_IR_DIAGNOSTIC_H_
#define GPTC_IR_DIAGNOSTIC_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

// Line and column of a byte of a text, both counted from 1. Columns count characters: a valid UTF-8 sequence is one,
// any other byte is one.
struct TextPosition {
  int line = 1;
  int column = 1;
};
// A position past the end counts as the end.
TextPosition PositionOf(std::string_view source, size_t at);

// Bytes [begin, end) of `source` are wrong (InvalidArgument):
//
//   gpt2.graph:31:5: error: matmul: inner dimensions differ
//      31 |     %s: f32[B, 12, T, T] = matmul %q, %k
//         |     ^~ note
//
// `note` says what was expected, where that is known. Long lines are cut around the caret; what a terminal would not
// show as one plain character (control bytes, invalid UTF-8, marks that turn the direction of writing) is shown as '?'.
Status ErrorAt(std::string_view source, std::string_view file, size_t begin, size_t end, std::string_view message,
               std::string_view note = {});

// How many bytes the printable character at text[at] takes: 1 for ASCII, 2 to 4 for valid UTF-8; 0 where there is none.
// REQUIRES: at < text.size().
size_t PrintableLength(std::string_view text, size_t at);

}  // namespace gptc

#endif  // GPTC_IR_DIAGNOSTIC_H_
