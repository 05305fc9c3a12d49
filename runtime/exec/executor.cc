#include "runtime/exec/executor.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "ir/base/available_memory.h"
#include "ir/base/check.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

const plan::PortT* FindPort(const std::vector<std::unique_ptr<plan::PortT>>& ports, std::string_view name) {
  for (const auto& port : ports) {
    if (port->name == name) return port.get();
  }
  return nullptr;
}

bool Wanted(const ExecutorOptions& options, const std::string& entry) {
  return options.entries.empty() ||
         std::find(options.entries.begin(), options.entries.end(), entry) != options.entries.end();
}

// The kernel keeps to the workspace that the plan's peak counts for it.
Status CheckWorkspace(const plan::PlanT& plan, const plan::StepT& step, const Attributes& attributes,
                      std::span<const TensorView> inputs, std::span<const TensorView> results,
                      ScratchPool::Asked asked) {
  if (asked.bytes == 0) return OkStatus();
  std::vector<Type> input_types, result_types;
  for (const TensorView& input : inputs) input_types.push_back(input.type);
  for (const TensorView& result : results) result_types.push_back(result.type);
  const int64_t granted =
      WorkspaceOf(*OpNamed(step.kernel), input_types, result_types, attributes, HasBf16Products(plan.target))
          .Bytes(asked.threads);
  if (static_cast<int64_t>(asked.bytes) <= granted) return OkStatus();
  return Failure("the kernel of ", step.kernel, " asks for ", Grouped(static_cast<int64_t>(asked.bytes)),
                 " bytes of workspace on ", asked.threads, " threads, and runtime/plan/workspace.cc grants ",
                 Grouped(granted), " for ",
                 Join(inputs, ", ", [](const TensorView& input) { return TypeText(input.type); }));
}

}  // namespace

TensorView BoundEntry::input(std::string_view name) const {
  const plan::PortT* port = FindPort(plan_->inputs, name);
  CHECK(port != nullptr, plan_->name, " has no input ", name);
  return buffers_[port->buffer];
}

TensorView BoundEntry::output(std::string_view name) const {
  const plan::PortT* port = FindPort(plan_->outputs, name);
  CHECK(port != nullptr, plan_->name, " has no output ", name);
  return buffers_[port->buffer];
}

bool BoundEntry::has_input(std::string_view name) const { return FindPort(plan_->inputs, name) != nullptr; }

void BoundEntry::Poison() {
  for (const Copy& copy : poison_) std::memset(copy.to, 0xff, copy.bytes);
}

void BoundEntry::Finish() {
  for (const Copy& copy : stores_) std::memcpy(copy.to, copy.from, copy.bytes);
}

void BoundEntry::Run() {
  Poison();
  for (const BoundKernel& kernel : kernels_) {
    if (kernel) kernel();
  }
  Finish();
}

void BoundEntry::RunTimed(std::vector<StepTime>& times) {
  using Clock = std::chrono::steady_clock;
  Poison();
  times.resize(kernels_.size());
  for (size_t i = 0; i < kernels_.size(); ++i) {
    times[i] = {Clock::now(), 0};
    if (!kernels_[i]) continue;
    kernels_[i]();
    times[i].seconds = std::chrono::duration<double>(Clock::now() - times[i].begin).count();
  }
  Finish();
}

Status Executor::CheckMemory(const ExecutorOptions& options) const {
  std::set<int> states;
  int64_t need = 0;
  for (const auto& entry : plan_.entries) {
    if (!Wanted(options, entry->name)) continue;
    need = std::max(need, entry->arena_bytes);
    for (const auto& buffer : entry->buffers) states.insert(buffer->state);
  }
  states.erase(-1);
  int64_t arena = need;
  for (int state : states) need += ByteCount(TypeOf(*plan_.states[state]));
  int64_t available = AvailableMemory();
  if (available < 0 || need <= available) return OkStatus();
  return OutOfMemory("the plan needs ", HumanBytes(need), " (states ", HumanBytes(need - arena), ", arena ",
                     HumanBytes(arena), "), and ", HumanBytes(available),
                     " of memory are free; compile with a smaller --batch or --seq, or close other programs");
}

StatusOr<std::unique_ptr<Executor>> Executor::Create(const plan::PlanT& plan, const KernelTable& kernels,
                                                     const ExecutorOptions& options) {
  std::unique_ptr<Executor> executor(new Executor(plan));
  RETURN_IF_ERROR(executor->CheckMemory(options));
  int64_t arena_bytes = 0;
  for (const auto& entry : plan.entries) {
    if (Wanted(options, entry->name)) arena_bytes = std::max(arena_bytes, entry->arena_bytes);
  }
  ASSIGN_OR_RETURN(executor->states_, Region::Allocate(static_cast<size_t>(plan.state_bytes), "the plan's states"));
  ASSIGN_OR_RETURN(executor->arena_, Region::Allocate(static_cast<size_t>(arena_bytes), "the plan's arena"));
  std::vector<std::string> missing;
  for (const auto& entry : plan.entries) {
    if (Wanted(options, entry->name)) RETURN_IF_ERROR(executor->Bind(*entry, kernels, options.isolate, missing));
  }
  if (!missing.empty()) {
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    return absl::UnimplementedError(
        Cat("the device has no kernel for ", Join(missing, "; "), "; compile the model for this device"));
  }
  ASSIGN_OR_RETURN(executor->scratch_memory_, Region::Allocate(executor->scratch_.bytes(), "the kernels' scratch"));
  executor->scratch_.set_data(executor->scratch_memory_.data());
  return executor;
}

