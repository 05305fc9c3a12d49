#include "frontends/common/settings.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "runtime/formats/files.h"
#include "toml++/toml.h"

namespace gptc {
namespace {

// One TOML value that a flag or positional is given.
struct Setting {
  std::vector<std::string> values;
  bool boolean = false;
  std::string origin;
};

std::string LongName(const CLI::Option& option) {
  return option.get_lnames().empty() ? std::string() : option.get_lnames().front();
}

bool IsFlag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

const CLI::Option* FindLong(const CLI::App& app, const std::string& name) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->check_lname(name)) return option;
  }
  return nullptr;
}

const CLI::Option* FindShort(const CLI::App& app, char letter) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->check_sname(std::string(1, letter))) return option;
  }
  return nullptr;
}

// Every name that a user may write, with `prefix` in front of the flags.
std::vector<std::string> Names(const CLI::App& app, std::string_view prefix) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(Cat(prefix, name));
  }
  return names;
}

std::string DidYouMean(std::string_view word, std::span<const std::string> candidates) {
  std::string nearest = Nearest(word, candidates);
  return nearest.empty() ? std::string() : Cat("; did you mean ", nearest, "?");
}

// What the words of the command line hold.
struct Seen {
  std::set<const CLI::Option*> options;
  bool positionals = false;
  std::string config;
  std::vector<std::string> words;  // the same words, `--name=` spelt as two, since CLI11 reads it as no value at all
};

StatusOr<Seen> Walk(const CLI::App& app, std::span<const std::string> words) {
  Seen seen;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      seen.positionals |= i + 1 < words.size();
      seen.words.insert(seen.words.end(), words.begin() + i, words.end());
      break;
    }
    if (word.size() < 2 || word[0] != '-' || std::isdigit(static_cast<unsigned char>(word[1])) || word[1] == '.') {
      seen.positionals = true;
      seen.words.push_back(word);
      continue;
    }
    const CLI::Option* option = nullptr;
    bool attached = false;  // the value is part of this word
    std::string value;
    if (word[1] == '-') {
      size_t equals = word.find('=');
      std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
      option = FindLong(app, name);
      if (option == nullptr) {
        std::string flag = Cat("--", name);
        return UsageError("unknown flag ", flag, DidYouMean(flag, Names(app, "--")), " (", app.get_name(),
                          " --help lists them)");
      }
      if (equals != std::string::npos) {
        attached = true;
        value = word.substr(equals + 1);
      }
      if (attached && value.empty() && !IsFlag(*option)) {
        seen.words.push_back(Cat("--", name));
        seen.words.emplace_back();
      } else {
        seen.words.push_back(word);
      }
    } else {
      for (size_t at = 1; at < word.size() && !attached; ++at) {  // -vq, -ofile
        option = FindShort(app, word[at]);
        if (option == nullptr) {
          return UsageError("unknown flag -", word.substr(at, 1), " in '", word, "' (", app.get_name(),
                            " --help lists them)");
        }
        seen.options.insert(option);
        if (!IsFlag(*option) && at + 1 < word.size()) {
          attached = true;
          value = word.substr(at + 1);
        }
      }
      seen.words.push_back(word);
    }
    seen.options.insert(option);
    if (!attached && !IsFlag(*option) && option->get_items_expected_min() > 0 && i + 1 < words.size()) {
      value = words[++i];
      seen.words.push_back(value);
    }
    if (LongName(*option) == "config") seen.config = value;
  }
  return seen;
}

StatusOr<std::string> ScalarText(const toml::node& node, std::string_view where) {
  if (auto text = node.as_string()) return text->get();
  if (auto integer = node.as_integer()) return Cat(integer->get());
  if (auto real = node.as_floating_point()) return ShortestDouble(real->get());
  if (auto boolean = node.as_boolean()) return std::string(boolean->get() ? "true" : "false");
  return UsageError(where, ": a value must be a string, a number, true or false, or an array of those");
}

