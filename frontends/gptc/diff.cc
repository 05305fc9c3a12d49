// gptc diff: how two plans differ: options, what passes did, memory, states, and kernels entry point by entry point.
#include "frontends/gptc/diff.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/common/thread_count.h"
#include "frontends/gptc/plan_facts.h"
#include "frontends/gptc/remarks.h"
#include "nlohmann/json.hpp"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
using Both = std::array<T, 2>;  // of plan a, of plan b

// The settings of a compilation, by name.
std::map<std::string, std::string> SettingsOf(const plan::PlanT& plan) {
  std::map<std::string, std::string> settings = {{"model", plan.model},
                                                 {"source", absl::StrFormat("%016x", plan.source_hash)},
                                                 {"target", plan.target},
                                                 {"precision", plan.precision},
                                                 {"compiler", plan.compiler}};
  for (const auto& dimension : plan.dimensions) settings[dimension->name] = Cat(dimension->value);
  for (const auto& option : plan.options) {
    std::string& value = settings[option->key];
    value += Cat(value.empty() ? "" : ", ", option->value);
  }
  return settings;
}

std::map<std::string, std::string> StatesOf(const plan::PlanT& plan) {
  static constexpr const char* kKinds[] = {"parameter", "optimizer", "gradient", "derived", "cache", "scalars"};
  std::map<std::string, std::string> states;
  for (const auto& state : plan.states)
    states[state->name] = Cat(kKinds[static_cast<size_t>(state->kind)], " ", TypeText(TypeOf(*state)));
  return states;
}

std::map<std::string, std::string> PassesOf(const plan::PlanT& plan) {
  std::map<std::string, int64_t> done;
  for (const RemarkGroup& group : GroupRemarks(plan)) done[group.pass] += group.done ? group.count : 0;
  std::map<std::string, std::string> texts;
  for (const auto& [pass, count] : done) texts[pass] = Cat(count);
  return texts;
}

struct KernelChange {
  std::string name, dtype;
  Both<KernelFact> facts;
};

struct EntryChange {
  std::vector<std::string> names;  // entry points that changed alike
  Both<EntryFact> facts;           // of the first of them
  std::vector<KernelChange> kernels;
};

std::vector<KernelChange> KernelChanges(const plan::EntryT* a, const plan::EntryT* b) {
  std::map<std::pair<std::string, std::string>, Both<KernelFact>> kernels;
  for (int side = 0; side < 2; ++side) {
    const plan::EntryT* entry = side == 0 ? a : b;
    if (entry == nullptr) continue;
    for (const KernelFact& fact : KernelsOf(*entry)) kernels[{fact.name, fact.dtype}][side] = fact;
  }
  std::vector<KernelChange> changes;
  for (auto& [key, facts] : kernels) {
    if (facts[0].count == facts[1].count && facts[0].flops == facts[1].flops && facts[0].bytes == facts[1].bytes)
      continue;
    changes.push_back({key.first, key.second, facts});
  }
  // What moved most comes first.
  std::stable_sort(changes.begin(), changes.end(), [](const KernelChange& x, const KernelChange& y) {
    return std::abs(x.facts[1].bytes - x.facts[0].bytes) > std::abs(y.facts[1].bytes - y.facts[0].bytes);
  });
  return changes;
}

bool Alike(const EntryFact& x, const EntryFact& y) {
  return x.steps == y.steps && x.arena_bytes == y.arena_bytes && x.flops == y.flops && x.bytes == y.bytes;
}

bool Alike(const std::vector<KernelChange>& x, const std::vector<KernelChange>& y) {
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const KernelChange& p, const KernelChange& q) {
    return p.name == q.name && p.dtype == q.dtype && p.facts[0].count == q.facts[0].count &&
           p.facts[1].count == q.facts[1].count;
  });
}

std::vector<EntryChange> EntryChanges(const plan::PlanT& a, const plan::PlanT& b) {
  std::vector<std::string> names;
  std::map<std::string, Both<EntryFact>> facts;
  for (int side = 0; side < 2; ++side) {
    for (const EntryFact& fact : Entries(side == 0 ? a : b)) {
      if (std::find(names.begin(), names.end(), fact.name) == names.end()) names.push_back(fact.name);
      facts[fact.name][side] = fact;
    }
  }
  std::vector<EntryChange> changes;
  for (const std::string& name : names) {
    EntryChange change{{name}, facts[name], KernelChanges(FindEntry(a, name), FindEntry(b, name))};
    if (change.kernels.empty() && Alike(change.facts[0], change.facts[1])) continue;
    auto like = std::find_if(changes.begin(), changes.end(), [&](const EntryChange& other) {
      return Alike(other.facts[0], change.facts[0]) && Alike(other.facts[1], change.facts[1]) &&
             Alike(other.kernels, change.kernels);
    });
    if (like == changes.end()) {
      changes.push_back(std::move(change));
    } else {
      like->names.push_back(name);
    }
  }
  return changes;
}

std::string Change(double before, double after) {
  if (before == after) return "the same";
  return before > 0 ? absl::StrFormat("%+.1f %%", 100 * (after / before - 1)) : "new";
}

