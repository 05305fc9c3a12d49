// Everything an executor relies on, checked once at loading: a plan that passes here cannot make it read or write out
// of bounds.
#include <algorithm>
#include <cmath>
#include <set>

#include "ir/base/infer.h"
#include "ir/base/op_table.h"
#include "runtime/plan/generated.h"
#include "runtime/plan/plan.h"

namespace gptc {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr size_t kMostRank = 8;

Status CheckType(uint8_t dtype, const std::vector<int64_t>& shape) {
  if (dtype >= kDTypeCount) return InvalidArgument("element type ", static_cast<int>(dtype), " does not exist");
  if (shape.size() > kMostRank) return InvalidArgument("rank ", shape.size(), " is above ", kMostRank);
  int64_t bytes = SizeOf(static_cast<DType>(dtype));
  for (int64_t dim : shape) {
    if (dim < 0) return InvalidArgument("a dimension is negative");
    if (dim != 0 && bytes > kMostBytes / dim) return InvalidArgument("a tensor is too large");
    bytes *= dim;
  }
  return OkStatus();
}

Status CheckPlace(int64_t offset, int64_t bytes, int64_t region) {
  if (offset < 0 || offset % kBufferAlignment != 0)
    return InvalidArgument("offset ", offset, " is negative or not aligned");
  if (offset > kMostBytes) return InvalidArgument("offset ", offset, " is out of range");
  if (bytes > region || offset > region - bytes)
    return InvalidArgument("bytes ", offset, " to ", offset + bytes, " lie outside a region of ", region);
  return OkStatus();
}

Status CheckAttribute(std::string_view what, const plan::AttributeT& attribute) {
  if (attribute.kind > plan::AttributeKind::Ints) return InvalidArgument(what, attribute.name, " has an unknown kind");
  if (attribute.kind == plan::AttributeKind::DType && (attribute.i < 0 || attribute.i >= kDTypeCount)) {
    return InvalidArgument(what, attribute.name, " is no element type");
  }
  return OkStatus();
}

// A launch that a GPU takes; what its code does is not looked at.
Status CheckGenerated(const plan::GeneratedCodeT& code) {
  constexpr uint32_t kMostColumns = (uint32_t{1} << 31) - 1, kMostRows = 65535, kMostThreads = 1024;
  if (code.sm < 50 || code.sm > 999) return InvalidArgument("compute capability ", code.sm, " does not exist");
  if (code.cubin.empty() && code.ptx.empty()) return InvalidArgument("there is no code");
  std::set<std::string> names;
  for (const auto& kernel : code.kernels) {
    if (!names.insert(kernel->name).second) return InvalidArgument("two kernels are called ", kernel->name);
    if (kernel->scratch_bytes < 0 || kernel->scratch_bytes > kMostBytes)
      return InvalidArgument(kernel->name, " asks for an impossible scratch");
    if (kernel->launches.empty()) return InvalidArgument(kernel->name, " launches nothing");
    for (const auto& launch : kernel->launches) {
      if (launch->columns > kMostColumns || launch->rows > kMostRows || launch->threads == 0 ||
          launch->threads > kMostThreads)
        return InvalidArgument(kernel->name, " launches ", launch->columns, " by ", launch->rows, " blocks of ",
                               launch->threads, " threads");
    }
  }
  return OkStatus();
}

// Address range of a buffer in a space where the arena begins at 0 and the state region at 2^52.
struct Range {
  int64_t begin, end;
  bool Overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
  bool operator==(const Range&) const = default;
};

class EntryValidator {
 public:
  EntryValidator(const plan::PlanT& plan, const plan::EntryT& entry) : plan_(plan), entry_(entry) {}

  Status Validate() {
    if (entry_.arena_bytes < 0 || entry_.arena_bytes > plan_.arena_bytes)
      return InvalidArgument("needs more than the plan's arena");
    for (size_t i = 0; i < entry_.buffers.size(); ++i) {
      if (Status status = Buffer(i); !status.ok()) return Annotate(status, Cat("buffer ", i));
    }
    for (size_t i = 0; i < entry_.steps.size(); ++i) {
      if (entry_.steps[i] == nullptr) return InvalidArgument("step ", i, " is empty");
      if (Status status = Step(*entry_.steps[i]); !status.ok())
        return Annotate(status, Cat("step ", i, " (", entry_.steps[i]->kernel, ")"));
    }
    for (const auto* ports : {&entry_.inputs, &entry_.outputs}) {
      for (const auto& port : *ports) {
        if (port->buffer >= entry_.buffers.size())
          return InvalidArgument("port ", port->name, " names a buffer that does not exist");
      }
    }
    for (const auto& store : entry_.stores) {
      if (store->state >= plan_.states.size() || store->buffer >= entry_.buffers.size())
        return InvalidArgument("a store is out of range");
      if (TypeOf(*plan_.states[store->state]) != TypeOf(*entry_.buffers[store->buffer])) {
        return InvalidArgument("a store into ", plan_.states[store->state]->name, " has another type");
      }
    }
    return OkStatus();
  }

 private:
  Status Buffer(size_t i) {
    const plan::BufferT& buffer = *entry_.buffers[i];
    RETURN_IF_ERROR(CheckType(buffer.dtype, buffer.shape));
    Type type = TypeOf(buffer);
    int64_t bytes = ByteCount(type), base = 0, offset = buffer.offset;
    if (buffer.state >= 0) {
      if (static_cast<size_t>(buffer.state) >= plan_.states.size())
        return InvalidArgument("state ", buffer.state, " does not exist");
      if (bytes > ByteCount(TypeOf(*plan_.states[buffer.state]))) return InvalidArgument("it is larger than its state");
      base = int64_t{1} << 52;
      offset = plan_.states[buffer.state]->offset;
    } else {
      RETURN_IF_ERROR(CheckPlace(buffer.offset, bytes, entry_.arena_bytes));
    }
    types_.push_back(std::move(type));
    ranges_.push_back({base + offset, base + offset + bytes});
    return OkStatus();
  }

