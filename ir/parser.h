// The text form, read (docs/text_form.md). The text may be anything: what is wrong with it is an error that shows the
// place, memory stays proportional to its length, and nothing recurses.
#ifndef GPTC_IR_PARSER_H_
#define GPTC_IR_PARSER_H_

#include <cstddef>
#include <string>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// Larger texts are refused. A model of 124M parameters with its backward and optimizer takes about half a MiB.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

// `file_name` is for messages. The module keeps the text (source, source_name); it passes Verify. Types are inferred by
// the shape rules and compared with the written ones, where a type is written. The first error (InvalidArgument) reads
// as in diagnostic.h.
StatusOr<Module> ParseModule(std::string text, std::string file_name);

}  // namespace gptc

#endif  // GPTC_IR_PARSER_H_
