#include "runtime/exec/executor.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "ir/base/check.h"
#include "ir/base/scalars.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

int PortIndex(const std::vector<std::unique_ptr<plan::PortT>>& ports, std::string_view name) {
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i]->name == name) return static_cast<int>(i);
  }
  return -1;
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
      WorkspaceOf(*OpNamed(step.kernel), input_types, result_types, attributes, plan.target).Bytes(asked.threads);
  if (static_cast<int64_t>(asked.bytes) <= granted) return OkStatus();
  return Failure("the kernel of ", step.kernel, " asks for ", Grouped(static_cast<int64_t>(asked.bytes)),
                 " bytes of workspace on ", asked.threads, " threads, and runtime/plan/workspace.cc grants ",
                 Grouped(granted), " for ", TypesText(inputs));
}

}  // namespace

// What a run of these steps does from end to end.
WorkList BoundEntry::All(WorkList steps) const {
  steps.insert(steps.begin(), before_.begin(), before_.end());
  steps.insert(steps.end(), after_.begin(), after_.end());
  return steps;
}

TensorView BoundEntry::input(std::string_view name) const {
  const int port = PortIndex(plan_->inputs, name);
  CHECK(port >= 0, plan_->name, " has no input ", name);
  return places_[next_].inputs[port];
}

TensorView BoundEntry::output(std::string_view name) const { return output({.place = next_}, name); }

TensorView BoundEntry::output(const Started& run, std::string_view name) const {
  const int port = PortIndex(plan_->outputs, name);
  CHECK(port >= 0, plan_->name, " has no output ", name);
  return places_[run.place].outputs[port];
}

bool BoundEntry::has_input(std::string_view name) const { return PortIndex(plan_->inputs, name) >= 0; }

// Between the host's side and the device's, where these are not the same memory.
void BoundEntry::CopyIn(const Place& place) const {
  for (size_t i = 0; i < place.inputs.size(); ++i) {
    const TensorView to = BufferOf(*plan_->inputs[i]);
    if (to.data != place.inputs[i].data) device_->Copy(to.data, place.inputs[i].data, to.bytes());
  }
  if (place.scalars.data == nullptr) return;
  std::memcpy(place.scalars.data, new_scalars_->data(), place.scalars.bytes());
  device_->Copy(scalars_.data, place.scalars.data, place.scalars.bytes());
}
void BoundEntry::CopyOut(const Place& place) const {
  for (size_t i = 0; i < place.outputs.size(); ++i) {
    const TensorView from = BufferOf(*plan_->outputs[i]);
    if (from.data != place.outputs[i].data) device_->Copy(place.outputs[i].data, from.data, from.bytes());
  }
}

// At the place that a next run takes too, as nothing is left under way.
Status BoundEntry::Run() {
  CHECK(CanStart(), plan_->name, ": runs are under way");
  CopyIn(places_[next_]);
  run_();
  CopyOut(places_[next_]);
  return device_->Synchronize();
}

bool BoundEntry::CanStart() const { return !places_[next_].taken; }

BoundEntry::Started BoundEntry::Start() {
  CHECK(CanStart(), plan_->name, ": both places are taken");
  const size_t place = next_;
  next_ = (next_ + 1) % places_.size();
  places_[place].taken = true;
  CopyIn(places_[place]);
  run_();
  CopyOut(places_[place]);
  return {place, device_->SetMark()};
}

Status BoundEntry::Wait(const Started& run) {
  places_[run.place].taken = false;
  return device_->Await(run.mark);
}

Status BoundEntry::RunForStates() {
  if (!run_for_states_) {
    std::vector<bool> leads(plan_->buffers.size());
    for (const auto& store : plan_->stores) leads[store->buffer] = true;
    WorkList steps = steps_;
    for (size_t i = steps.size(); i-- > 0;) {
      const plan::StepT& step = *plan_->steps[i];
      if (std::none_of(step.results.begin(), step.results.end(), [&](uint32_t result) { return leads[result]; })) {
        steps[i] = BoundKernel();
        continue;
      }
      for (uint32_t input : step.inputs) leads[input] = true;
    }
    ASSIGN_OR_RETURN(run_for_states_, device_->Record(All(std::move(steps))));
  }
  CopyIn(places_[next_]);
  run_for_states_();
  return device_->Synchronize();
}

Status BoundEntry::RunTimed(std::vector<Device::Span>& times) {
  CopyIn(places_[next_]);
  for (const BoundKernel& item : before_) item();
  RETURN_IF_ERROR(device_->RunTimed(steps_, times));
  for (const BoundKernel& item : after_) item();
  CopyOut(places_[next_]);
  return device_->Synchronize();
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
  int64_t available = device_->AvailableMemory();
  if (available < 0 || need <= available) return OkStatus();
  return OutOfMemory("the plan needs ", HumanBytes(need), " (states ", HumanBytes(need - arena), ", arena ",
                     HumanBytes(arena), "), and ", HumanBytes(available),
                     " of memory are free; compile with a smaller --batch or --seq, or close other programs");
}