  Status Step(const plan::StepT& step) {
    std::optional<Op> op = OpNamed(step.kernel);
    if (!op) return InvalidArgument("this version has no such kernel");
    const OpInfo& info = InfoOf(*op);
    if (!info.AcceptsInputCount(step.inputs.size()))
      return InvalidArgument("takes ", info.InputCountText(), " inputs, not ", step.inputs.size());
    std::vector<Type> inputs;
    std::vector<std::string> names;
    for (uint32_t index : step.inputs) {
      if (index >= types_.size()) return InvalidArgument("reads buffer ", index, ", which does not exist");
      inputs.push_back(types_[index]);
      names.push_back(Cat("buffer ", index));
    }
    for (const auto& attribute : step.attributes) {
      RETURN_IF_ERROR(CheckAttribute("attribute ", *attribute));
      for (int64_t value : attribute->ints) {
        if (value < 0) return InvalidArgument("attribute ", attribute->name, " holds a negative number");
      }
    }
    Attributes attributes = AttributesOf(step);
    RETURN_IF_ERROR(CompleteAttributes(info, attributes));
    if (attributes.items().size() != step.attributes.size()) return InvalidArgument("attributes are missing");
    ASSIGN_OR_RETURN(std::vector<Type> results, InferTypes({info, inputs, attributes, {}, names}));
    if (*op == Op::kFused && plan_.target.starts_with("cuda:")) {
      const std::string name = GeneratedKernelName(attributes.Str("region"), inputs);
      if (FindGeneratedKernel(plan_, name) == nullptr)
        return InvalidArgument("its generated kernel ", name, " is missing");
    }
    if (results.size() != step.results.size())
      return InvalidArgument("gives ", results.size(), " results, not ", step.results.size());
    for (size_t r = 0; r < results.size(); ++r) {
      uint32_t index = step.results[r];
      if (index >= types_.size()) return InvalidArgument("writes buffer ", index, ", which does not exist");
      if (types_[index] != results[r])
        return InvalidArgument("writes ", TypeText(results[r]), " into a buffer of ", TypeText(types_[index]));
      RETURN_IF_ERROR(Aliases(info, step, r));
    }
    return OkStatus();
  }

  // A result may lie exactly over an input of its type that the op table names for it, and touch nothing else of its
  // step.
  Status Aliases(const OpInfo& info, const plan::StepT& step, size_t r) {
    const Range& range = ranges_[step.results[r]];
    if (range.begin == range.end) return OkStatus();
    for (size_t other = 0; other < r; ++other) {
      if (range.Overlaps(ranges_[step.results[other]])) return InvalidArgument("two results overlap");
    }
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (!range.Overlaps(ranges_[step.inputs[i]])) continue;
      bool view = info.execution == Execution::kView;
      bool named = info.MayAlias(r, i) && types_[step.inputs[i]] == types_[step.results[r]];
      if (!(view || named) || range != ranges_[step.inputs[i]])
        return InvalidArgument("result ", r, " overlaps input ", i);
    }
    return OkStatus();
  }

  const plan::PlanT& plan_;
  const plan::EntryT& entry_;
  std::vector<Type> types_;
  std::vector<Range> ranges_;
};

}  // namespace

Status ValidatePlan(const plan::PlanT& plan) {
  if (plan.state_bytes < 0 || plan.state_bytes > kMostBytes || plan.arena_bytes < 0 || plan.arena_bytes > kMostBytes) {
    return InvalidArgument("its memory sizes are impossible");
  }
  for (const auto& item : plan.config) RETURN_IF_ERROR(CheckAttribute("configuration ", *item));
  std::set<std::string> names;
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const auto& state : plan.states) {
    if (!names.insert(state->name).second) return InvalidArgument("two states are called ", state->name);
    Status status = CheckType(state->dtype, state->shape);
    if (status.ok()) status = CheckPlace(state->offset, ByteCount(TypeOf(*state)), plan.state_bytes);
    if (status.ok() && state->logical_rows >= 0 && (state->shape.empty() || state->logical_rows > state->shape[0])) {
      status = InvalidArgument("has more logical rows than rows");
    }
    if (status.ok() && (state->kind > plan::StateKind::Scalars || state->init > plan::InitKind::Normal))
      status = InvalidArgument("has an unknown kind");
    if (status.ok() && !(state->stddev >= 0 && std::isfinite(state->stddev))) {
      status = InvalidArgument("has a standard deviation that is not finite or negative");
    }
    if (!status.ok()) return Annotate(status, Cat("state ", state->name));
    places.emplace_back(state->offset, state->offset + ByteCount(TypeOf(*state)));
  }
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i].first < places[i - 1].second) return InvalidArgument("two states overlap");
  }
  if (plan.generated != nullptr) RETURN_IF_ERROR(Annotate(CheckGenerated(*plan.generated), "generated kernels"));
  names.clear();
  for (const auto& entry : plan.entries) {
    if (!names.insert(entry->name).second) return InvalidArgument("two entry points are called ", entry->name);
    if (Status status = EntryValidator(plan, *entry).Validate(); !status.ok()) return Annotate(status, entry->name);
  }
  return OkStatus();
}

}  // namespace gptc
