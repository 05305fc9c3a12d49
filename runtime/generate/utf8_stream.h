// Text from pieces that may end in the middle of a character.
#ifndef GPTC_RUNTIME_GENERATE_UTF8_STREAM_H_
#define GPTC_RUNTIME_GENERATE_UTF8_STREAM_H_

#include <string>
#include <string_view>

namespace gptc {

// Takes bytes and gives valid UTF-8: an incomplete character is held back until its other bytes have come, and what can
// never become one is U+FFFD, one for each longest beginning of a character (as browsers and Python's errors="replace"
// do).
class Utf8Stream {
 public:
  // What can be shown now.
  std::string Push(std::string_view bytes);
  // At the end of the text: U+FFFD where a character was left incomplete, else "". The stream may be used again.
  std::string Finish();

 private:
  std::string pending_;  // the beginning of a character: 1 to 3 bytes, or none
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_GENERATE_UTF8_STREAM_H_
