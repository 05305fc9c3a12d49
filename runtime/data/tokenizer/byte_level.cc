// GPT-2's names for bytes (bpe.h).
#include "runtime/data/tokenizer/bpe.h"
#include "runtime/data/tokenizer/utf8.h"

namespace gptc {
namespace {

struct ByteNames {
  std::array<uint32_t, 256> code;        // of a byte
  std::array<unsigned char, 256> order;  // the bytes by ascending code
  std::array<int, 0x144> byte;           // of a code; -1 where it names none
};

bool IsPrintable(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173); }

const ByteNames& Names() {
  static const ByteNames names = [] {
    ByteNames n;
    n.byte.fill(-1);
    uint32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const uint32_t code = IsPrintable(b) ? static_cast<uint32_t>(b) : next++;
      n.code[static_cast<size_t>(b)] = code;
      n.byte[code] = b;
    }
    size_t count = 0;
    for (int b : n.byte) {
      if (b >= 0) n.order[count++] = static_cast<unsigned char>(b);
    }
    return n;
  }();
  return names;
}

}  // namespace

std::string ByteLevelText(std::string_view bytes) {
  std::string text;
  for (char c : bytes) AppendCharacter(Names().code[static_cast<unsigned char>(c)], &text);
  return text;
}

std::optional<std::string> BytesOfByteLevel(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Character c = FirstCharacter(text.substr(0, 4));
    if (c.code >= Names().byte.size() || Names().byte[c.code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(Names().byte[c.code]));
    text.remove_prefix(static_cast<size_t>(c.size));
  }
  return bytes;
}

const std::array<unsigned char, 256>& Gpt2ByteOrder() { return Names().order; }

}  // namespace gptc
