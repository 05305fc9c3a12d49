#include "frontends/gptc/remarks.h"

#include <algorithm>
#include <cctype>
#include <map>

namespace gptc {
namespace {

bool Digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool NamePart(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Whether the text begins with a file and a line: "gpt2.cc:58".
bool IsFileLine(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && (NamePart(text[end]) || text[end] == '.')) ++end;
  return end + 1 < text.size() && text[end] == ':' && Digit(text[end + 1]);
}

// "score: softmax simplified" -> "score"; "" where the remark is about no graph.
std::string GraphOf(const plan::PlanT& plan, const std::string& text) {
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) return "";
  const std::string graph = text.substr(0, colon);
  for (const char* made : {"train", "micro_step"}) {  // what micro_step.* and update were made of
    if (graph == made) return graph;
  }
  return FindEntry(plan, graph) != nullptr ? graph : "";
}

}  // namespace

std::string WithoutNumbers(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || !(NamePart(text[i - 1]) || text[i - 1] == '/');
    const bool value = text[i] == '%';
    if (!begins || !(value || std::isalpha(static_cast<unsigned char>(text[i])))) {
      out += text[i];
      continue;
    }
    size_t end = i + 1;
    while (end < text.size() && NamePart(text[end])) ++end;
    size_t digits = end;
    while (digits > i + 1 && Digit(text[digits - 1])) --digits;
    // Of words without % only those that a dot follows are layers: "h3.projection", and not "bf16".
    const bool layer =
        end + 1 < text.size() && text[end] == '.' && NamePart(text[end + 1]) && !IsFileLine(text.substr(i));
    const bool starred = digits < end && (value || layer);
    out += text.substr(i, (starred ? digits : end) - i);
    if (starred) out += '*';
    i = end - 1;
  }
  return out;
}

bool RemarkGroup::trains() const {
  return std::any_of(graphs.begin(), graphs.end(), [](const std::string& graph) {
    return graph == "train" || graph == "update" || graph.starts_with("micro_step");
  });
}

std::vector<RemarkGroup> GroupRemarks(const plan::PlanT& plan) {
  std::vector<RemarkGroup> groups;
  std::map<std::string, size_t> index;                 // by what the group is about
  std::vector<std::map<std::string, int64_t>> counts;  // of each group, by graph
  for (const auto& remark : plan.remarks) {
    const std::string graph = GraphOf(plan, remark->text);
    std::string text = graph.empty() ? remark->text : remark->text.substr(graph.size() + 2);
    const std::string general = WithoutNumbers(text);
    const std::string key = Cat(remark->pass, "\n", remark->done, "\n", remark->location, "\n", general);
    const auto [at, added] = index.emplace(key, groups.size());
    if (added) {
      groups.push_back({remark->pass, remark->done, remark->location, std::move(text), 0, {}});
      counts.emplace_back();
    } else if (groups[at->second].text != text) {
      groups[at->second].text = general;
    }
    ++counts[at->second][graph];
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const auto& [graph, count] : counts[i]) {
      groups[i].count = std::max(groups[i].count, count);
      if (!graph.empty()) groups[i].graphs.push_back(graph);
    }
  }
  return groups;
}

}  // namespace gptc
