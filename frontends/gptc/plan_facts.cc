#include "frontends/gptc/plan_facts.h"

#include <algorithm>

namespace gptc {
namespace {

void AddKernels(const plan::EntryT& entry, std::vector<KernelFact>& facts) {
  for (const auto& step : entry.steps) {
    if (IsView(*step)) continue;
    const std::string dtype(NameOf(ComputesIn(entry, *step)));
    auto at = std::find_if(facts.begin(), facts.end(),
                           [&](const KernelFact& f) { return f.name == step->kernel && f.dtype == dtype; });
    if (at == facts.end()) at = facts.insert(facts.end(), {step->kernel, dtype});
    ++at->count;
    at->flops += step->flops;
    at->bytes += step->bytes;
  }
  std::stable_sort(facts.begin(), facts.end(),
                   [](const KernelFact& a, const KernelFact& b) { return a.flops > b.flops; });
}

}  // namespace

std::vector<KernelFact> KernelsOf(const plan::EntryT& entry) {
  std::vector<KernelFact> facts;
  AddKernels(entry, facts);
  return facts;
}

std::vector<const plan::EntryT*> EntriesOfStep(const plan::PlanT& plan) {
  std::vector<const plan::EntryT*> entries;
  for (const char* name : {"micro_step.only", "update"}) {
    if (const plan::EntryT* entry = FindEntry(plan, name); entry != nullptr) entries.push_back(entry);
  }
  if (!entries.empty()) return entries;
  if (const plan::EntryT* score = FindEntry(plan, "score"); score != nullptr) return {score};
  for (const auto& entry : plan.entries) entries.push_back(entry.get());
  return entries;
}

std::vector<KernelFact> KernelsOfStep(const plan::PlanT& plan) {
  std::vector<KernelFact> facts;
  for (const plan::EntryT* entry : EntriesOfStep(plan)) AddKernels(*entry, facts);
  return facts;
}

std::vector<EntryFact> Entries(const plan::PlanT& plan) {
  std::vector<EntryFact> facts;
  for (const auto& entry : plan.entries) {
    EntryFact fact{entry->name, 0, entry->arena_bytes, entry->arena_lower_bound};
    for (const auto& step : entry->steps) {
      fact.steps += !IsView(*step);
      fact.flops += step->flops;
      fact.bytes += step->bytes;
    }
    facts.push_back(fact);
  }
  return facts;
}

std::vector<std::pair<std::string, int64_t>> StateBytesByKind(const plan::PlanT& plan) {
  static constexpr const char* kNames[] = {"parameter", "optimizer", "gradient", "derived", "cache", "scalars"};
  std::vector<std::pair<std::string, int64_t>> bytes;
  for (const char* name : kNames) bytes.emplace_back(name, 0);
  for (const auto& state : plan.states) bytes[static_cast<size_t>(state->kind)].second += ByteCount(TypeOf(*state));
  std::erase_if(bytes, [](const auto& item) { return item.second == 0; });
  return bytes;
}

}  // namespace gptc
