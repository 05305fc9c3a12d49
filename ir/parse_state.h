// What the two halves of the parser (parser.cc: the module; graph_parser.cc: a graph) share: the token at hand, the
// names declared so far, and reading of the small things. Not for others.
#ifndef GPTC_IR_PARSE_STATE_H_
#define GPTC_IR_PARSE_STATE_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ir/base/status.h"
#include "ir/lexer.h"
#include "ir/module.h"

namespace gptc {

// "did you mean 'prefix+x'?" of the nearest of `candidates`, or "".
std::string SuggestAmong(std::string_view word, std::span<const std::string> candidates, std::string_view prefix = {});

// Names to handles; the names are views into the text.
template <typename Handle>
class NameTable {
 public:
  // False where the name was there before.
  bool Add(std::string_view name, Handle handle) { return map_.emplace(Key(name), handle).second; }
  const Handle* Find(std::string_view name) const {
    auto at = map_.find(Key(name));
    return at == map_.end() ? nullptr : &at->second;
  }
  // "did you mean 'prefix+name'?", or "" where no name is near.
  std::string Suggest(std::string_view name, std::string_view prefix = {}) const;

 private:
  static absl::string_view Key(std::string_view name) { return absl::string_view(name.data(), name.size()); }
  absl::flat_hash_map<absl::string_view, Handle> map_;
};

class ParseState {
 public:
  // Reads module.source, which must not move meanwhile.
  explicit ParseState(Module& m) : module(m), lexer(m.source) { Advance(); }

  // An error at a token; a token that is none (an unclosed string) says what it is itself.
  Status Fail(const Token& where, std::string_view message, std::string_view note = {}) const;
  // The same, from the beginning of `first` to the end of `last`.
  Status FailRange(size_t begin, size_t end, std::string_view message, std::string_view note = {}) const;
  // "expected ..., found 'x'" at the token at hand.
  Status Expected(std::string_view what, std::string_view note = {}) const;

  void Advance() {
    last_end = token.end;
    token = lexer.Next();
  }
  // Takes the token at hand and returns it.
  Token Take() {
    Token taken = token;
    Advance();
    return taken;
  }
  bool TakeMark(char mark) {
    if (!token.IsMark(mark)) return false;
    Advance();
    return true;
  }
  bool TakeWord(std::string_view word) {
    if (!token.IsName(word)) return false;
    Advance();
    return true;
  }
  // `context` continues "expected ':' ".
  Status NeedMark(char mark, std::string_view context);
  StatusOr<Token> NeedName(std::string_view what);
  StatusOr<std::string> NeedString(std::string_view what);
  // An integer from `least` to `most`.
  StatusOr<int64_t> NeedInteger(std::string_view what, int64_t least, int64_t most);
  StatusOr<double> NeedDouble(std::string_view what);
  // Of a kNumber: the value, or an error at it.
  StatusOr<double> DoubleOf(const Token& number) const;
  StatusOr<int64_t> IntegerOf(const Token& number) const;
  // "[", sizes and names of dimensions, "]".
  StatusOr<Shape> NeedShape(int element_size);
  // "f32[B, 12]"; `begin` and `end` become its place.
  StatusOr<Type> NeedType(size_t& begin, size_t& end);
  // "@4096" where there is one, else -1.
  StatusOr<int64_t> OptionalOffset(const Type& type);
  // The state of "@grad.wte" where that is next, else -1.
  StatusOr<int> OptionalStatePlace();

  Module& module;
  Lexer lexer;
  Token token;          // the next one to read
  size_t last_end = 0;  // where the one before it ended
  std::vector<std::string> symbols;
  NameTable<int> dimensions, states, graphs;
};

// Reads "graph ..." into the module; the word `graph` is already taken.
Status ParseGraph(ParseState& p);

template <typename Handle>
std::string NameTable<Handle>::Suggest(std::string_view name, std::string_view prefix) const {
  constexpr size_t kMostCandidates = 10000;  // above, a search takes longer than a person waits for an error
  if (map_.size() > kMostCandidates) return "";
  std::vector<std::string> candidates;
  for (const auto& [key, handle] : map_) candidates.emplace_back(key.data(), key.size());
  std::sort(candidates.begin(), candidates.end());
  return SuggestAmong(name, candidates, prefix);
}

}  // namespace gptc

#endif  // GPTC_IR_PARSE_STATE_H_
