#include <limits>
#include <optional>
#include <set>

#include "ir/base/infer.h"
#include "ir/parse_state.h"
#include "ir/printer.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

std::string_view FormOf(AttributeType type) {
  switch (type) {
    case AttributeType::kBool:
      return "true or false";
    case AttributeType::kI64:
      return "an integer";
    case AttributeType::kF64:
      return "a number";
    case AttributeType::kStr:
      return "a string";
    case AttributeType::kDType:
      return "an element type";
    case AttributeType::kInts:
      return "a list of integers";
    case AttributeType::kDims:
      return "a list of dimensions";
  }
  return "";
}

class GraphParser {
 public:
  GraphParser(ParseState& p, Graph& graph) : p_(p), graph_(graph) {}

  // From the '(' of the inputs to the '}'.
  Status Run() {
    RETURN_IF_ERROR(ParseInputs());
    RETURN_IF_ERROR(p_.NeedMark('{', "before the graph's ops"));
    while (p_.token.kind == Token::Kind::kValue) RETURN_IF_ERROR(ParseOp());
    if (p_.TakeWord("return")) RETURN_IF_ERROR(ParseOutputs());
    if (p_.TakeWord("store")) RETURN_IF_ERROR(ParseStores());
    if (p_.TakeMark('}')) return OkStatus();
    bool ended = !graph_.outputs.empty() || !graph_.stores.empty();
    if (ended && (p_.token.kind == Token::Kind::kValue || p_.token.IsName("return") || p_.token.IsName("store"))) {
      return p_.Expected("'}'", "a graph is its ops, one return, one store, in this order");
    }
    if (ended) return p_.Expected("'}' at the end of the graph");
    return p_.Expected("an op, return, store or '}'",
                       p_.token.kind == Token::Kind::kName ? "an op starts with its result: %y: f32[4] = neg %x" : "");
  }

 private:
  struct Result {
    Token name;
    std::optional<Type> type;  // none: not written
    size_t type_begin = 0, type_end = 0;
    int64_t offset = -1;
    int in_state = -1;  // written "@state"
    Token place;
  };

  Status ParseInputs() {
    RETURN_IF_ERROR(p_.NeedMark('(', "before the graph's inputs"));
    while (!p_.token.IsMark(')')) {
      if (!graph_.inputs.empty()) RETURN_IF_ERROR(p_.NeedMark(',', "or ')' after an input"));
      ASSIGN_OR_RETURN(Token name, p_.NeedName("the name of an input"));
      RETURN_IF_ERROR(p_.NeedMark(':', "and a type after an input's name"));
      size_t begin, end;
      ASSIGN_OR_RETURN(Type type, p_.NeedType(begin, end));
      ASSIGN_OR_RETURN(int64_t offset, p_.OptionalOffset(type));
      Value input = graph_.AddInput(std::string(name.text), std::move(type));
      graph_.info(input).offset = offset;
      if (!inputs_.Add(name.text, input)) return p_.Fail(name, Cat("a second input '", name.text, "'"));
    }
    p_.Advance();
    return OkStatus();
  }

  // What `%name` or `name` at the token at hand stands for.
  StatusOr<Value> ParseOperand(std::string_view what) {
    const Token name = p_.token;
    if (name.kind == Token::Kind::kValue) {
      const Value* value = results_.Find(name.text);
      if (value == nullptr) return UnknownValue(name);
      p_.Advance();
      return *value;
    }
    if (name.kind != Token::Kind::kName) return p_.Expected(what);
    if (const Value* input = inputs_.Find(name.text)) {
      p_.Advance();
      return *input;
    }
    const int* state = p_.states.Find(name.text);
    if (state == nullptr) {
      if (results_.Find(name.text) != nullptr)
        return p_.Fail(name, Cat("unknown input or state '", name.text, "'"), Cat("did you mean '%", name.text, "'?"));
      std::string note = inputs_.Suggest(name.text);
      return p_.Fail(name, Cat("unknown input or state '", name.text, "'"),
                     note.empty() ? p_.states.Suggest(name.text) : note);
    }
    p_.Advance();
    return p_.module.StateValue(graph_, *state);
  }

  Status UnknownValue(const Token& name) const {
    // Is it defined further down in this graph? Only looked for once there is an error.
    Lexer ahead(std::string_view(p_.module.source).substr(name.end));
    Token before = ahead.Next();
    for (int depth = 0; before.kind != Token::Kind::kEnd && depth >= 0;) {
      Token next = ahead.Next();
      depth += before.IsMark('{') ? 1 : before.IsMark('}') ? -1 : 0;
      if (before.kind == Token::Kind::kValue && before.text == name.text &&
          (next.IsMark(':') || next.IsMark('=') || next.IsMark('@'))) {
        return p_.Fail(name, Cat("%", name.text, " is used before it is defined"),
                       Cat("it is defined on line ", name.line + before.line - 1));
      }
      before = next;
    }
    std::string note = results_.Suggest(name.text, "%");
    if (inputs_.Find(name.text) != nullptr || p_.states.Find(name.text) != nullptr) {
      note = Cat("did you mean '", name.text, "'? inputs and states have no '%'");
    }
    return p_.Fail(name, Cat("unknown value '%", name.text, "'"), note);
  }

