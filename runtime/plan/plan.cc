#include "runtime/plan/plan.h"

#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "ir/base/check.h"
#include "ir/base/op_table.h"

namespace gptc {
namespace {

// XXH3 of the file with the eight bytes of the content hash (at `hash_at`) taken as zero.
uint64_t ContentHash(std::string_view bytes, size_t hash_at) {
  static constexpr char kZeros[8] = {};
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, bytes.data(), hash_at);
  XXH3_64bits_update(state, kZeros, sizeof(kZeros));
  XXH3_64bits_update(state, bytes.data() + hash_at + 8, bytes.size() - hash_at - 8);
  uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

// Where the content hash stands in a verified file; 0 where the field is missing.
size_t HashPosition(const plan::Plan* root, const void* base) {
  auto* table = reinterpret_cast<const flatbuffers::Table*>(root);
  const uint8_t* field = table->GetAddressOf(plan::Plan::VT_CONTENT_HASH);
  return field == nullptr ? 0 : static_cast<size_t>(field - static_cast<const uint8_t*>(base));
}

}  // namespace

std::string SerializePlan(const plan::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder(1 << 16);
  builder.ForceDefaults(true);  // the hash field must be there whatever its value
  plan::FinishPlanBuffer(builder, plan::Plan::Pack(builder, &plan));
  std::string bytes(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
  size_t at = HashPosition(plan::GetPlan(bytes.data()), bytes.data());
  CHECK(at != 0);
  uint64_t hash = ContentHash(bytes, at);
  std::memcpy(bytes.data() + at, &hash, sizeof(hash));
  return bytes;
}

StatusOr<std::unique_ptr<plan::PlanT>> ParsePlan(std::string_view bytes, std::string_view name) {
  auto damaged = [&](std::string_view what) {
    return DataLoss(name, ": not a readable plan: ", what, "; compile the model again with gptc compile");
  };
  if (bytes.empty()) return damaged("the file is empty");
  if (bytes.size() < 16 || !plan::PlanBufferHasIdentifier(bytes.data()))
    return damaged("it does not begin as a plan (GPTP) does");
  if (bytes.size() > (size_t{1} << 31) - 1) return damaged("it is larger than 2 GiB");
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), /*max_depth=*/16,
                                 /*max_tables=*/100'000'000);
  if (!plan::VerifyPlanBuffer(verifier)) return damaged("it is cut or damaged");
  const plan::Plan* root = plan::GetPlan(bytes.data());
  if (root->major() != kPlanMajor) {
    return FailedPrecondition(name, ": this plan has format version ", root->major(), ".", root->minor(),
                              ", written by gptc ", root->compiler()->c_str(), "; this program reads version ",
                              kPlanMajor, ".x; compile the model again");
  }
  size_t at = HashPosition(root, bytes.data());
  if (at == 0 || at + 8 > bytes.size() || ContentHash(bytes, at) != root->content_hash())
    return damaged("its content does not match its hash");
  auto plan = std::unique_ptr<plan::PlanT>(root->UnPack());
  if (Status valid = ValidatePlan(*plan); !valid.ok()) return damaged(Message(valid));
  return plan;
}

StatusOr<std::unique_ptr<plan::PlanT>> ReadPlan(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    int error = errno;
    return Annotate(ErrnoStatus(error, "open", path), "no plan to read");
  }
  std::string bytes;
  char buffer[1 << 16];
  size_t got;
  while ((got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) bytes.append(buffer, got);
  bool failed = std::ferror(file) != 0;
  int error = errno;
  std::fclose(file);
  if (failed) return ErrnoStatus(error, "read", path);
  return ParsePlan(bytes, path);
}

Type TypeOf(const plan::BufferT& buffer) { return {static_cast<DType>(buffer.dtype), buffer.shape}; }
Type TypeOf(const plan::StateT& state) { return {static_cast<DType>(state.dtype), state.shape}; }

AttributeValue ValueOf(const plan::AttributeT& attribute) {
  switch (attribute.kind) {
    case plan::AttributeKind::Bool:
      return attribute.i != 0;
    case plan::AttributeKind::I64:
      return attribute.i;
    case plan::AttributeKind::F64:
      return attribute.f;
    case plan::AttributeKind::Str:
      return attribute.s;
    case plan::AttributeKind::DType:
      return static_cast<DType>(attribute.i);
    case plan::AttributeKind::Ints:
      return attribute.ints;
  }
  return false;
}

