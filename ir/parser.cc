#include "ir/parser.h"

#include <cmath>
#include <set>

#include "ir/parse_state.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

constexpr StateKind kKinds[] = {StateKind::kOptimizer, StateKind::kGradient, StateKind::kDerived, StateKind::kCache,
                                StateKind::kScalars};

class ModuleParser {
 public:
  explicit ModuleParser(Module& module) : p_(module), module_(module) {}

  Status Run() {
    if (!p_.TakeWord("module")) return p_.Expected("'module' and its name");
    ASSIGN_OR_RETURN(Token name, p_.NeedName("the module's name"));
    module_.name = name.text;
    RETURN_IF_ERROR(p_.NeedMark('{', "after the module's name"));
    while (!p_.token.IsMark('}')) RETURN_IF_ERROR(ParseItem());
    p_.Advance();
    if (p_.token.kind != Token::Kind::kEnd) return p_.Expected("the end of the text after the module");
    return CheckOwners();
  }

 private:
  Status ParseItem() {
    if (p_.TakeWord("config")) return ParseConfig();
    if (p_.TakeWord("dim")) return ParseDimensions();
    if (p_.TakeWord("param")) return ParseOneState(StateKind::kParameter);
    if (p_.TakeWord("state")) return ParseOneState(StateKind::kOptimizer);
    if (p_.TakeWord("graph")) return ParseGraph(p_);
    static const std::vector<std::string> kWords = {"config", "dim", "param", "state", "graph"};
    return p_.Expected("config, dim, param, state, graph or '}'",
                       p_.token.kind == Token::Kind::kName ? SuggestAmong(p_.token.text, kWords) : "");
  }

  Status ParseConfig() {
    RETURN_IF_ERROR(p_.NeedMark('{', "after config"));
    bool first = true;
    while (!p_.token.IsMark('}')) {
      if (!first) RETURN_IF_ERROR(p_.NeedMark(',', "or '}' after a configuration value"));
      first = false;
      ASSIGN_OR_RETURN(Token key, p_.NeedName("a configuration key"));
      if (!keys_.Add(key.text, 0)) return p_.Fail(key, Cat("a second configuration key '", key.text, "'"));
      RETURN_IF_ERROR(p_.NeedMark('=', "after the configuration key"));
      ASSIGN_OR_RETURN(ConfigValue value, ParseConfigValue());
      module_.config.emplace_back(std::string(key.text), std::move(value));
    }
    p_.Advance();
    return OkStatus();
  }

  StatusOr<ConfigValue> ParseConfigValue() {
    const Token token = p_.token;
    if (token.IsName("true") || token.IsName("false")) {
      p_.Advance();
      return ConfigValue(token.text == "true");
    }
    if (token.kind == Token::Kind::kString) {
      p_.Advance();
      return ConfigValue(DecodeString(token.text));
    }
    if (token.kind == Token::Kind::kNumber && token.text.find_first_of(".eEin") == std::string_view::npos) {
      ASSIGN_OR_RETURN(int64_t value, p_.IntegerOf(token));
      p_.Advance();
      return ConfigValue(value);
    }
    ASSIGN_OR_RETURN(double value, p_.NeedDouble("a number, a string, true or false"));
    return ConfigValue(value);
  }

  Status ParseDimensions() {
    do {
      ASSIGN_OR_RETURN(Token name, p_.NeedName("the name of a dimension"));
      if (!p_.dimensions.Add(name.text, static_cast<int>(module_.dimensions.size()))) {
        return p_.Fail(name, Cat("a second dimension '", name.text, "'"));
      }
      Dimension dimension{std::string(name.text)};
      if (p_.TakeMark('=')) {
        ASSIGN_OR_RETURN(dimension.value, p_.NeedInteger("the size of a dimension", 1, kMaxDim));
      }
      p_.symbols.push_back(dimension.name);
      module_.dimensions.push_back(std::move(dimension));
    } while (p_.TakeMark(','));
    return OkStatus();
  }

  // A parameter, or a state whose kind is among the words that follow.
  Status ParseOneState(StateKind kind) {
    const bool parameter = kind == StateKind::kParameter;
    ASSIGN_OR_RETURN(Token name, p_.NeedName(parameter ? "the name of a parameter" : "the name of a state"));
    if (!p_.states.Add(name.text, static_cast<int>(module_.states.size())))
      return p_.Fail(name, Cat("a second state '", name.text, "'"));
    RETURN_IF_ERROR(p_.NeedMark(':', "and a type after the name"));
    State state{std::string(name.text)};
    state.kind = kind;
    size_t type_begin, type_end;
    ASSIGN_OR_RETURN(state.type, p_.NeedType(type_begin, type_end));
    seen_.clear();
    bool kind_known = parameter;
    for (bool more = true; more;) {
      const Token word = p_.token;
      ASSIGN_OR_RETURN(more, ParseClause(state));
      if (!more && !parameter && word.kind == Token::Kind::kName) {
        for (StateKind each : kKinds) {
          if (word.text != NameOf(each)) continue;
          if (kind_known) return p_.Fail(word, "a second kind of state");
          state.kind = each;
          kind_known = more = true;
          p_.Advance();
        }
      }
    }
    static const std::vector<std::string> kNext = {"config", "dim", "param", "state", "graph"};
    static const std::vector<std::string> kWords = {"rows",      "init",     "decay",   "names", "of",
                                                    "optimizer", "gradient", "derived", "cache", "scalars"};
    bool item_follows = false;
    for (const std::string& word : kNext) item_follows |= p_.token.IsName(word);
    if (!item_follows && !p_.token.IsMark('}')) {
      std::string note = p_.token.kind == Token::Kind::kName ? SuggestAmong(p_.token.text, kWords) : "";
      return p_.Expected(Cat("more about ", name.text, ", or the next item"), note);
    }
    if (!kind_known) {
      return p_.Fail(name, Cat("the state ", name.text, " has no kind"),
                     Cat("after its type: ", Join(kKinds, ", ", [](StateKind k) { return NameOf(k); })));
    }
    module_.states.push_back(std::move(state));
    return OkStatus();
  }