class DiffCommand : public Subcommand {
 public:
  std::string name() const override { return "diff"; }
  std::string summary() const override { return "say how two plans differ"; }
  void Declare(CLI::App& app) override {
    app.add_option("a", a_, "A plan")->required();
    app.add_option("b", b_, "Another")->required();
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc diff before.fb after.fb");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> a, ReadPlan(a_));
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> b, ReadPlan(b_));
    Section("options", SettingsOf(*a), SettingsOf(*b));
    Section("passes, places changed", PassesOf(*a), PassesOf(*b));
    Memory(*a, *b);
    Section("states", StatesOf(*a), StatesOf(*b));
    for (const EntryChange& change : EntryChanges(*a, *b)) Entry(change);
    if (json_) return WriteOutput("-", json_out_.dump(2) + "\n");
    return WriteOutput("-", text_.empty() ? "The plans do not differ.\n" : text_);
  }

 private:
  void Heading(const std::string& title) { text_ += Cat(text_.empty() ? "" : "\n", title, "\n"); }

  void Section(const std::string& title, const std::map<std::string, std::string>& a,
               const std::map<std::string, std::string>& b) {
    std::set<std::string> keys;
    for (const auto* side : {&a, &b}) {
      for (const auto& [key, value] : *side) keys.insert(key);
    }
    Json list = Json::array();
    // Layers whose states changed alike are one line.
    std::vector<std::pair<std::string, int64_t>> lines;
    for (const std::string& key : keys) {
      auto before = a.find(key), after = b.find(key);
      if (before != a.end() && after != b.end() && before->second == after->second) continue;
      list.push_back({{"name", key},
                      {"a", before == a.end() ? Json(nullptr) : Json(before->second)},
                      {"b", after == b.end() ? Json(nullptr) : Json(after->second)}});
      const std::string name = WithoutNumbers(key);
      const std::string line = before == a.end() ? absl::StrFormat("  + %-26s %s", name, after->second)
                               : after == b.end()
                                   ? absl::StrFormat("  - %-26s %s", name, before->second)
                                   : absl::StrFormat("    %-26s %s -> %s", name, before->second, after->second);
      auto at = std::find_if(lines.begin(), lines.end(), [&](const auto& item) { return item.first == line; });
      if (at == lines.end()) {
        lines.emplace_back(line, 1);
      } else {
        ++at->second;
      }
    }
    json_out_[title.substr(0, title.find(','))] = list;
    if (lines.empty()) return;
    Heading(title);
    for (const auto& [line, count] : lines) text_ += count > 1 ? Cat(line, "  (", count, " times)\n") : line + "\n";
  }

  void Memory(const plan::PlanT& a, const plan::PlanT& b) {
    json_out_["memory"] = Json::array();
    const std::pair<const char*, Both<int64_t>> rows[] = {
        {"states", {a.state_bytes, b.state_bytes}},
        {"arena", {a.arena_bytes, b.arena_bytes}},
        {"peak", {PeakBytes(a, ThreadCountHere()), PeakBytes(b, ThreadCountHere())}}};
    bool headed = false;
    for (const auto& [name, bytes] : rows) {
      json_out_["memory"].push_back({{"name", name}, {"a", bytes[0]}, {"b", bytes[1]}});
      if (bytes[0] == bytes[1]) continue;
      if (!headed) Heading("memory");
      headed = true;
      text_ += absl::StrFormat("    %-26s %s -> %s  (%s)\n", name, HumanBytes(bytes[0]), HumanBytes(bytes[1]),
                               Change(static_cast<double>(bytes[0]), static_cast<double>(bytes[1])));
    }
  }

  void Entry(const EntryChange& change) {
    const auto& [a, b] = change.facts;
    const std::string kind = a.name.empty() ? " (only in b)" : b.name.empty() ? " (only in a)" : "";
    Heading(Cat(Join(change.names, ", "), kind));
    text_ +=
        absl::StrFormat("    kernels %d -> %d   %.4g -> %.4g GFLOP (%s)   %.4g -> %.4g GB (%s)   arena %s -> %s (%s)\n",
                        a.steps, b.steps, a.flops / 1e9, b.flops / 1e9, Change(a.flops, b.flops), a.bytes / 1e9,
                        b.bytes / 1e9, Change(a.bytes, b.bytes), HumanBytes(a.arena_bytes), HumanBytes(b.arena_bytes),
                        Change(static_cast<double>(a.arena_bytes), static_cast<double>(b.arena_bytes)));
    Json kernels = Json::array();
    for (const KernelChange& kernel : change.kernels) {
      const auto& [from, to] = kernel.facts;
      text_ += absl::StrFormat("  %s %-28s %-5s %5d -> %-5d %+12.3f GFLOP %+12.1f MB\n",
                               from.count == 0 ? "+"
                               : to.count == 0 ? "-"
                                               : " ",
                               kernel.name, kernel.dtype, from.count, to.count, (to.flops - from.flops) / 1e9,
                               (to.bytes - from.bytes) / 1e6);
      kernels.push_back({{"name", kernel.name},
                         {"dtype", kernel.dtype},
                         {"a", {{"count", from.count}, {"flops", from.flops}, {"bytes", from.bytes}}},
                         {"b", {{"count", to.count}, {"flops", to.flops}, {"bytes", to.bytes}}}});
    }
    auto side = [](const EntryFact& fact) -> Json {
      if (fact.name.empty()) return nullptr;
      return {{"kernels", fact.steps}, {"flops", fact.flops}, {"bytes", fact.bytes}, {"arena_bytes", fact.arena_bytes}};
    };
    json_out_["entries"].push_back({{"names", change.names}, {"a", side(a)}, {"b", side(b)}, {"kernels", kernels}});
  }

  std::string a_, b_;
  bool json_ = false;
  std::string text_;
  Json json_out_ = {{"options", Json::array()},
                    {"passes", Json::array()},
                    {"memory", Json::array()},
                    {"states", Json::array()},
                    {"entries", Json::array()}};
};

}  // namespace

std::unique_ptr<Subcommand> MakeDiffCommand() { return std::make_unique<DiffCommand>(); }

}  // namespace gptc
