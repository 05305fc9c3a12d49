#include "passes/testing/text_cases.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

constexpr std::string_view kCase = "// case: ", kPasses = "// passes: ", kOptions = "// options: ", kSplit = "// ---",
                           kUnchanged = "// unchanged";

struct Case {
  std::string title;
  int line = 0;                      // of the file
  std::vector<std::string> passes;   // empty: the file's
  std::vector<std::string> options;  // "compute = bf16"
  std::string head;                  // the lines from "// case:" to the text, as they stand
  std::string input;
  std::string expected;  // what stands below "// ---"
};

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

std::vector<std::string> Names(std::string_view list) {
  std::vector<std::string> names;
  while (true) {
    size_t comma = list.find(',');
    names.emplace_back(Trimmed(list.substr(0, comma)));
    if (comma == std::string_view::npos) return names;
    list.remove_prefix(comma + 1);
  }
}

// What stands before the first case goes into `preamble`.
std::vector<Case> ReadCases(const std::string& path, std::string& preamble) {
  std::vector<Case> cases;
  std::ifstream file(path);
  enum { kHead, kInput, kExpected } place = kHead;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with(kCase)) {
      cases.push_back({.title = line.substr(kCase.size()), .line = number});
      place = kHead;
    } else if (cases.empty()) {
      preamble += line + "\n";
      continue;
    }
    Case& at = cases.back();
    if (place == kHead && line.starts_with(kPasses)) at.passes = Names(line.substr(kPasses.size()));
    if (place == kHead && line.starts_with(kOptions)) at.options = Names(line.substr(kOptions.size()));
    if (place == kHead && !line.starts_with("//")) place = kInput;
    if (place == kInput && line == kSplit) {
      place = kExpected;
      continue;
    }
    (place == kHead ? at.head : place == kInput ? at.input : at.expected) += line + "\n";
  }
  return cases;
}

std::string RemarkText(const Remark& remark) {
  return Cat("// remark: ", remark.location.known() ? Cat(remark.location.line, ": ") : "",
             remark.done ? "" : "missed: ", remark.text, "\n");
}

struct Outcome {
  std::string text;     // as it stands below "// ---"
  std::string problem;  // the meaning changed, or a pass is unknown
};

Outcome Run(const Case& test, std::span<const Pass> passes, const std::string& own_pass) {
  auto error = [](const Status& status) { return Outcome{Cat("// error: ", Message(status), "\n"), ""}; };
  StatusOr<Module> parsed = ParseModule(test.input, "case");
  if (!parsed.ok()) return error(parsed.status());
  Module module = *std::move(parsed);
  if (Status bound = BindDimensions(module, {}); !bound.ok()) return error(bound);
  const Module before = module;
  PassOptions options;
  for (const std::string& option : test.options) {
    const size_t equals = std::min(option.find('='), option.size() - 1);
    const Status set = options.Set(Trimmed(option.substr(0, equals)), Trimmed(option.substr(equals + 1)));
    if (!set.ok()) return {"", Message(set)};
  }
  PassContext context(options);
  std::vector<std::string> names = test.passes;
  if (names.empty()) names.push_back(own_pass);
  for (const std::string& name : names) {
    auto pass = std::find_if(passes.begin(), passes.end(), [&](const Pass& each) { return each.name == name; });
    if (pass == passes.end()) return {"", Cat("no pass is called '", name, "'")};
    context.set_pass(name);
    if (Status ran = pass->run(module, context); !ran.ok()) return error(ran);
    if (Status valid = Verify(module); !valid.ok())
      return {"", Cat("pass ", name, " left an invalid module: ", Message(valid))};
  }
  Outcome outcome;
  for (const Remark& remark : context.remarks()) outcome.text += RemarkText(remark);
  std::string after = PrintModule(module);
  if (after == PrintModule(before)) {
    outcome.text += Cat(kUnchanged, "\n");
  } else {
    outcome.text += after;
    outcome.problem = CompareMeaning(before, module);
    StatusOr<Module> again = ParseModule(after, "result");
    if (!again.ok()) {
      outcome.problem = Cat("what comes out does not parse: ", Message(again.status()));
    } else if (PrintModule(*again) != after) {
      outcome.problem = Cat("what comes out prints otherwise once it is parsed:\n", PrintModule(*again));
    }
  }
  return outcome;
}

bool DemandsNoChange(const Case& test) {
  return Cat("\n", test.expected).find(Cat("\n", kUnchanged)) != std::string::npos;
}

}  // namespace

std::string RunTextCases(const std::string& path, std::span<const Pass> passes) {
  std::string preamble, failures, rewritten;
  std::vector<Case> cases = ReadCases(path, preamble);
  if (cases.empty()) return Cat(path, ": there are no cases\n");
  std::string own_pass = path.substr(path.rfind('/') + 1);
  own_pass = own_pass.substr(0, own_pass.find("_test.graph"));
  const char* rewrite = std::getenv("GPTC_REWRITE");
  rewritten = preamble;
  for (const Case& test : cases) {
    std::string where = Cat(path, ":", test.line, ": case ", test.title);
    Outcome outcome = Run(test, passes, own_pass);
    rewritten +=
        Cat(test.head, Trimmed(test.input), "\n", kSplit, "\n", outcome.text, &test == &cases.back() ? "" : "\n");
    if (!outcome.problem.empty()) failures += Cat(where, ": ", outcome.problem, "\n", outcome.text);
    bool changed = outcome.text.find(kUnchanged) == std::string::npos;
    if (DemandsNoChange(test) && changed) {
      failures += Cat(where, ": should stay as it is, and comes out as\n", outcome.text);
    } else if (rewrite == nullptr && Trimmed(outcome.text) != Trimmed(test.expected)) {
      failures += Cat(where, ": expected\n", test.expected, "found\n", outcome.text);
    }
  }
  if (rewrite != nullptr && failures.empty()) std::ofstream(path) << rewritten;
  return failures;
}

}  // namespace gptc
