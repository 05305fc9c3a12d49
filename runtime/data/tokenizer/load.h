// Finding a tokenizer by what the user calls it.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_LOAD_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_LOAD_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/data/tokenizer/tokenizer.h"

namespace gptc {

// A tokenizer that exists already. `spec` is "bytes", or a folder, or a file:
//   a folder  with gptc_tokenizer.json, tokenizer.json, vocab.json and merges.txt, or encoder.json and vocab.bpe,
//   sought in
//             this order, first in the folder itself and then in its subfolder tokenizer/ (as in runs and shard
//             folders)
//   a file    of any of these forms, known by its content (a vocabulary finds its merges beside it, and the reverse),
//   or
//             llm.c's tokenizer .bin
// NotFound where there is nothing; InvalidArgument or DataLoss, naming the file, for what is not well-formed.
StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& spec);

// How to make a tokenizer for a text.
struct TokenizerChoice {
  std::string spec;    // "", "bytes", "chars", "bpe", or as LoadTokenizer has it; "" chooses by the size of the text
  int vocab_size = 0;  // of a bpe that is trained; 0 chooses by the size of the text
};
struct MadeTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string remark;  // one line for the user on what was chosen or trained; "" where the user named it all
};
// Where nothing is named, by the size of all the text: below 256 KiB bytes; below 20 MB a BPE of 4,096 tokens, below 1
// GB of 16,384, above of 50,257. A BPE is learned from `train`, chars are those of `train` and `rest`. OutOfRange for a
// vocabulary size that the kind cannot have.
StatusOr<MadeTokenizer> MakeTokenizer(const TokenizerChoice& choice, std::span<const std::string_view> train,
                                      std::span<const std::string_view> rest);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_LOAD_H_
