#include "frontends/gptc/plan_facts.h"

#include <algorithm>
#include <map>

#include "ir/base/op_table.h"

namespace gptc {
namespace {

bool IsView(const plan::StepT& step) { return InfoOf(*OpNamed(step.kernel)).execution == Execution::kView; }

// Blocks of arena memory with the steps between which they hold something.
struct Live {
  int64_t begin, end, bytes;
  uint32_t buffer;
  int64_t writer;
};

std::vector<Live> Lifetimes(const plan::EntryT& entry) {
  int64_t steps = static_cast<int64_t>(entry.steps.size());
  std::vector<int64_t> first(entry.buffers.size(), steps), last(entry.buffers.size(), -1),
      writer(entry.buffers.size(), -1);
  for (const auto& port : entry.inputs) first[port->buffer] = 0;
  for (int64_t i = 0; i < steps; ++i) {
    for (uint32_t buffer : entry.steps[i]->inputs) last[buffer] = i;
    for (uint32_t buffer : entry.steps[i]->results) {
      if (!IsView(*entry.steps[i])) writer[buffer] = i;
      first[buffer] = std::min(first[buffer], i);
      last[buffer] = std::max(last[buffer], i);
    }
  }
  for (const auto& port : entry.outputs) last[port->buffer] = steps - 1;
  // Values that follow one another in one place (views, in-place results) are one block: the one that is there at a
  // step counts.
  std::vector<Live> lives;
  for (uint32_t b = 0; b < entry.buffers.size(); ++b) {
    if (entry.buffers[b]->state < 0 && last[b] >= first[b])
      lives.push_back({first[b], last[b], ByteCount(TypeOf(*entry.buffers[b])), b, writer[b]});
  }
  return lives;
}

std::vector<Live> AliveAt(const plan::EntryT& entry, const std::vector<Live>& lives, int64_t step) {
  std::map<int64_t, Live> by_offset;
  for (const Live& live : lives) {
    if (live.begin <= step && step <= live.end) {
      Live& held = by_offset.try_emplace(entry.buffers[live.buffer]->offset, live).first->second;
      if (live.bytes > held.bytes || (live.bytes == held.bytes && live.writer > held.writer)) held = live;
    }
  }
  std::vector<Live> alive;
  for (const auto& [offset, live] : by_offset) alive.push_back(live);
  return alive;
}

}  // namespace

std::vector<KernelFact> KernelsOfStep(const plan::PlanT& plan) {
  std::vector<KernelFact> facts;
  bool trains = FindEntry(plan, "micro_step.only") != nullptr;
  for (const char* name : {"micro_step.only", "update", "score"}) {
    const plan::EntryT* entry = FindEntry(plan, name);
    if (entry == nullptr || (trains && entry->name == "score")) continue;
    for (const auto& step : entry->steps) {
      if (IsView(*step)) continue;
      std::string dtype(NameOf(ComputesIn(*entry, *step)));
      auto at = std::find_if(facts.begin(), facts.end(),
                             [&](const KernelFact& f) { return f.name == step->kernel && f.dtype == dtype; });
      if (at == facts.end()) at = facts.insert(facts.end(), {step->kernel, dtype});
      ++at->count;
      at->flops += step->flops;
      at->bytes += step->bytes;
    }
  }
  std::stable_sort(facts.begin(), facts.end(),
                   [](const KernelFact& a, const KernelFact& b) { return a.flops > b.flops; });
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

std::vector<int64_t> ArenaOverTime(const plan::EntryT& entry) {
  std::vector<Live> lives = Lifetimes(entry);
  std::vector<int64_t> used(entry.steps.size());
  for (size_t i = 0; i < used.size(); ++i) {
    for (const Live& live : AliveAt(entry, lives, static_cast<int64_t>(i))) used[i] += live.bytes;
  }
  return used;
}

std::vector<Holder> PeakHolders(const plan::EntryT& entry) {
  std::vector<int64_t> used = ArenaOverTime(entry);
  if (used.empty()) return {};
  int64_t peak = std::max_element(used.begin(), used.end()) - used.begin();
  std::vector<Holder> holders;
  for (const Live& live : AliveAt(entry, Lifetimes(entry), peak)) {
    std::string what = "an input";
    if (live.writer >= 0) {
      const plan::StepT& step = *entry.steps[live.writer];
      what = step.location.empty() ? step.kernel : Cat(step.kernel, " from ", step.location);
    }
    holders.push_back({what, TypeText(TypeOf(*entry.buffers[live.buffer])), live.bytes});
  }
  std::stable_sort(holders.begin(), holders.end(), [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
  return holders;
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