  Status ParseResults(std::vector<Result>& results) {
    do {
      if (p_.token.kind != Token::Kind::kValue) return p_.Expected("the next result, such as %y");
      if (results.size() == kMaxOperands) return p_.Fail(p_.token, Cat("more than ", kMaxOperands, " results"));
      Result result;
      result.name = p_.Take();
      if (p_.TakeMark(':')) {
        ASSIGN_OR_RETURN(result.type, p_.NeedType(result.type_begin, result.type_end));
      }
      result.place = p_.token;
      ASSIGN_OR_RETURN(result.in_state, p_.OptionalStatePlace());
      if (p_.token.IsMark('@') && result.in_state < 0) {
        ASSIGN_OR_RETURN(result.offset, p_.OptionalOffset(result.type.value_or(Type{})));
      }
      results.push_back(std::move(result));
    } while (p_.TakeMark(','));
    if (p_.TakeMark('=')) return OkStatus();
    return p_.Expected(results.back().type ? "'=' and an op after the results"
                                           : "':' and a type after the result's name");
  }

  Status ParseOp() {
    results_written_.clear();
    RETURN_IF_ERROR(ParseResults(results_written_));
    const Result& first = results_written_.front();
    if (p_.token.kind != Token::Kind::kName) return p_.Expected("the name of an op");
    const Token op_name = p_.token;
    std::optional<Op> op = OpNamed(op_name.text);
    if (!op) return p_.Fail(op_name, Cat("unknown op '", op_name.text, "'"), SuggestAmong(op_name.text, OpNames()));
    p_.Advance();
    const OpInfo& info = InfoOf(*op);

    std::vector<Value> inputs;
    while (!info.inputs.empty()) {
      if (inputs.size() == kMaxOperands) return p_.Fail(p_.token, Cat("more than ", kMaxOperands, " operands"));
      if (inputs.empty() && p_.token.kind != Token::Kind::kValue && p_.token.kind != Token::Kind::kName) {
        return p_.Expected(Cat("the operands of ", info.name, " (", info.InputCountText(), ")"));
      }
      ASSIGN_OR_RETURN(Value input, ParseOperand("the next operand"));
      inputs.push_back(input);
      if (!p_.TakeMark(',')) break;
    }
    size_t operands_end = p_.last_end;
    Attributes attributes;
    if (p_.TakeMark('{')) RETURN_IF_ERROR(ParseAttributes(info, attributes));
    Location location{p_.module.source_name, first.name.line, true};
    const bool recomputed = p_.token.IsName("recomputed");
    if (recomputed) p_.Advance();
    if (p_.token.IsName("at")) {
      ASSIGN_OR_RETURN(location, ParseLocation());
    }

    if (!info.AcceptsInputCount(inputs.size())) {
      return p_.FailRange(
          op_name.begin, operands_end,
          Cat(info.name, " takes ", info.InputCountText(),
              info.inputs.size() == 1 ? " operand, found " : " operands, found ", inputs.size()),
          Cat(info.inputs.size() == 1 ? "it is " : "they are ", Join(info.inputs, ", ", [](const OperandSpec& spec) {
                return Cat(spec.name, spec.optional ? " (may be left out)" : spec.variadic ? "..." : "");
              })));
    }
    if (Status status = CompleteAttributes(info, attributes); !status.ok()) return p_.Fail(op_name, Message(status));
    types_.clear();
    operands_.clear();
    for (Value input : inputs) {
      types_.push_back(graph_.type(input));
      operands_.push_back(OperandText(graph_, input));
    }
    InferResult inferred = InferTypes({info, types_, attributes, p_.symbols, operands_});
    if (!inferred.ok()) return p_.Fail(first.name, Message(inferred.status()));
    RETURN_IF_ERROR(CheckResults(info, *inferred));

    hints_.clear();
    for (const Result& result : results_written_) hints_.emplace_back(result.name.text);
    OpNode& node = graph_.AddOp(*op, std::move(inputs), std::move(attributes), *inferred, std::move(location), hints_);
    node.recomputed = recomputed;
    for (size_t i = 0; i < results_written_.size(); ++i) {
      const Result& result = results_written_[i];
      ValueInfo& value = graph_.info(node.results[i]);
      value.name = hints_[i];  // an input or a state of the same name is another thing, with no '%'
      value.offset = result.offset;
      value.in_state = result.in_state;
      if (!results_.Add(result.name.text, node.results[i])) {
        return p_.Fail(result.name, Cat("%", result.name.text, " is defined twice"),
                       "every value has a name of its own");
      }
    }
    return OkStatus();
  }