StatusOr<std::unique_ptr<Executor>> Executor::Create(const plan::PlanT& plan, Device& device,
                                                     const ExecutorOptions& options) {
  std::unique_ptr<Executor> executor(new Executor(plan, device));
  RETURN_IF_ERROR(executor->Build(options));
  return executor;
}

StatusOr<std::unique_ptr<Executor>> Executor::Create(const plan::PlanT& plan, const KernelTable& kernels,
                                                     const ExecutorOptions& options) {
  auto host = std::make_unique<HostDevice>(kernels);
  std::unique_ptr<Executor> executor(new Executor(plan, *host));
  executor->owned_ = std::move(host);
  RETURN_IF_ERROR(executor->Build(options));
  return executor;
}

Status Executor::Build(const ExecutorOptions& options) {
  RETURN_IF_ERROR(CheckMemory(options));
  RETURN_IF_ERROR(device_->LoadKernels(plan_));
  int64_t arena_bytes = 0;
  for (const auto& entry : plan_.entries) {
    if (Wanted(options, entry->name)) arena_bytes = std::max(arena_bytes, entry->arena_bytes);
  }
  ASSIGN_OR_RETURN(states_, device_->Allocate(static_cast<size_t>(plan_.state_bytes), "the plan's states"));
  ASSIGN_OR_RETURN(arena_, device_->Allocate(static_cast<size_t>(arena_bytes), "the plan's arena"));
  if (const int scalars = FindState(plan_, kScalarsState); scalars >= 0 && !device_->SharesMemoryWithHost()) {
    ASSIGN_OR_RETURN(scalars_, Region::Allocate(state(scalars).bytes(), "the step's scalars"));
  }
  std::vector<std::string> missing;
  for (const auto& entry : plan_.entries) {
    if (Wanted(options, entry->name)) RETURN_IF_ERROR(Bind(*entry, options.isolate, missing));
  }
  if (!missing.empty()) {
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    return absl::UnimplementedError(
        Cat("the device has no kernel for ", Join(missing, "; "), "; compile the model for this device"));
  }
  ASSIGN_OR_RETURN(scratch_memory_, device_->Allocate(scratch_.bytes(), "the kernels' scratch"));
  scratch_.set_data(scratch_memory_.data());
  for (const auto& entry : entries_) {
    ASSIGN_OR_RETURN(entry->run_, device_->Record(entry->All(entry->steps_)));
  }
  return OkStatus();
}

Status Executor::Bind(const plan::EntryT& entry, bool isolate, std::vector<std::string>& missing) {
  auto bound = std::make_unique<BoundEntry>();
  bound->plan_ = &entry;
  bound->device_ = device_;
  std::vector<bool> written(entry.buffers.size());
  for (const auto& step : entry.steps) {
    for (uint32_t result : step->results) written[result] = true;
  }
  for (size_t i = 0; i < entry.buffers.size(); ++i) {
    const plan::BufferT& buffer = *entry.buffers[i];
    TensorView view{TypeOf(buffer), nullptr};
    if (isolate && (buffer.state < 0 || written[i])) {
      const size_t bytes = view.bytes();
      ASSIGN_OR_RETURN(Region region, device_->Allocate(bytes, "a value in isolation"));
      view.data = region.data();
      if (written[i] && bytes > 0) {
        bound->before_.push_back([device = device_, data = view.data, bytes] { device->Fill(data, 0xff, bytes); });
      }
      bound->isolated_.push_back(std::move(region));
    } else {
      view.data =
          buffer.state >= 0 ? states_.data() + plan_.states[buffer.state]->offset : arena_.data() + buffer.offset;
    }
    bound->buffers_.push_back(std::move(view));
  }
  const auto copy = [this](const TensorView& to, const TensorView& from) {
    return [device = device_, to = to.data, from = from.data, bytes = to.bytes()] { device->Copy(to, from, bytes); };
  };
  for (const auto& step : entry.steps) {
    std::vector<TensorView> inputs, results;
    for (uint32_t index : step->inputs) inputs.push_back(bound->buffers_[index]);
    for (uint32_t index : step->results) results.push_back(bound->buffers_[index]);
    if (IsView(*step)) {
      const bool apart = inputs[0].data != results[0].data;
      bound->steps_.push_back(apart ? BoundKernel(copy(results[0], inputs[0])) : BoundKernel());
      continue;
    }
    KernelFactory factory = device_->Kernel(step->kernel);
    if (factory == nullptr) {
      missing.push_back(step->kernel);
      continue;
    }
    Attributes attributes = AttributesOf(*step);
    StatusOr<BoundKernel> kernel = factory({inputs, results, attributes, scratch_, device_});
    if (absl::IsUnimplemented(kernel.status())) {
      missing.push_back(Cat(step->kernel, " (", kernel.status().message(), ")"));
      continue;
    }
    if (!kernel.ok())
      return Annotate(kernel.status(),
                      Cat(entry.name, ": ", step->kernel, step->location.empty() ? "" : " from ", step->location));
    RETURN_IF_ERROR(CheckWorkspace(plan_, *step, attributes, inputs, results, scratch_.TakeAsked()));
    bound->steps_.push_back(*std::move(kernel));
  }
  for (const auto& store : entry.stores) {
    TensorView to = state(static_cast<int>(store->state)), from = bound->buffers_[store->buffer];
    if (to.data != from.data) bound->after_.push_back(copy(to, from));
  }
  RETURN_IF_ERROR(BindPorts(*bound));
  entries_.push_back(std::move(bound));
  return OkStatus();
}

