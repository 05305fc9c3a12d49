// gptrun tokenize INPUT... -o shards/: text to token shards with their tokenizer beside them.
#ifndef GPTC_FRONTENDS_GPTRUN_TOKENIZE_H_
#define GPTC_FRONTENDS_GPTRUN_TOKENIZE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {

std::unique_ptr<Subcommand> MakeTokenizeCommand();

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_TOKENIZE_H_