  // The written results against the inferred types.
  Status CheckResults(const OpInfo& info, const std::vector<Type>& inferred) const {
    const Result& last = results_written_.back();
    if (inferred.size() != results_written_.size()) {
      return p_.FailRange(
          results_written_.front().name.begin, last.type ? last.type_end : last.name.end,
          Cat(info.name, " gives ", inferred.size(), inferred.size() == 1 ? " result" : " results", ", found ",
              results_written_.size()),
          info.results.size() == 1
              ? ""
              : Cat("they are ", Join(info.results, ", ", [](const OperandSpec& spec) { return spec.name; })));
    }
    for (size_t i = 0; i < inferred.size(); ++i) {
      const Result& result = results_written_[i];
      if (result.type && *result.type != inferred[i]) {
        return p_.FailRange(result.type_begin, result.type_end,
                            Cat(info.name, " gives ", TypeText(inferred[i], p_.symbols), " for %", result.name.text,
                                ", found ", TypeText(*result.type, p_.symbols)),
                            Cat("expected ", TypeText(inferred[i], p_.symbols)));
      }
      if (result.in_state >= 0) {
        const State& state = p_.module.states[result.in_state];
        const bool known = IsStatic(inferred[i].shape) && IsStatic(state.type.shape);
        if (known && ByteCount(inferred[i]) > ByteCount(state.type)) {
          return p_.Fail(result.place, Cat("%", result.name.text, " is larger than the state ", state.name),
                         Cat(TypeText(inferred[i]), " does not fit into ", TypeText(state.type)));
        }
      }
      if (result.type) continue;
      std::string problem = TypeProblem(inferred[i], p_.symbols.size());
      if (problem.empty() && result.offset >= 0 && IsStatic(inferred[i].shape) &&
          result.offset > kMaxBytes - ByteCount(inferred[i])) {
        problem = "the value ends past 2^62 bytes";
      }
      if (!problem.empty()) return p_.Fail(result.name, Cat(info.name, " gives a type that is too large: ", problem));
    }
    return OkStatus();
  }

  Status ParseAttributes(const OpInfo& info, Attributes& attributes) {
    while (!p_.token.IsMark('}')) {
      if (!attributes.items().empty()) RETURN_IF_ERROR(p_.NeedMark(',', "or '}' after an attribute"));
      const Token name = p_.token;
      if (name.kind != Token::Kind::kName) return p_.Expected("the name of an attribute");
      const AttributeSpec* spec = info.Attribute(name.text);
      if (spec == nullptr) {
        std::vector<std::string> known;
        for (const AttributeSpec& each : info.attributes) known.push_back(each.name);
        std::string note = SuggestAmong(name.text, known);
        if (note.empty()) note = known.empty() ? "it takes none" : Cat("it takes ", Join(known, ", "));
        return p_.Fail(name, Cat(info.name, " has no attribute '", name.text, "'"), note);
      }
      if (attributes.Find(spec->name) != nullptr) return p_.Fail(name, Cat("a second attribute '", name.text, "'"));
      p_.Advance();
      if (p_.TakeMark('=')) {
        ASSIGN_OR_RETURN(AttributeValue value, ParseAttributeValue(info, *spec));
        attributes.Set(spec->name, std::move(value));
      } else if (spec->type == AttributeType::kBool) {
        attributes.Set(spec->name, true);
      } else {
        return p_.Expected(Cat("'=' and ", FormOf(spec->type), " after ", spec->name));
      }
    }
    p_.Advance();
    return OkStatus();
  }