// The caller's side of runs: the buffers themselves, or where the host has no access to them two places with buffers of
// its own, so that the next run's can be filled while one is under way.
Status Executor::BindPorts(BoundEntry& bound) {
  const bool shared = device_->SharesMemoryWithHost();
  const int scalars = FindState(plan_, kScalarsState);
  const bool reads_scalars =
      std::any_of(bound.plan_->buffers.begin(), bound.plan_->buffers.end(),
                  [&](const auto& buffer) { return buffer->state >= 0 && buffer->state == scalars; });
  const auto own = [&](const TensorView& there, std::string_view name) -> StatusOr<TensorView> {
    if (shared) return there;
    ASSIGN_OR_RETURN(Region region, device_->AllocateHost(there.bytes(), name));
    bound.ports_.push_back(std::move(region));
    return TensorView{there.type, bound.ports_.back().data()};
  };
  bound.places_.resize(shared ? 1 : 2);
  for (BoundEntry::Place& place : bound.places_) {
    for (const auto& port : bound.plan_->inputs) {
      ASSIGN_OR_RETURN(TensorView here, own(bound.BufferOf(*port), port->name));
      place.inputs.push_back(std::move(here));
    }
    for (const auto& port : bound.plan_->outputs) {
      ASSIGN_OR_RETURN(TensorView here, own(bound.BufferOf(*port), port->name));
      place.outputs.push_back(std::move(here));
    }
    if (!shared && reads_scalars) {
      bound.scalars_ = state(scalars);
      bound.new_scalars_ = &scalars_;
      ASSIGN_OR_RETURN(place.scalars, own(bound.scalars_, kScalarsState));
    }
  }
  return OkStatus();
}

BoundEntry* Executor::entry(std::string_view name) {
  for (const auto& each : entries_) {
    if (each->plan_->name == name) return each.get();
  }
  return nullptr;
}

Status Executor::RunIfPresent(std::string_view name) {
  BoundEntry* found = entry(name);
  return found != nullptr ? found->Run() : OkStatus();
}

TensorView Executor::state(int index) const {
  const plan::StateT& state = *plan_.states[index];
  return {TypeOf(state), states_.data() + state.offset};
}

Status Executor::WriteState(int index, const std::function<Status(const TensorView&)>& fill) {
  const TensorView there = state(index);
  if (device_->SharesMemoryWithHost()) return fill(there);
  if (scalars_.data() != nullptr && index == FindState(plan_, kScalarsState))
    return fill({there.type, scalars_.data()});
  ASSIGN_OR_RETURN(const Region region, Region::Allocate(there.bytes(), plan_.states[index]->name));
  RETURN_IF_ERROR(fill({there.type, region.data()}));
  device_->Copy(there.data, region.data(), there.bytes());
  return device_->Synchronize();
}

Status Executor::ReadState(int index, const std::function<Status(const TensorView&)>& use) const {
  const TensorView there = state(index);
  if (device_->SharesMemoryWithHost()) return use(there);
  ASSIGN_OR_RETURN(const Region region, Region::Allocate(there.bytes(), plan_.states[index]->name));
  device_->Copy(region.data(), there.data, there.bytes());
  RETURN_IF_ERROR(device_->Synchronize());
  return use({there.type, region.data()});
}

void Executor::SetScalar(int scalar, double value) {
  const int index = FindState(plan_, kScalarsState);
  if (index < 0 || scalar >= state(index).count()) return;
  double* scalars = scalars_.data() != nullptr ? reinterpret_cast<double*>(scalars_.data()) : state(index).as<double>();
  scalars[scalar] = value;
}

std::vector<std::span<std::byte>> Executor::MemoryOf(std::span<const std::string> entries) const {
  if (!device_->SharesMemoryWithHost()) return {};
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