std::unique_ptr<plan::AttributeT> MakeAttribute(std::string name, const AttributeValue& value) {
  auto attribute = std::make_unique<plan::AttributeT>();
  attribute->name = std::move(name);
  attribute->kind = static_cast<plan::AttributeKind>(value.index());
  switch (attribute->kind) {
    case plan::AttributeKind::Bool:
      attribute->i = std::get<bool>(value);
      break;
    case plan::AttributeKind::I64:
      attribute->i = std::get<int64_t>(value);
      break;
    case plan::AttributeKind::F64:
      attribute->f = std::get<double>(value);
      break;
    case plan::AttributeKind::Str:
      attribute->s = std::get<std::string>(value);
      break;
    case plan::AttributeKind::DType:
      attribute->i = static_cast<int64_t>(std::get<DType>(value));
      break;
    case plan::AttributeKind::Ints:
      attribute->ints = std::get<std::vector<int64_t>>(value);
      break;
  }
  return attribute;
}

Attributes AttributesOf(const plan::StepT& step) {
  Attributes attributes;
  for (const auto& attribute : step.attributes) attributes.Set(attribute->name, ValueOf(*attribute));
  return attributes;
}

DType ComputesIn(const plan::EntryT& entry, const plan::StepT& step) {
  const auto dtype = [&](uint32_t buffer) { return static_cast<DType>(entry.buffers[buffer]->dtype); };
  const DType read = dtype(step.inputs.empty() ? step.results[0] : step.inputs[0]), given = dtype(step.results[0]);
  const std::string& family = InfoOf(*OpNamed(step.kernel)).family;
  if (family == "matmul" || family == "linear" || family == "attention" || !IsFloat(given)) return read;
  return IsFloat(read) && SizeOf(read) > SizeOf(given) ? read : given;
}

const plan::EntryT* FindEntry(const plan::PlanT& plan, std::string_view name) {
  for (const auto& entry : plan.entries) {
    if (entry->name == name) return entry.get();
  }
  return nullptr;
}

int FindState(const plan::PlanT& plan, std::string_view name) {
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i]->name == name) return static_cast<int>(i);
  }
  return -1;
}

int64_t DimensionOf(const plan::PlanT& plan, std::string_view name) {
  for (const auto& dimension : plan.dimensions) {
    if (dimension->name == name) return dimension->value;
  }
  return -1;
}

const plan::AttributeT* FindConfig(const plan::PlanT& plan, std::string_view key) {
  for (const auto& item : plan.config) {
    if (item->name == key) return item.get();
  }
  return nullptr;
}

int64_t ConfigInt(const plan::PlanT& plan, std::string_view key, int64_t otherwise) {
  const plan::AttributeT* item = FindConfig(plan, key);
  if (item == nullptr) return otherwise;
  if (item->kind == plan::AttributeKind::I64 || item->kind == plan::AttributeKind::Bool) return item->i;
  return otherwise;
}

double ConfigDouble(const plan::PlanT& plan, std::string_view key, double otherwise) {
  const plan::AttributeT* item = FindConfig(plan, key);
  if (item == nullptr) return otherwise;
  if (item->kind == plan::AttributeKind::F64) return item->f;
  if (item->kind == plan::AttributeKind::I64) return static_cast<double>(item->i);
  return otherwise;
}

bool IsView(const plan::StepT& step) { return InfoOf(*OpNamed(step.kernel)).execution == Execution::kView; }

Type LogicalTypeOf(const plan::StateT& state) {
  Type type = TypeOf(state);
  if (state.logical_rows >= 0 && !type.shape.empty()) type.shape[0] = state.logical_rows;
  return type;
}

int64_t ParameterCount(const plan::PlanT& plan) {
  int64_t count = 0;
  for (const auto& state : plan.states) {
    if (state->kind != plan::StateKind::Parameter) continue;
    count += ElementCount(LogicalTypeOf(*state).shape);
  }
  return count;
}

}  // namespace gptc