  StatusOr<AttributeValue> ParseAttributeValue(const OpInfo& info, const AttributeSpec& spec) {
    const Token token = p_.token;
    auto wrong = [&] { return p_.Expected(Cat(FormOf(spec.type), " for ", info.name, "'s ", spec.name)); };
    switch (spec.type) {
      case AttributeType::kBool: {
        if (!token.IsName("true") && !token.IsName("false")) return wrong();
        p_.Advance();
        return AttributeValue(token.text == "true");
      }
      case AttributeType::kI64: {
        if (token.kind != Token::Kind::kNumber) return wrong();
        ASSIGN_OR_RETURN(int64_t value, p_.IntegerOf(token));
        p_.Advance();
        return AttributeValue(value);
      }
      case AttributeType::kF64: {
        ASSIGN_OR_RETURN(double value, p_.NeedDouble(Cat("a number for ", info.name, "'s ", spec.name)));
        return AttributeValue(value);
      }
      case AttributeType::kStr: {
        if (token.kind != Token::Kind::kString) return wrong();
        p_.Advance();
        return AttributeValue(DecodeString(token.text));
      }
      case AttributeType::kDType: {
        std::optional<DType> dtype;
        if (token.kind == Token::Kind::kName) dtype = DTypeNamed(token.text);
        if (!dtype) return wrong();
        p_.Advance();
        return AttributeValue(*dtype);
      }
      case AttributeType::kInts: {
        if (!token.IsMark('[')) return wrong();
        p_.Advance();
        std::vector<int64_t> list;
        while (!p_.token.IsMark(']')) {
          if (!list.empty()) RETURN_IF_ERROR(p_.NeedMark(',', "or ']' after an integer"));
          if (list.size() == kMaxRank) return p_.Fail(p_.token, Cat("more than ", kMaxRank, " entries"));
          ASSIGN_OR_RETURN(int64_t value, p_.NeedInteger("an entry", std::numeric_limits<int64_t>::min(),
                                                         std::numeric_limits<int64_t>::max()));
          list.push_back(value);
        }
        p_.Advance();
        return AttributeValue(std::move(list));
      }
      case AttributeType::kDims: {
        if (!token.IsMark('[')) return wrong();
        ASSIGN_OR_RETURN(Shape shape, p_.NeedShape(1));
        return AttributeValue(std::move(shape));
      }
    }
    return wrong();
  }

  StatusOr<Location> ParseLocation() {
    Token path = p_.lexer.NextPath();  // while `at` is at hand: a path is a word only here
    p_.token = path;
    if (path.kind != Token::Kind::kPath && path.kind != Token::Kind::kString)
      return p_.Expected("a file after 'at'", "at models/gpt2.cc:58");
    p_.Advance();
    RETURN_IF_ERROR(p_.NeedMark(':', "and a line after the file"));
    ASSIGN_OR_RETURN(int64_t line, p_.NeedInteger("a line", 1, std::numeric_limits<int>::max()));
    return Location{path.kind == Token::Kind::kString ? DecodeString(path.text) : std::string(path.text),
                    static_cast<int>(line), false};
  }

  Status ParseOutputs() {
    NameTable<bool> names;
    do {
      ASSIGN_OR_RETURN(Token name, p_.NeedName("the name of an output"));
      RETURN_IF_ERROR(p_.NeedMark('=', "and a value after an output's name"));
      ASSIGN_OR_RETURN(Value value, ParseOperand("a value for the output"));
      if (!names.Add(name.text, true)) return p_.Fail(name, Cat("a second output '", name.text, "'"));
      graph_.outputs.push_back({std::string(name.text), value});
    } while (p_.TakeMark(','));
    return OkStatus();
  }

  Status ParseStores() {
    std::set<int> stored;
    do {
      ASSIGN_OR_RETURN(Token name, p_.NeedName("the name of a state"));
      const int* state = p_.states.Find(name.text);
      if (state == nullptr) return p_.Fail(name, Cat("unknown state '", name.text, "'"), p_.states.Suggest(name.text));
      RETURN_IF_ERROR(p_.NeedMark('=', "and a value after a state's name"));
      const Token operand = p_.token;
      ASSIGN_OR_RETURN(Value value, ParseOperand("a value for the state"));
      if (!stored.insert(*state).second) return p_.Fail(name, Cat("a second store to '", name.text, "'"));
      const Type& type = p_.module.states[*state].type;
      if (graph_.type(value) != type) {
        return p_.Fail(operand, Cat("the state ", name.text, " is ", TypeText(type, p_.symbols), ", ",
                                    OperandText(graph_, value), " is ", TypeText(graph_.type(value), p_.symbols)));
      }
      graph_.stores.push_back({*state, value});
    } while (p_.TakeMark(','));
    return OkStatus();
  }

  ParseState& p_;
  Graph& graph_;
  NameTable<Value> inputs_, results_;
  // Of the op at hand, kept for their memory.
  std::vector<Result> results_written_;
  std::vector<Type> types_;
  std::vector<std::string> operands_, hints_;
};

}  // namespace

Status ParseGraph(ParseState& p) {
  ASSIGN_OR_RETURN(Token name, p.NeedName("the name of a graph"));
  if (!p.graphs.Add(name.text, static_cast<int>(p.module.graphs.size())))
    return p.Fail(name, Cat("a second graph '", name.text, "'"));
  Graph& graph = p.module.graphs.emplace_back(std::string(name.text));
  return GraphParser(p, graph).Run();
}

}  // namespace gptc