Status Executor::Bind(const plan::EntryT& entry, const KernelTable& kernels, bool isolate,
                      std::vector<std::string>& missing) {
  auto bound = std::make_unique<BoundEntry>();
  bound->plan_ = &entry;
  std::vector<bool> written(entry.buffers.size());
  for (const auto& step : entry.steps) {
    for (uint32_t result : step->results) written[result] = true;
  }
  for (size_t i = 0; i < entry.buffers.size(); ++i) {
    const plan::BufferT& buffer = *entry.buffers[i];
    TensorView view{TypeOf(buffer), nullptr};
    if (isolate && (buffer.state < 0 || written[i])) {
      size_t bytes = view.bytes();
      ASSIGN_OR_RETURN(Region region, Region::Allocate(bytes, "a value in isolation"));
      view.data = region.data();
      if (written[i] && bytes > 0) bound->poison_.push_back({view.data, nullptr, bytes});
      bound->isolated_.push_back(std::move(region));
    } else {
      view.data =
          buffer.state >= 0 ? states_.data() + plan_.states[buffer.state]->offset : arena_.data() + buffer.offset;
    }
    bound->buffers_.push_back(std::move(view));
  }
  for (const auto& step : entry.steps) {
    std::vector<TensorView> inputs, results;
    for (uint32_t index : step->inputs) inputs.push_back(bound->buffers_[index]);
    for (uint32_t index : step->results) results.push_back(bound->buffers_[index]);
    if (IsView(*step)) {
      bool apart = inputs[0].data != results[0].data;
      bound->kernels_.push_back(
          apart ? BoundKernel([from = inputs[0], to = results[0]] { std::memcpy(to.data, from.data, to.bytes()); })
                : BoundKernel());
      continue;
    }
    KernelFactory factory = kernels(step->kernel);
    if (factory == nullptr) {
      missing.push_back(step->kernel);
      continue;
    }
    Attributes attributes = AttributesOf(*step);
    StatusOr<BoundKernel> kernel = factory({inputs, results, attributes, scratch_});
    if (absl::IsUnimplemented(kernel.status())) {
      missing.push_back(Cat(step->kernel, " (", kernel.status().message(), ")"));
      continue;
    }
    if (!kernel.ok())
      return Annotate(kernel.status(),
                      Cat(entry.name, ": ", step->kernel, step->location.empty() ? "" : " from ", step->location));
    RETURN_IF_ERROR(CheckWorkspace(plan_, *step, attributes, inputs, results, scratch_.TakeAsked()));
    bound->kernels_.push_back(*std::move(kernel));
  }
  for (const auto& store : entry.stores) {
    TensorView to = state(static_cast<int>(store->state)), from = bound->buffers_[store->buffer];
    if (to.data != from.data) bound->stores_.push_back({to.data, from.data, to.bytes()});
  }
  entries_.push_back(std::move(bound));
  return OkStatus();
}

BoundEntry* Executor::entry(std::string_view name) {
  for (const auto& each : entries_) {
    if (each->plan_->name == name) return each.get();
  }
  return nullptr;
}

void Executor::RunIfPresent(std::string_view name) {
  if (BoundEntry* found = entry(name); found != nullptr) found->Run();
}

TensorView Executor::state(int index) const {
  const plan::StateT& state = *plan_.states[index];
  return {TypeOf(state), states_.data() + state.offset};
}

std::vector<std::span<std::byte>> Executor::MemoryOf(std::span<const std::string> entries) const {
  std::set<int> states;
  int64_t arena = 0;
  for (const auto& bound : entries_) {
    const plan::EntryT& entry = *bound->plan_;
    if (std::find(entries.begin(), entries.end(), entry.name) == entries.end()) continue;
    arena = std::max(arena, entry.arena_bytes);
    for (const auto& buffer : entry.buffers) states.insert(buffer->state);
    for (const auto& store : entry.stores) states.insert(static_cast<int>(store->state));
  }
  states.erase(-1);
  std::vector<std::span<std::byte>> memory = {{arena_.data(), static_cast<size_t>(arena)},
                                              {scratch_memory_.data(), scratch_memory_.bytes()}};
  for (int index : states) {
    const TensorView view = state(index);
    memory.push_back({view.as<std::byte>(), view.bytes()});
  }
  return memory;
}

}  // namespace gptc
