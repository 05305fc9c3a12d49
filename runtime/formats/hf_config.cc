#include "runtime/formats/hf_config.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();

// Foreign name, ours. The first foreign name of each of ours is the one that is written.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kActivations = {
    {{"gelu_new", "gelu_tanh"},
     {"gelu_pytorch_tanh", "gelu_tanh"},
     {"gelu_fast", "gelu_tanh"},
     {"gelu", "gelu_erf"},
     {"relu", "relu"}}};

// Reads members of one JSON object; a key that is missing or null keeps the default.
class Reader {
 public:
  Reader(const Json& json, std::string_view where) : json_(json), where_(where) {}

  Status Integer(const char* key, int64_t least, int64_t& value) const {
    const Json* member = Find(key);
    if (member == nullptr) return OkStatus();
    bool fits =
        member->is_number_integer() && (!member->is_number_unsigned() || member->get<uint64_t>() <= uint64_t{kMaxSize});
    if (!fits || member->get<int64_t>() < least || member->get<int64_t>() > kMaxSize) {
      return InvalidArgument(where_, ": ", key, " must be a whole number from ", least, " to ", kMaxSize, ", not ",
                             Text(*member));
    }
    value = member->get<int64_t>();
    return OkStatus();
  }
  Status Real(const char* key, double least, double below, double& value) const {
    const Json* member = Find(key);
    if (member == nullptr) return OkStatus();
    double real = member->is_number() ? member->get<double>() : std::nan("");
    if (!(real >= least && real < below)) {
      return InvalidArgument(where_, ": ", key, " must be a number from ", least, " to below ", below, ", not ",
                             Text(*member));
    }
    value = real;
    return OkStatus();
  }
  Status Boolean(const char* key, bool& value) const {
    const Json* member = Find(key);
    if (member == nullptr) return OkStatus();
    if (!member->is_boolean()) return InvalidArgument(where_, ": ", key, " must be true or false, not ", Text(*member));
    value = member->get<bool>();
    return OkStatus();
  }
  Status String(const char* key, std::string& value) const {
    const Json* member = Find(key);
    if (member == nullptr) return OkStatus();
    if (!member->is_string()) return InvalidArgument(where_, ": ", key, " must be a string, not ", Text(*member));
    value = member->get<std::string>();
    return OkStatus();
  }
  Status TokenId(const char* key, std::optional<int64_t>& value) const {
    if (Find(key) == nullptr) return OkStatus();
    int64_t id = 0;
    RETURN_IF_ERROR(Integer(key, 0, id));
    value = id;
    return OkStatus();
  }

 private:
  const Json* Find(const char* key) const {
    auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  static std::string Text(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60);
  }

  const Json& json_;
  std::string_view where_;
};

}  // namespace

StatusOr<HfConfig> ParseHfConfig(std::string_view text, std::string_view where) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return DataLoss(where, ": not a JSON object; a model's config.json is expected");
  Reader reader(json, where);
  std::string type = "gpt2", activation = "gelu_new";
  RETURN_IF_ERROR(reader.String("model_type", type));
  if (type != "gpt2") return InvalidArgument(where, ": model_type is '", type, "'; only gpt2 is supported");
  HfConfig config;
  RETURN_IF_ERROR(reader.Integer("vocab_size", 1, config.vocab));
  if (!json.contains("n_positions")) RETURN_IF_ERROR(reader.Integer("n_ctx", 1, config.context));
  RETURN_IF_ERROR(reader.Integer("n_positions", 1, config.context));
  RETURN_IF_ERROR(reader.Integer("n_embd", 1, config.width));
  RETURN_IF_ERROR(reader.Integer("n_layer", 1, config.layers));
  RETURN_IF_ERROR(reader.Integer("n_head", 1, config.heads));
  config.inner = 4 * config.width;
  RETURN_IF_ERROR(reader.Integer("n_inner", 1, config.inner));
  RETURN_IF_ERROR(reader.Real("layer_norm_epsilon", 0, 1, config.epsilon));
  RETURN_IF_ERROR(reader.Boolean("tie_word_embeddings", config.tied));
  RETURN_IF_ERROR(reader.Real("resid_pdrop", 0, 1, config.residual_dropout));
  RETURN_IF_ERROR(reader.Real("embd_pdrop", 0, 1, config.embedding_dropout));
  RETURN_IF_ERROR(reader.Real("attn_pdrop", 0, 1, config.attention_dropout));
  RETURN_IF_ERROR(reader.TokenId("bos_token_id", config.bos));
  RETURN_IF_ERROR(reader.TokenId("eos_token_id", config.eos));
  if (config.width % config.heads != 0) {
    return InvalidArgument(where, ": n_embd ", config.width, " is not a multiple of n_head ", config.heads);
  }

  RETURN_IF_ERROR(reader.String("activation_function", activation));
  config.activation.clear();
  for (const auto& [foreign, ours] : kActivations) {
    if (foreign == activation) config.activation = ours;
  }
  if (config.activation.empty()) {
    return InvalidArgument(where, ": activation_function '", activation,
                           "' is not supported (gelu_new, gelu_pytorch_tanh, gelu and relu are)");
  }

  bool scaled = true, by_layer = false, cross = false;
  RETURN_IF_ERROR(reader.Boolean("scale_attn_weights", scaled));
  RETURN_IF_ERROR(reader.Boolean("scale_attn_by_inverse_layer_idx", by_layer));
  RETURN_IF_ERROR(reader.Boolean("add_cross_attention", cross));
  if (!scaled || by_layer || cross) {
    return InvalidArgument(where, ": ",
                           !scaled    ? "scale_attn_weights = false"
                           : by_layer ? "scale_attn_by_inverse_layer_idx"
                                      : "add_cross_attention",
                           " is not supported");
  }
  return config;
}

StatusOr<HfConfig> ReadHfConfig(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, 1 << 20));
  return ParseHfConfig(text, Cat("'", path, "'"));
}

std::string WriteHfConfig(const HfConfig& config, std::string_view torch_dtype) {
  std::string activation = "gelu_new";
  for (const auto& [foreign, ours] : kActivations) {
    if (ours == config.activation) {
      activation = foreign;
      break;
    }
  }
  auto id = [](std::optional<int64_t> token) { return token ? Json(*token) : Json(nullptr); };
  Json json = {
      {"architectures", {"GPT2LMHeadModel"}},
      {"model_type", "gpt2"},
      {"vocab_size", config.vocab},
      {"n_positions", config.context},
      {"n_ctx", config.context},
      {"n_embd", config.width},
      {"n_layer", config.layers},
      {"n_head", config.heads},
      {"n_inner", config.inner == 4 * config.width ? Json(nullptr) : Json(config.inner)},
      {"activation_function", activation},
      {"layer_norm_epsilon", config.epsilon},
      {"tie_word_embeddings", config.tied},
      {"resid_pdrop", config.residual_dropout},
      {"embd_pdrop", config.embedding_dropout},
      {"attn_pdrop", config.attention_dropout},
      {"bos_token_id", id(config.bos)},
      {"eos_token_id", id(config.eos)},
      {"initializer_range", 0.02},
      {"torch_dtype", std::string(torch_dtype)},
      {"use_cache", true},
  };
  return json.dump(2) + "\n";
}

}  // namespace gptc
