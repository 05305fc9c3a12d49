// The models that gptc knows by name. Each is one file that declares its parameters and graphs in the C++ DSL.
#ifndef GPTC_MODELS_MODEL_H_
#define GPTC_MODELS_MODEL_H_

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// One thing that can be set about a model. The default's type is the setting's.
struct Setting {
  std::string name;
  ConfigValue value;  // default
  std::string summary;
  double least = 0;                  // of numbers
  std::vector<std::string> choices;  // of strings; empty: any
};

using Config = std::vector<std::pair<std::string, ConfigValue>>;

struct Preset {
  std::string name;  // "124M"
  Config config;     // what differs from the defaults
};

struct Model {
  std::string name;
  std::string summary;
  std::vector<Setting> settings;
  std::vector<Preset> presets;
  // A module with the graphs train, score, prefill and decode. The configuration is complete and each value valid by
  // itself; what does not fit together (width not a multiple of heads) is InvalidArgument.
  StatusOr<Module> (*build)(const Config& config);
};

// All models, gpt2 first.
std::span<const Model> Models();
// UsageError with a suggestion where there is none.
StatusOr<const Model*> ModelNamed(std::string_view name);

// Defaults, then the preset (where not empty), then `settings` as (key, text) pairs in order. UsageError names a key
// that does not exist (with the nearest that does), a text that is no value of the key's type, or a value out of range.
StatusOr<Config> MakeConfig(const Model& model, std::string_view preset,
                            std::span<const std::pair<std::string, std::string>> settings);

// A value of a complete configuration.
int64_t IntOf(const Config& config, std::string_view key);
double DoubleOf(const Config& config, std::string_view key);
bool BoolOf(const Config& config, std::string_view key);
const std::string& StringOf(const Config& config, std::string_view key);

// Defined by the models' files.
Model Gpt2Model();
Model BigramModel();

}  // namespace gptc

#endif  // GPTC_MODELS_MODEL_H_
