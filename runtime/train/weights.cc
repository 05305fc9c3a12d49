#include "runtime/train/weights.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "nlohmann/json.hpp"
#include "runtime/formats/convert.h"
#include "runtime/formats/hf_config.h"

namespace gptc {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "transformer.";
constexpr size_t kShown = 4;  // tensors that a message names of a kind; the rest is a number

// A parameter of the plan and where it lies in a file of Hugging Face names.
struct Abroad {
  std::string name;
  std::vector<std::string> tied;  // other names of the same weights
  bool transposed = false;
  Shape logical;  // without padding, as in the plan
  Shape stored;   // as in the file
};

Abroad AbroadOf(const plan::StateT& state) {
  Abroad abroad{.name = state.name, .logical = LogicalTypeOf(state).shape};
  bool named = false;
  for (const auto& name : state.names) {
    if (name->format != "hf") continue;
    if (name->tied) {
      abroad.tied.push_back(name->name);
    } else if (!named) {
      abroad.name = name->name;
      abroad.transposed = name->transposed && abroad.logical.size() == 2;
      named = true;
    }
  }
  abroad.stored = abroad.logical;
  if (abroad.transposed) std::swap(abroad.stored[0], abroad.stored[1]);
  return abroad;
}

// A name, or the same without or with the prefix; nullptr where the file has none of them. `used` is the name found.
const StoredTensor* Find(const Safetensors& tensors, const std::string& name, std::string& used) {
  std::vector<std::string> candidates = {name};
  candidates.push_back(name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : Cat(kPrefix, name));
  for (std::string& candidate : candidates) {
    if (const StoredTensor* found = tensors.Find(candidate); found != nullptr) {
      used = std::move(candidate);
      return found;
    }
  }
  return nullptr;
}

// Causal masks that old files of transformers carry.
bool IsBuffer(std::string_view name) { return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"); }

std::string Some(const std::vector<std::string>& items) {
  std::span<const std::string> shown(items.data(), std::min(items.size(), kShown));
  std::string text = Join(shown, ", ");
  if (items.size() > shown.size()) text += Cat(" and ", items.size() - shown.size(), " more");
  return text;
}

Status Fill(const StoredTensor& from, const Abroad& abroad, const TensorView& to) {
  const ElementType type = ElementTypeOf(to.type.dtype);
  const int64_t count = ElementCount(abroad.logical);
  if (abroad.transposed) {
    RETURN_IF_ERROR(ConvertTransposed(from.type, from.bytes.data(), type, to.data, abroad.stored[0], abroad.stored[1]));
  } else {
    RETURN_IF_ERROR(ConvertElements(from.type, from.bytes.data(), type, to.data, count));
  }
  const size_t filled = static_cast<size_t>(count) * static_cast<size_t>(SizeOf(type));
  std::memset(static_cast<std::byte*>(to.data) + filled, 0, to.bytes() - filled);
  return OkStatus();
}

std::vector<int> Parameters(const plan::PlanT& plan) {
  std::vector<int> indices;
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i]->kind == plan::StateKind::Parameter) indices.push_back(static_cast<int>(i));
  }
  return indices;
}

std::string ConfigStr(const plan::PlanT& plan, std::string_view key, std::string otherwise) {
  const plan::AttributeT* item = FindConfig(plan, key);
  return item != nullptr && item->kind == plan::AttributeKind::Str ? item->s : otherwise;
}

std::string_view TorchName(ElementType type) {
  switch (type) {
    case ElementType::kBF16:
      return "bfloat16";
    case ElementType::kF16:
      return "float16";
    case ElementType::kF64:
      return "float64";
    default:
      return "float32";
  }
}

std::string Gpt2ConfigJson(const plan::PlanT& plan, int eot, ElementType type) {
  HfConfig config;
  config.vocab = ConfigInt(plan, "vocab", config.vocab);
  config.context = ConfigInt(plan, "context", config.context);
  config.width = ConfigInt(plan, "width", config.width);
  config.layers = ConfigInt(plan, "layers", config.layers);
  config.heads = ConfigInt(plan, "heads", config.heads);
  const int64_t inner = ConfigInt(plan, "inner", 0);
  config.inner = inner > 0 ? inner : 4 * config.width;
  config.activation = ConfigStr(plan, "activation", config.activation);
  config.epsilon = ConfigDouble(plan, "epsilon", config.epsilon);
  config.tied = ConfigInt(plan, "tied", 1) != 0;
  config.residual_dropout = config.embedding_dropout = config.attention_dropout = ConfigDouble(plan, "dropout", 0);
  if (eot >= 0) config.bos = config.eos = eot;
  return WriteHfConfig(config, TorchName(type));
}

}  // namespace

