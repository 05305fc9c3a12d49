#include "runtime/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "nlohmann/json.hpp"
#include "runtime/data/loader.h"

namespace gptc {
namespace {

using nlohmann::json;

// A context with one of its endings, ready for a row of `score`.
struct Row {
  size_t question, ending;
  std::vector<int32_t> tokens;
  size_t scored;  // its last tokens, whose losses count
};

StatusOr<std::vector<Row>> RowsOf(const Tokenizer& tokenizer, int64_t vocab, std::span<const Choice> choices) {
  std::vector<Row> rows;
  for (size_t q = 0; q < choices.size(); ++q) {
    ASSIGN_OR_RETURN(std::vector<int32_t> context, tokenizer.Encode(choices[q].context));
    if (context.empty()) {
      if (!tokenizer.eot()) return InvalidArgument("question ", q + 1, " has an empty context");
      context = {*tokenizer.eot()};
    }
    for (size_t e = 0; e < choices[q].endings.size(); ++e) {
      ASSIGN_OR_RETURN(const std::vector<int32_t> ending, tokenizer.Encode(" " + choices[q].endings[e]));
      Row row{q, e, context, ending.size()};
      row.tokens.insert(row.tokens.end(), ending.begin(), ending.end());
      for (int32_t token : row.tokens) {
        if (token >= vocab)
          return InvalidArgument("token ", token, " is not one of the model's ", vocab,
                                 " (the tokenizer is another model's)");
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// Writes a row of `score`: token i's target is token i + 1, where that one counts. Gives how many count.
int64_t FillRow(const Row& row, std::span<int32_t> tokens, std::span<int32_t> targets) {
  std::fill(tokens.begin(), tokens.end(), 0);
  std::fill(targets.begin(), targets.end(), -1);
  const size_t kept = std::min(row.tokens.size(), tokens.size() + 1), cut = row.tokens.size() - kept;
  int64_t counted = 0;
  for (size_t i = 0; i + 1 < kept; ++i) {
    tokens[i] = row.tokens[cut + i];
    if (cut + i + 1 < row.tokens.size() - row.scored) continue;
    targets[i] = row.tokens[cut + i + 1];
    ++counted;
  }
  return counted;
}

StatusOr<Choice> ParseChoice(std::string_view line, const std::string& where) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  Choice choice;
  auto context = object.find("ctx"), endings = object.find("endings"), label = object.find("label");
  if (!object.is_object() || context == object.end() || !context->is_string() || endings == object.end() ||
      !endings->is_array() || endings->empty() || label == object.end() ||
      !std::all_of(endings->begin(), endings->end(), [](const json& ending) { return ending.is_string(); })) {
    return InvalidArgument(where,
                           R"(: expected one question a line: {"ctx": "...", "endings": ["...", ...], "label": 0})");
  }
  choice.context = context->get<std::string>();
  choice.endings = endings->get<std::vector<std::string>>();
  // Some editions of the data set write the number as a text.
  const json number = label->is_string() ? json::parse(label->get<std::string>(), nullptr, false) : *label;
  if (!number.is_number_integer() || number < 0 || number >= choice.endings.size()) {
    return InvalidArgument(where, ": label must be the number of an ending, 0 to ", choice.endings.size() - 1);
  }
  choice.label = number.get<int>();
  return choice;
}

}  // namespace

StatusOr<Scorer> Scorer::Create(Executor& executor) {
  BoundEntry* entry = executor.entry(kScoreEntry);
  if (entry == nullptr)
    return InvalidArgument("the plan of this ", executor.plan().model, " cannot be evaluated: it has no entry point ",
                           kScoreEntry);
  const bool ports = entry->has_input("tokens") && entry->has_input("targets") &&
                     std::any_of(entry->plan().outputs.begin(), entry->plan().outputs.end(),
                                 [](const auto& port) { return port->name == "losses"; });
  if (!ports)
    return InvalidArgument("the plan's entry point score lacks tokens, targets or losses; compile the model again");
  const Type tokens = entry->input("tokens").type, targets = entry->input("targets").type,
             losses = entry->output("losses").type;
  if (tokens.dtype != DType::kI32 || targets != tokens || losses.dtype != DType::kF32 || losses.shape != tokens.shape ||
      tokens.shape.size() != 2 || ElementCount(tokens.shape) == 0) {
    return InvalidArgument("the plan's entry point score has tokens ", TypeText(tokens), ", targets ",
                           TypeText(targets), ", losses ", TypeText(losses),
                           "; i32[B, T], i32[B, T] and f32[B, T] are expected; compile the model again");
  }
  return Scorer{entry, tokens.shape[0], tokens.shape[1]};
}

std::span<int32_t> Scorer::tokens() const {
  return {entry->input("tokens").as<int32_t>(), static_cast<size_t>(batch * sequence)};
}
std::span<int32_t> Scorer::targets() const {
  return {entry->input("targets").as<int32_t>(), static_cast<size_t>(batch * sequence)};
}
std::span<const float> Scorer::losses() const {
  return {entry->output("losses").as<float>(), static_cast<size_t>(batch * sequence)};
}

StatusOr<Evaluation> EvaluateWindows(const Scorer& scorer, std::shared_ptr<const ShardSet> shards,
                                     const LossesCallback& on_losses, const DoneCallback& on_done) {
  ASSIGN_OR_RETURN(const EvalWindows windows, EvalWindows::Create(std::move(shards), scorer.batch, scorer.sequence));
  double sum = 0;
  for (int64_t first = 0; first < windows.windows(); first += scorer.batch) {
    ASSIGN_OR_RETURN(const int64_t rows, windows.Read(first, scorer.tokens(), scorer.targets()));
    RETURN_IF_ERROR(scorer.entry->Run());
    const std::span<const float> losses = scorer.losses().first(static_cast<size_t>(rows * scorer.sequence));
    for (float loss : losses) sum += loss;
    if (on_losses) RETURN_IF_ERROR(on_losses(losses));
    if (on_done) on_done(first + rows, windows.windows());
  }
  Evaluation result{.tokens = windows.windows() * scorer.sequence, .windows = windows.windows()};
  result.loss = sum / static_cast<double>(result.tokens);
  if (!std::isfinite(result.loss)) {
    return absl::AbortedError(
        Cat("the loss is not finite (", result.loss, "): the weights are damaged or training diverged"));
  }
  return result;
}

StatusOr<std::vector<Choice>> ParseHellaSwag(std::string_view text, std::string_view where) {
  std::vector<Choice> choices;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view here = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (here.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    ASSIGN_OR_RETURN(Choice choice, ParseChoice(here, Cat(where, ":", line)));
    choices.push_back(std::move(choice));
  }
  if (choices.empty()) return InvalidArgument(where, ": no questions in it");
  return choices;
}

StatusOr<HellaSwagResult> EvaluateHellaSwag(const Scorer& scorer, const Tokenizer& tokenizer, int64_t vocab,
                                            std::span<const Choice> choices, const DoneCallback& on_done) {
  ASSIGN_OR_RETURN(const std::vector<Row> rows, RowsOf(tokenizer, vocab, choices));
  HellaSwagResult result;
  result.chosen.resize(choices.size(), {0, 0});
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<std::array<double, 2>> least(choices.size(), {kNone, kNone});
  const auto batch = static_cast<size_t>(scorer.batch), length = static_cast<size_t>(scorer.sequence);
  std::vector<int64_t> counted(batch);
  for (size_t first = 0; first < rows.size(); first += batch) {
    const size_t here = std::min(batch, rows.size() - first);
    std::fill(scorer.tokens().begin(), scorer.tokens().end(), 0);
    std::fill(scorer.targets().begin(), scorer.targets().end(), -1);
    for (size_t i = 0; i < here; ++i) {
      counted[i] = FillRow(rows[first + i], scorer.tokens().subspan(i * length, length),
                           scorer.targets().subspan(i * length, length));
    }
    // A run may write over its inputs, so which losses count is known from the row: all others are 0.
    RETURN_IF_ERROR(scorer.entry->Run());
    for (size_t i = 0; i < here; ++i) {
      double sum = 0;
      for (float loss : scorer.losses().subspan(i * length, length)) sum += loss;
      const Row& row = rows[first + i];
      if (!std::isfinite(sum)) {
        return absl::AbortedError(Cat("the loss of question ", row.question + 1,
                                      " is not finite: the weights are damaged or training diverged"));
      }
      const std::array<double, 2> losses = {sum, sum / static_cast<double>(std::max<int64_t>(1, counted[i]))};
      for (size_t kind = 0; kind < 2; ++kind) {
        if (losses[kind] >= least[row.question][kind]) continue;
        least[row.question][kind] = losses[kind];
        result.chosen[row.question][kind] = static_cast<int>(row.ending);
      }
    }
    if (on_done) on_done(static_cast<int64_t>(rows[first + here - 1].question), static_cast<int64_t>(choices.size()));
  }
  for (size_t q = 0; q < choices.size(); ++q) {
    result.accuracy += result.chosen[q][0] == choices[q].label;
    result.accuracy_normalized += result.chosen[q][1] == choices[q].label;
  }
  result.accuracy /= static_cast<double>(choices.size());
  result.accuracy_normalized /= static_cast<double>(choices.size());
  return result;
}

}  // namespace gptc
