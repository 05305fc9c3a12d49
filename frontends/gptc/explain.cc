// gptc explain: what each pass did and did not do, with the model's line, and what it gained.
#include "frontends/gptc/explain.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <span>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/gptc/plan_facts.h"
#include "frontends/gptc/recompile.h"
#include "frontends/gptc/remarks.h"
#include "nlohmann/json.hpp"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLocations = 3;

// The plan as it is, less the same compilation without one pass.
struct Gain {
  double bytes_moved = 0;  // of one step
  int64_t arena = 0;
};

double BytesMoved(const plan::PlanT& plan) {
  double bytes = 0;
  for (const KernelFact& fact : KernelsOfStep(plan)) bytes += fact.bytes;
  return bytes;
}

std::string SignedBytes(int64_t bytes) { return Cat(bytes < 0 ? "-" : "+", HumanBytes(std::abs(bytes))); }

std::string GainText(const Gain& gain) {
  const int64_t moved = std::llround(gain.bytes_moved);
  if (moved == 0 && gain.arena == 0) return "no bytes more or less";
  std::string text = moved == 0 ? "" : Cat(SignedBytes(moved), " moved a step");
  if (gain.arena != 0) text += Cat(text.empty() ? "" : ", ", "arena ", SignedBytes(gain.arena));
  return text;
}

// What the user's word stands for in the model: places in its source.
struct Subject {
  std::string word;
  bool known = false;
  std::set<std::string> locations;
  std::vector<std::string> names;  // everything that could have been asked for

  void Offer(const std::string& name, const std::string& location) {
    names.push_back(name);
    if (name != word) return;
    known = true;
    if (!location.empty()) locations.insert(location);
  }
};

// "gpt2.cc:58" stands for "models/gpt2.cc:58".
bool NamesLocation(const std::string& word, const std::string& location) {
  return !word.empty() && (location == word || location.ends_with("/" + word));
}

bool HasWord(const std::string& text, const std::string& word) {
  auto part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !part(text[at - 1])) && (end == text.size() || !part(text[end]))) return true;
  }
  return false;
}

void OfferModel(const Module& module, Subject& subject) {
  for (const Graph& graph : module.graphs) {
    for (const OpNode& node : graph.ops) {
      const std::string location = node.location.Text();
      subject.Offer(std::string(NameOf(node.op)), location);
      for (Value result : node.results) {
        subject.Offer(graph.info(result).name, location);
        subject.Offer(Cat("%", graph.info(result).name), location);
      }
      for (Value input : node.inputs) {
        const ValueInfo& info = graph.info(input);
        if (info.kind == ValueInfo::Kind::kResult) continue;
        subject.Offer(info.name, location);
        if (const std::string general = WithoutNumbers(info.name); general != info.name)
          subject.Offer(general, location);
      }
    }
  }
}

