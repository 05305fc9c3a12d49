// GPT-2's split of a text into the pieces within which byte pairs merge ("Language Models are Unsupervised Multitask
// Learners", 2019, section 2.2):
//   '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// where \s is Unicode's White_Space. The pieces laid end to end are the text. Bytes that are not UTF-8 split the text:
// each is a piece of its own, and the stretches of UTF-8 between them are split as texts of their own.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_PIECES_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_PIECES_H_

#include <memory>
#include <string_view>

namespace gptc {

// Reads the pieces of one text, which must outlive the reader, in order. One thread; several readers may run at once.
class PieceReader {
 public:
  explicit PieceReader(std::string_view text);
  ~PieceReader();
  // False at the end of the text. A piece is never empty.
  bool Next(std::string_view* piece);

 private:
  struct Match;  // PCRE2's match data
  size_t MatchSize();

  std::string_view rest_;   // what is left of the whole text, from the present stretch's end on
  std::string_view valid_;  // the present stretch of valid UTF-8
  size_t at_ = 0;           // in valid_
  std::unique_ptr<Match> match_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_PIECES_H_
