// A text as the tokens that a model goes on from.
#ifndef GPTC_RUNTIME_GENERATE_PROMPT_H_
#define GPTC_RUNTIME_GENERATE_PROMPT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/data/tokenizer/tokenizer.h"

namespace gptc {

struct Prompt {
  std::vector<int32_t> tokens;  // one at least
  std::string remark;           // one line on what stands in for an empty text; "" otherwise
};

// For an empty text: the end-of-text token, which stands before each document in training; without one that of a line
// feed, else token 0. InvalidArgument for text that the vocabulary cannot express.
StatusOr<Prompt> MakePrompt(const Tokenizer& tokenizer, std::string_view text);

}  // namespace gptc

#endif  // GPTC_RUNTIME_GENERATE_PROMPT_H_