class ExplainCommand : public Subcommand {
 public:
  std::string name() const override { return "explain"; }
  std::string summary() const override { return "say what each pass did, and did not do, with the model's line"; }
  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan")->required();
    app.add_option("op", op_, "Only what is about this pass, op, value, parameter or line (models/gpt2.cc:58)");
    app.add_flag("--no-gains", no_gains_, "Do not compile without each pass to see what it gained");
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc explain plan.fb gelu");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(plan_, ReadPlan(path_));
    groups_ = GroupRemarks(*plan_);
    Subject subject{.word = op_};
    if (!op_.empty()) {
      RETURN_IF_ERROR(Resolve(subject));
      std::erase_if(groups_, [&](const RemarkGroup& group) { return !IsAbout(group, subject); });
    }
    for (const RemarkGroup& group : groups_) {
      if (std::find(passes_.begin(), passes_.end(), group.pass) == passes_.end()) passes_.push_back(group.pass);
    }
    if (!no_gains_) FindGains();
    if (json_) return WriteOutput("-", AsJson().dump(2) + "\n");
    std::string text = op_.empty() ? std::string() : Becomes(subject);
    for (const std::string& pass : passes_) text += PassText(pass);
    if (passes_.empty())
      text += op_.empty() ? "No pass had anything to say.\n" : Cat("No pass had anything to say about ", op_, ".\n");
    return WriteOutput("-", text);
  }

 private:
  // Finds what the word stands for; a word that stands for nothing is a mistake.
  Status Resolve(Subject& subject) const {
    for (const std::string& pass : PassNames()) subject.Offer(pass, "");
    ASSIGN_OR_RETURN(Module module, SourceOf(*plan_));
    OfferModel(module, subject);
    for (const auto& entry : plan_->entries) {
      for (const auto& step : entry->steps) {
        subject.Offer(step->kernel, step->location);
        if (NamesLocation(op_, step->location)) subject.Offer(op_, step->location);
        subject.names.push_back(step->location);
      }
    }
    for (const RemarkGroup& group : groups_) {
      if (NamesLocation(op_, group.location)) subject.Offer(op_, group.location);
    }
    if (subject.known) return OkStatus();
    std::sort(subject.names.begin(), subject.names.end());
    subject.names.erase(std::unique(subject.names.begin(), subject.names.end()), subject.names.end());
    const std::string near = Nearest(op_, subject.names);
    return UsageError("'", op_, "' is no pass, op, value, parameter or line of this model",
                      near.empty() ? "" : Cat("; did you mean '", near, "'?"));
  }

  static bool IsAbout(const RemarkGroup& group, const Subject& subject) {
    return group.pass == subject.word || subject.locations.contains(group.location) ||
           HasWord(group.text, subject.word);
  }

  // The kernels that the step runs for the lines asked about.
  std::string Becomes(const Subject& subject) const {
    std::map<std::string, std::map<std::string, int64_t>> kernels;  // by location
    for (const plan::EntryT* entry : EntriesOfStep(*plan_)) {
      for (const auto& step : entry->steps) {
        if (!IsView(*step) && subject.locations.contains(step->location)) ++kernels[step->location][step->kernel];
      }
    }
    std::string text;
    for (const auto& [location, counts] : kernels) {
      text += Cat(location, " runs as ",
                  Join(counts, ", ",
                       [](const auto& item) {
                         return item.second > 1 ? Cat(item.first, " (", item.second, " times)") : item.first;
                       }),
                  "\n");
    }
    return text.empty() ? text : text + "\n";
  }

  // Compiles the plan's source without each optional pass that did something.
  void FindGains() {
    StatusOr<CompileOptions> options = OptionsOf(*plan_);
    StatusOr<Module> module = SourceOf(*plan_);
    if (!options.ok() || !module.ok()) return;  // made by a compiler that knew other options
    options->generate = false;
    // Held against what this compiler makes of the same options: the plan may be another's.
    StatusOr<Compilation> whole = Compile(*module, *options);
    if (!whole.ok()) return;
    for (const Pass& pass : Pipeline()) {
      const bool did = std::any_of(groups_.begin(), groups_.end(),
                                   [&](const RemarkGroup& group) { return group.pass == pass.name && group.done; });
      if (!pass.optional || !did) continue;
      CompileOptions without = *options;
      without.disabled.push_back(pass.name);
      StatusOr<Compilation> compiled = Compile(*module, without);
      if (!compiled.ok()) continue;  // only with it there is a plan: a memory budget that it is needed for
      gains_[pass.name] = {BytesMoved(whole->plan) - BytesMoved(compiled->plan),
                           whole->plan.arena_bytes - compiled->plan.arena_bytes};
    }
  }

  std::string PassText(const std::string& pass) const {
    int64_t done = 0, all = 0;
    std::vector<std::string> locations;
    for (const RemarkGroup& group : groups_) {
      if (group.pass != pass) continue;
      all += group.count;
      if (!group.done) continue;
      done += group.count;
      if (!group.location.empty() && std::find(locations.begin(), locations.end(), group.location) == locations.end())
        locations.push_back(group.location);
    }
    std::string where = Join(std::span(locations).first(std::min(locations.size(), kLocations)), ", ");
    if (locations.size() > kLocations) where += Cat(" and ", locations.size() - kLocations, " more");
    std::string line = absl::StrFormat("%-22s %4d of %-4d %-28s", pass, done, all, where);
    if (auto gain = gains_.find(pass); gain != gains_.end()) line += Cat("  ", GainText(gain->second));
    std::string text = line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    for (const RemarkGroup& group : groups_) {
      // What was done is told in full only where the question is about something.
      if (group.pass != pass || (group.done && op_.empty())) continue;
      text += absl::StrFormat("  %9s: %s%s%s\n", Cat(group.count, group.done ? " done" : " not"),
                              group.location.empty() ? "" : group.location + ": ", group.text,
                              group.trains() || group.graphs.empty() ? "" : Cat(" (", Join(group.graphs, ", "), ")"));
    }
    return text;
  }

  Json AsJson() const {
    Json json = {{"passes", Json::array()}, {"remarks", Json::array()}};
    for (const std::string& pass : passes_) {
      int64_t done = 0, all = 0;
      for (const RemarkGroup& group : groups_) {
        if (group.pass != pass) continue;
        all += group.count;
        done += group.done ? group.count : 0;
      }
      auto gain = gains_.find(pass);
      const bool known = gain != gains_.end();
      json["passes"].push_back({{"name", pass},
                                {"done", done},
                                {"of", all},
                                {"bytes_moved_change", known ? Json(gain->second.bytes_moved) : Json(nullptr)},
                                {"arena_bytes_change", known ? Json(gain->second.arena) : Json(nullptr)}});
    }
    for (const RemarkGroup& group : groups_) {
      json["remarks"].push_back({{"pass", group.pass},
                                 {"done", group.done},
                                 {"location", group.location},
                                 {"text", group.text},
                                 {"count", group.count},
                                 {"graphs", group.graphs}});
    }
    return json;
  }

  std::string path_, op_;
  bool no_gains_ = false, json_ = false;
  std::unique_ptr<plan::PlanT> plan_;
  std::vector<RemarkGroup> groups_;
  std::vector<std::string> passes_;  // those with remarks, in order
  std::map<std::string, Gain> gains_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeExplainCommand() { return std::make_unique<ExplainCommand>(); }

}  // namespace gptc
