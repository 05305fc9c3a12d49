#include "runtime/generate/utf8_stream.h"

#include <cstddef>

namespace gptc {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How many bytes a character has that begins with `lead`; 0 where none does. Unicode 15, table 3-7.
size_t LengthFor(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Whether `next` may follow `begun`, the first bytes of a character. The second byte's range keeps overlong forms,
// surrogates and what is past U+10FFFF out.
bool MayFollow(std::string_view begun, unsigned char next) {
  unsigned char low = 0x80, high = 0xBF;
  if (begun.size() == 1) {
    switch (static_cast<unsigned char>(begun[0])) {
      case 0xE0:
        low = 0xA0;
        break;
      case 0xED:
        high = 0x9F;
        break;
      case 0xF0:
        low = 0x90;
        break;
      case 0xF4:
        high = 0x8F;
        break;
      default:
        break;
    }
  }
  return next >= low && next <= high;
}

}  // namespace

std::string Utf8Stream::Push(std::string_view bytes) {
  std::string out;
  for (char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    if (!pending_.empty()) {
      if (MayFollow(pending_, value)) {
        pending_.push_back(byte);
        if (pending_.size() == LengthFor(static_cast<unsigned char>(pending_[0]))) {
          out += pending_;
          pending_.clear();
        }
        continue;
      }
      out += kReplacement;  // and this byte begins anew
      pending_.clear();
    }
    switch (LengthFor(value)) {
      case 0:
        out += kReplacement;
        break;
      case 1:
        out.push_back(byte);
        break;
      default:
        pending_.push_back(byte);
        break;
    }
  }
  return out;
}

std::string Utf8Stream::Finish() {
  const bool broken = !pending_.empty();
  pending_.clear();
  return broken ? std::string(kReplacement) : std::string();
}

}  // namespace gptc
