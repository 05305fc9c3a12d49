#include "runtime/data/tokenizer/tokenizer.h"

#include <cstdio>

#include "runtime/data/tokenizer/bpe.h"
#include "xxhash.h"

namespace gptc {

StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text) const {
  std::vector<int32_t> ids;
  RETURN_IF_ERROR(EncodeTo(text, [&](std::span<const int32_t> block) {
    ids.insert(ids.end(), block.begin(), block.end());
    return OkStatus();
  }));
  return ids;
}

StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size()) {
      return InvalidArgument("token ", ids[i], " at position ", i, " is outside the tokenizer's vocabulary of ",
                             Grouped(vocab_size()));
    }
    text.append(TokenBytes(ids[i]));
  }
  return text;
}

uint64_t Tokenizer::hash() const {
  std::string content(kind());
  const auto number = [&](int64_t value) { content.append(Cat(" ", value)); };
  number(vocab_size());
  number(eot().value_or(-1));
  for (int id = 0; id < vocab_size(); ++id) {
    const std::string_view bytes = TokenBytes(id);
    number(static_cast<int64_t>(bytes.size()));
    content.append(":");
    content.append(bytes);
  }
  if (const BpeModel* model = bpe()) {
    for (const auto& [left, right] : model->merges) {
      number(left);
      number(right);
    }
  }
  return XXH3_64bits(content.data(), content.size());
}

std::string Tokenizer::hash_text() const {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash()));
  return text;
}

}  // namespace gptc
