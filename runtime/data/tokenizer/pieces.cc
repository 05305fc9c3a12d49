#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/data/tokenizer/pieces.h"

#include <pcre2.h>

#include "ir/base/check.h"
#include "runtime/data/tokenizer/utf8.h"

namespace gptc {
namespace {

// PCRE2's own \s also matches U+180E, which left White_Space in Unicode 6.3, hence the list.
#define GPTC_SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
constexpr std::string_view kPattern = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^" GPTC_SPACE
                                      "\\p{L}\\p{N}]+|[" GPTC_SPACE "]+(?![^" GPTC_SPACE "])|[" GPTC_SPACE "]+";
#undef GPTC_SPACE

struct Pattern {
  pcre2_code* code;
  bool jit;
};

// Compiled once and kept for the life of the program; PCRE2's compiled code may be shared by threads.
const Pattern& Gpt2Pattern() {
  static const Pattern pattern = [] {
    int error = 0;
    PCRE2_SIZE where = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern.data()), kPattern.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &where, nullptr);
    CHECK(code != nullptr, "PCRE2 refuses GPT-2's pattern: error ", error, " at ", where);
    // A PCRE2 built without JIT, or a system that allows no executable memory, interprets: slower, the same pieces.
    return Pattern{code, pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0};
  }();
  return pattern;
}

}  // namespace

struct PieceReader::Match {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  ~Match() { pcre2_match_data_free(data); }
};

PieceReader::PieceReader(std::string_view text) : rest_(text), match_(std::make_unique<Match>()) {
  CHECK(match_->data != nullptr, "no memory for PCRE2's match data");
}

PieceReader::~PieceReader() = default;

size_t PieceReader::MatchSize() {
  const Pattern& pattern = Gpt2Pattern();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(valid_.data());
  int found = PCRE2_ERROR_NOMATCH;
  if (pattern.jit) found = pcre2_jit_match(pattern.code, subject, valid_.size(), at_, 0, match_->data, nullptr);
  if (found < 0) {  // no JIT, or its stack was too small
    found = pcre2_match(pattern.code, subject, valid_.size(), at_, PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK, match_->data,
                        nullptr);
  }
  // Each character is a letter, a number, white space or none of these, so the pattern matches everywhere; should PCRE2
  // reach one of its limits, a single character is still a correct split of the bytes.
  if (found < 0) return static_cast<size_t>(FirstCharacter(valid_.substr(at_)).size);
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_->data);
  return range[1] - range[0];
}

bool PieceReader::Next(std::string_view* piece) {
  if (at_ == valid_.size()) {
    if (rest_.empty()) return false;
    const size_t size = ValidPrefix(rest_);
    if (size == 0) {
      *piece = rest_.substr(0, 1);
      rest_.remove_prefix(1);
      return true;
    }
    valid_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    at_ = 0;
  }
  const size_t size = MatchSize();
  *piece = valid_.substr(at_, size);
  at_ += size;
  return true;
}

}  // namespace gptc
