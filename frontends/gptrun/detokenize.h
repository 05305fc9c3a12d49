// gptrun detokenize IDS.json --tokenizer X: token ids back to the bytes of the text.
#ifndef GPTC_FRONTENDS_GPTRUN_DETOKENIZE_H_
#define GPTC_FRONTENDS_GPTRUN_DETOKENIZE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {

std::unique_ptr<Subcommand> MakeDetokenizeCommand();

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_DETOKENIZE_H_