// Reads the keys of `table` into `settings`, by option.
Status ReadTable(const CLI::App& app, const toml::table& table, const std::string& file, bool top,
                 std::span<const std::string> other_commands, std::map<const CLI::Option*, Setting>& settings) {
  for (const auto& [key, node] : table) {
    std::string name(key.str());
    std::string where = Cat(file, ":", node.source().begin.line ? node.source().begin.line : key.source().begin.line);
    if (const toml::table* inner = node.as_table()) {
      bool others = top && std::find(other_commands.begin(), other_commands.end(), name) != other_commands.end();
      if (!others) RETURN_IF_ERROR(ReadTable(app, *inner, file, false, other_commands, settings));
      continue;
    }
    std::replace(name.begin(), name.end(), '_', '-');
    const CLI::Option* option = FindLong(app, name);
    std::vector<std::string> names = Names(app, "");
    for (const CLI::Option* candidate : app.get_options()) {
      if (!candidate->get_positional()) continue;
      std::string positional = candidate->get_name(true, false);
      names.push_back(positional);
      if (option == nullptr && (positional == name || positional == key.str())) option = candidate;
    }
    if (option == nullptr || name == "help" || name == "config") {
      return UsageError(where, ": unknown key '", std::string_view(key.str()), "'", DidYouMean(name, names),
                        " (keys are the flags of ", app.get_name(), ")");
    }
    Setting setting{.boolean = node.is_boolean(), .origin = where};
    if (const toml::array* array = node.as_array()) {
      for (const toml::node& item : *array) {
        ASSIGN_OR_RETURN(std::string value, ScalarText(item, where));
        setting.values.push_back(std::move(value));
      }
    } else {
      ASSIGN_OR_RETURN(std::string value, ScalarText(node, where));
      setting.values.push_back(std::move(value));
    }
    if (!settings.emplace(option, std::move(setting)).second)
      return UsageError(where, ": '", std::string_view(key.str()), "' is given twice");
  }
  return OkStatus();
}

StatusOr<std::map<const CLI::Option*, Setting>> ReadConfig(const CLI::App& app, const std::string& file,
                                                           std::span<const std::string> other_commands) {
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(file));
  std::map<const CLI::Option*, Setting> settings;
  try {
    toml::table table = toml::parse(text, file);
    RETURN_IF_ERROR(ReadTable(app, table, file, true, other_commands, settings));
  } catch (const toml::parse_error& error) {
    return UsageError(file, ":", error.source().begin.line, ":", error.source().begin.column, ": ",
                      std::string_view(error.description()));
  }
  return settings;
}

// Spells `values` for `option` as words.
void AppendWords(const CLI::Option& option, const std::vector<std::string>& values, bool boolean,
                 std::vector<std::string>& words) {
  std::string flag = Cat("--", LongName(option));
  for (const std::string& value : values) {
    if (IsFlag(option)) {
      words.push_back(Cat(flag, "=", value));
    } else if (option.get_items_expected_min() == 0 && boolean) {  // an optional value: true is the bare flag
      if (value == "true") words.push_back(flag);
    } else if (option.get_items_expected_min() == 0) {
      words.push_back(Cat(flag, "=", value));
    } else {
      words.push_back(flag);
      words.push_back(value);
    }
  }
}

}  // namespace

std::string EnvironmentName(std::string_view long_name) {
  std::string name = "GPTC_";
  for (char c : long_name.substr(long_name.starts_with("--") ? 2 : 0)) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

StatusOr<Arguments> GatherArguments(const CLI::App& app, std::span<const std::string> words,
                                    std::span<const std::string> other_commands, const Environment& environment) {
  ASSIGN_OR_RETURN(Seen seen, Walk(app, words));
  auto variable = [&](const CLI::Option& option) -> std::optional<std::string> {
    if (LongName(option).empty() || LongName(option) == "help") return std::nullopt;
    auto value = environment(EnvironmentName(LongName(option)));
    return value && value->empty() ? std::nullopt : value;
  };
  const CLI::Option* config = FindLong(app, "config");
  if (config != nullptr && seen.config.empty()) seen.config = variable(*config).value_or("");
  std::map<const CLI::Option*, Setting> settings;
  if (!seen.config.empty()) {
    ASSIGN_OR_RETURN(settings, ReadConfig(app, seen.config, other_commands));
  }

  Arguments result;
  std::vector<std::string> positionals;
  for (const CLI::Option* option : app.get_options()) {
    if (option == config || seen.options.contains(option)) continue;
    auto setting = settings.find(option);
    if (LongName(*option).empty()) {  // a positional
      if (!seen.positionals && setting != settings.end()) {
        positionals.insert(positionals.end(), setting->second.values.begin(), setting->second.values.end());
      }
      continue;
    }
    std::string flag = Cat("--", LongName(*option));
    if (auto value = variable(*option)) {
      AppendWords(*option, {*value}, *value == "true" || *value == "false", result.words);
      result.origins[flag] = EnvironmentName(flag);
    } else if (setting != settings.end()) {
      AppendWords(*option, setting->second.values, setting->second.boolean, result.words);
      result.origins[flag] = setting->second.origin;
    }
  }
  // In front: a last flag that lacks its value must not swallow them, and after "--" they would be positionals.
  result.words.insert(result.words.end(), seen.words.begin(), seen.words.end());
  if (!positionals.empty()) {
    auto end = std::find(result.words.begin(), result.words.end(), "--");
    if (end == result.words.end()) end = result.words.insert(end, "--");
    result.words.insert(end + 1, positionals.begin(), positionals.end());
  }
  return result;
}

}  // namespace gptc