Status LoadWeights(const Safetensors& tensors, const std::string& where, Executor& executor) {
  const plan::PlanT& plan = executor.plan();
  struct Match {
    const StoredTensor* from;
    Abroad abroad;
    int to;
  };
  std::vector<Match> matches;
  std::vector<std::string> missing, misshapen, mistyped, untied;
  std::set<std::string, std::less<>> used;
  for (int index : Parameters(plan)) {
    Match match{nullptr, AbroadOf(*plan.states[index]), index};
    std::string own, found = match.abroad.name;
    match.from = Find(tensors, match.abroad.name, found);
    if (match.from != nullptr) used.insert(found);
    for (const std::string& name : match.abroad.tied) {
      std::string tied_name;
      const StoredTensor* tied = Find(tensors, name, tied_name);
      if (tied == nullptr) continue;
      used.insert(tied_name);
      if (match.from == nullptr) {
        match.from = tied;
        found = tied_name;
      } else if (tied->type == match.from->type && !std::ranges::equal(tied->bytes, match.from->bytes)) {
        untied.push_back(Cat(tied_name, " is not ", found));
      }
    }
    if (match.from == nullptr) {
      missing.push_back(match.abroad.name);
    } else if (match.from->shape != match.abroad.stored) {
      misshapen.push_back(
          Cat(found, " is ", ShapeText(match.from->shape), " where the model has ", ShapeText(match.abroad.stored)));
    } else if (!IsFloat(match.from->type)) {
      mistyped.push_back(Cat(found, " is ", NameOf(match.from->type)));
    } else {
      matches.push_back(std::move(match));
    }
  }
  std::vector<std::string> foreign;
  for (const auto& [name, tensor] : tensors.tensors()) {
    if (!used.contains(name) && !IsBuffer(name)) foreign.push_back(name);
  }

  std::vector<std::string> faults;
  if (!missing.empty()) faults.push_back(Cat("missing: ", Some(missing)));
  if (!misshapen.empty()) faults.push_back(Cat("of another shape: ", Some(misshapen)));
  if (!mistyped.empty()) faults.push_back(Cat("of a type that weights cannot have: ", Some(mistyped)));
  if (!untied.empty()) faults.push_back(Cat("tied in the model and different here: ", Some(untied)));
  if (!foreign.empty()) faults.push_back(Cat("without a place in the model: ", Some(foreign)));
  if (!faults.empty()) {
    return InvalidArgument(
        where, ": these weights do not fit the plan's ", plan.model, "; ", Join(faults, "; "),
        "; compile the plan for this model's shape (gptc model gpt2 --from DIR), or take other weights");
  }
  for (const Match& match : matches) {
    const Status status =
        executor.WriteState(match.to, [&](const TensorView& to) { return Fill(*match.from, match.abroad, to); });
    if (!status.ok()) return Annotate(status, Cat(where, ": ", match.abroad.name));
  }
  return OkStatus();
}

std::vector<TensorToWrite> WeightsToWrite(const Executor& executor, ElementType type) {
  std::vector<TensorToWrite> tensors;
  for (int index : Parameters(executor.plan())) {
    const TensorView view = executor.state(index);
    const Abroad abroad = AbroadOf(*executor.plan().states[index]);
    const ElementType own = ElementTypeOf(view.type.dtype);
    TensorToWrite tensor{.name = abroad.name, .type = type, .shape = abroad.stored};
    if (own == type && !abroad.transposed && executor.device().SharesMemoryWithHost()) {
      tensor.data = view.data;
    } else {
      tensor.make = [own, type, abroad, index, &executor]() -> StatusOr<std::vector<std::byte>> {
        const int64_t count = ElementCount(abroad.logical);
        std::vector<std::byte> bytes(static_cast<size_t>(count) * static_cast<size_t>(SizeOf(type)));
        RETURN_IF_ERROR(executor.ReadState(index, [&](const TensorView& from) {
          return abroad.transposed
                     ? ConvertTransposed(own, from.data, type, bytes.data(), abroad.logical[0], abroad.logical[1])
                     : ConvertElements(own, from.data, type, bytes.data(), count);
        }));
        return bytes;
      };
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

TensorToWrite StateToWrite(const Executor& executor, int index) {
  const plan::StateT& state = *executor.plan().states[index];
  const Type logical = LogicalTypeOf(state);
  TensorToWrite tensor{state.name, ElementTypeOf(logical.dtype), logical.shape, executor.state(index).data, nullptr};
  if (executor.device().SharesMemoryWithHost()) return tensor;
  tensor.data = nullptr;
  tensor.make = [&executor, index, size = ByteCount(logical)]() -> StatusOr<std::vector<std::byte>> {
    std::vector<std::byte> bytes;
    RETURN_IF_ERROR(executor.ReadState(index, [&](const TensorView& from) {
      bytes.assign(from.as<std::byte>(), from.as<std::byte>() + size);
      return OkStatus();
    }));
    return bytes;
  };
  return tensor;
}

Status LoadState(const StoredTensor& stored, Executor& executor, int index) {
  const plan::StateT& state = *executor.plan().states[index];
  const Type logical = LogicalTypeOf(state);
  if (stored.type != ElementTypeOf(logical.dtype) || stored.shape != logical.shape) {
    return InvalidArgument(state.name, " is ", ShapeText(stored.shape), ", the plan has ", ShapeText(logical.shape),
                           "; it is a checkpoint of another model");
  }
  return executor.WriteState(index, [&](const TensorView& to) {
    std::byte* const data = to.as<std::byte>();
    std::fill(std::copy(stored.bytes.begin(), stored.bytes.end(), data), data + to.bytes(), std::byte{0});
    return OkStatus();
  });
}

std::string ConfigJson(const plan::PlanT& plan, int eot, ElementType type) {
  if (plan.model == "gpt2") return Gpt2ConfigJson(plan, eot, type);
  json config = {{"model_type", plan.model}, {"torch_dtype", std::string(TorchName(type))}};
  if (eot >= 0) config["eos_token_id"] = eot;
  for (const auto& item : plan.config) {
    const AttributeValue value = ValueOf(*item);
    std::visit(
        [&]<typename T>(const T& held) {
          if constexpr (std::is_same_v<T, DType>) {
            config[item->name] = std::string(NameOf(held));
          } else {
            config[item->name] = held;
          }
        },
        value);
  }
  return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace gptc