  // One of the words that may follow a state's type in any order; false where the token at hand is none.
  StatusOr<bool> ParseClause(State& state) {
    const Token word = p_.token;
    if (!word.IsMark('@') && word.kind != Token::Kind::kName) return false;
    auto begins = [&](std::string_view clause) { return word.text == clause; };
    if (!begins("@") && !begins("rows") && !begins("init") && !begins("decay") && !begins("names") && !begins("of"))
      return false;
    if (!seen_.insert(word.text).second) return p_.Fail(word, Cat("a second '", word.text, "' of ", state.name));
    if (begins("@")) {
      ASSIGN_OR_RETURN(state.offset, p_.OptionalOffset(state.type));
      return true;
    }
    p_.Advance();
    if (begins("decay")) {
      state.decay = true;
    } else if (begins("rows")) {
      if (state.type.shape.empty()) return p_.Fail(word, "a scalar has no rows");
      int64_t most = IsSymbol(state.type.shape[0]) ? kMaxDim : state.type.shape[0];
      ASSIGN_OR_RETURN(state.logical_rows, p_.NeedInteger("the number of logical rows", 1, most));
    } else if (begins("of")) {
      ASSIGN_OR_RETURN(Token of, p_.NeedName("the name of a parameter"));
      state.of = of.text;
      owners_.push_back(of);
    } else if (begins("init")) {
      RETURN_IF_ERROR(ParseInit(state.init));
    } else {
      RETURN_IF_ERROR(ParseNames(state));
    }
    return true;
  }

  Status ParseInit(InitRule& init) {
    if (p_.TakeWord("zeros")) return OkStatus();
    if (p_.TakeWord("ones")) {
      init.kind = InitRule::Kind::kOnes;
      return OkStatus();
    }
    if (!p_.TakeWord("normal")) return p_.Expected("zeros, ones or normal(standard deviation)");
    init.kind = InitRule::Kind::kNormal;
    RETURN_IF_ERROR(p_.NeedMark('(', "and a standard deviation after normal"));
    const Token number = p_.token;
    ASSIGN_OR_RETURN(init.stddev, p_.NeedDouble("a standard deviation"));
    if (!(init.stddev >= 0) || std::isinf(init.stddev))
      return p_.Fail(number, "a standard deviation is finite and not negative");
    return p_.NeedMark(')', "after the standard deviation");
  }

  Status ParseNames(State& state) {
    RETURN_IF_ERROR(p_.NeedMark('{', "after names"));
    while (!p_.token.IsMark('}')) {
      if (!state.names.empty()) RETURN_IF_ERROR(p_.NeedMark(',', "or '}' after a name abroad"));
      ExternalName external;
      ASSIGN_OR_RETURN(Token format, p_.NeedName("a format, such as hf"));
      external.format = format.text;
      ASSIGN_OR_RETURN(external.name, p_.NeedString(Cat("the name in ", format.text, ", a string")));
      while (p_.token.kind == Token::Kind::kName) {
        const Token word = p_.token;
        if (word.text == "transposed" && !external.transposed) {
          external.transposed = true;
          p_.Advance();
        } else if (word.text == "tied" && !external.tied) {
          external.tied = true;
          p_.Advance();
        } else if (word.text == "part" && external.part == -1) {
          p_.Advance();
          ASSIGN_OR_RETURN(external.part, p_.NeedInteger("a part", 0, kMaxDim));
        } else {
          static const std::vector<std::string> kWords = {"transposed", "part", "tied"};
          return p_.Expected("transposed, part or tied once each, ',' or '}'", SuggestAmong(word.text, kWords));
        }
      }
      state.names.push_back(std::move(external));
    }
    p_.Advance();
    return OkStatus();
  }

  // A parameter may stand below the states that belong to it, so this comes last.
  Status CheckOwners() const {
    for (const Token& of : owners_) {
      const int* index = p_.states.Find(of.text);
      if (index == nullptr) return p_.Fail(of, Cat("unknown parameter '", of.text, "'"), p_.states.Suggest(of.text));
      if (module_.states[*index].kind != StateKind::kParameter) {
        return p_.Fail(of, Cat(of.text, " is no parameter"), "a state belongs to a parameter");
      }
    }
    return OkStatus();
  }

  ParseState p_;
  Module& module_;
  NameTable<int> keys_;
  std::vector<Token> owners_;        // what follows each `of`
  std::set<std::string_view> seen_;  // clauses of the state at hand
};

}  // namespace

StatusOr<Module> ParseModule(std::string text, std::string file_name) {
  if (text.size() > kMaxTextBytes) {
    return InvalidArgument(file_name, ": the text has ", Grouped(static_cast<int64_t>(text.size())),
                           " bytes, more than ", HumanBytes(static_cast<int64_t>(kMaxTextBytes)), ": it is no module");
  }
  Module module;
  module.source = std::move(text);
  module.source_name = std::move(file_name);
  RETURN_IF_ERROR(ModuleParser(module).Run());
  return module;
}

}  // namespace gptc
