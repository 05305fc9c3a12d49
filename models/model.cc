#include "models/model.h"

#include <algorithm>
#include <charconv>

#include "ir/base/check.h"

namespace gptc {
namespace {

template <typename T>
const T& Get(const Config& config, std::string_view key) {
  for (const auto& [name, value] : config) {
    if (name == key && std::holds_alternative<T>(value)) return std::get<T>(value);
  }
  CHECK(false, "configuration has no ", key);
  static const T none{};
  return none;
}

std::string ValueText(const ConfigValue& value) {
  return std::visit(
      []<typename T>(const T& item) -> std::string {
        if constexpr (std::is_same_v<T, bool>) return item ? "true" : "false";
        if constexpr (std::is_same_v<T, double>) return ShortestDouble(item);
        return Cat(item);
      },
      value);
}

template <typename T>
bool ParseNumber(const std::string& text, T& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

StatusOr<ConfigValue> ParseSetting(const Setting& setting, const std::string& text) {
  auto wrong = [&](std::string_view expected) {
    return UsageError("--set ", setting.name, "=", text, ": expected ", expected, " (", setting.summary, "; default ",
                      ValueText(setting.value), ")");
  };
  if (std::holds_alternative<bool>(setting.value)) {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    return wrong("true or false");
  }
  if (std::holds_alternative<int64_t>(setting.value)) {
    int64_t number;
    if (!ParseNumber(text, number) || static_cast<double>(number) < setting.least || number > int64_t{1} << 31) {
      return wrong(Cat("a whole number of at least ", static_cast<int64_t>(setting.least)));
    }
    return number;
  }
  if (std::holds_alternative<double>(setting.value)) {
    double number;
    if (!ParseNumber(text, number) || !(number >= setting.least))
      return wrong(Cat("a number of at least ", setting.least));
    return number;
  }
  if (!setting.choices.empty() &&
      std::find(setting.choices.begin(), setting.choices.end(), text) == setting.choices.end()) {
    std::string near = Nearest(text, setting.choices);
    return wrong(Cat("one of ", Join(setting.choices, ", "), near.empty() ? "" : Cat("; did you mean ", near, "?")));
  }
  return text;
}

void Put(Config& config, const std::string& key, ConfigValue value) {
  for (auto& [name, old] : config) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
}

}  // namespace

std::span<const Model> Models() {
  static const auto* models = new std::vector<Model>{Gpt2Model(), BigramModel()};
  return *models;
}

StatusOr<const Model*> ModelNamed(std::string_view name) {
  std::vector<std::string> names;
  for (const Model& model : Models()) {
    if (model.name == name) return &model;
    names.push_back(model.name);
  }
  std::string near = Nearest(name, names);
  return UsageError("no model is called '", name, "'", near.empty() ? "" : Cat("; did you mean '", near, "'?"),
                    " (there are ", Join(names, ", "), ")");
}

StatusOr<Config> MakeConfig(const Model& model, std::string_view preset,
                            std::span<const std::pair<std::string, std::string>> settings) {
  Config config;
  std::vector<std::string> names;
  for (const Setting& setting : model.settings) {
    config.emplace_back(setting.name, setting.value);
    names.push_back(setting.name);
  }
  if (!preset.empty()) {
    auto at = std::find_if(model.presets.begin(), model.presets.end(),
                           [&](const Preset& each) { return each.name == preset; });
    if (at == model.presets.end()) {
      return UsageError("--preset ", preset, ": ", model.name, " has ",
                        Join(model.presets, ", ", [](const Preset& each) { return each.name; }));
    }
    for (const auto& [key, value] : at->config) Put(config, key, value);
  }
  for (const auto& [key, text] : settings) {
    auto at = std::find_if(model.settings.begin(), model.settings.end(),
                           [&](const Setting& each) { return each.name == key; });
    if (at == model.settings.end()) {
      std::string near = Nearest(key, names);
      return UsageError("--set ", key, ": ", model.name, " has no such setting",
                        near.empty() ? "" : Cat("; did you mean '", near, "'?"), " (settings: ", Join(names, ", "),
                        ")");
    }
    ASSIGN_OR_RETURN(ConfigValue value, ParseSetting(*at, text));
    Put(config, key, std::move(value));
  }
  return config;
}

int64_t IntOf(const Config& config, std::string_view key) { return Get<int64_t>(config, key); }
double DoubleOf(const Config& config, std::string_view key) { return Get<double>(config, key); }
bool BoolOf(const Config& config, std::string_view key) { return Get<bool>(config, key); }
const std::string& StringOf(const Config& config, std::string_view key) { return Get<std::string>(config, key); }

}  // namespace gptc
