#include "frontends/common/command.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <sstream>
#include <system_error>
#include <utility>

#include "frontends/common/settings.h"
#include "frontends/common/terminal.h"
#include "toml++/toml.h"

namespace gptc {
namespace {

constexpr const char* kCommonGroup = "Common";

std::optional<std::string> FromEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// Help without CLI11's double blank lines, names and types in one column.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(32);
    label("TEXT", "TEXT");
    label("REQUIRED", "(required)");
    label("Positionals", "Arguments");
  }
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    return text;
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (option->get_type_size() != 0) {
      if (!option->get_type_name().empty()) text = Cat(" ", option->get_type_name());
      const std::string default_text = option->get_default_str();
      if (!default_text.empty() && default_text != "[]") text += Cat(" [", default_text, "]");
      if (option->get_expected_max() == CLI::detail::expected_max_vector_size) text += " ...";
      if (option->get_required()) text += Cat(" ", get_label("REQUIRED"));
    }
    return text;
  }
};

struct CommonFlags {
  bool verbose = false;
  bool quiet = false;
  std::string config;
};

// Declares `command` on `app`, with what all commands have.
void Prepare(const ProgramInfo& program, Subcommand& command, CLI::App& app, CommonFlags& common) {
  app.name(Cat(program.name, " ", command.name()));
  app.description(command.summary());
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag();
  app.option_defaults()->always_capture_default(true);
  command.Declare(app);
  app.option_defaults()->group(kCommonGroup);
  app.add_option("--config", common.config,
                 "TOML file with values for these flags; GPTC_* in the environment\n(GPTC_GRAD_ACCUM for --grad-accum) "
                 "goes before it, a flag before both")
      ->type_name("FILE");
  app.add_flag("-v,--verbose", common.verbose, "say more on standard error");
  app.add_flag("-q,--quiet", common.quiet, "say nothing but errors on standard error");
  app.set_help_flag("-h,--help", "this text")->group(kCommonGroup);
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) option->allow_extra_args(false);
  }
}

// What CLI11 says, with the place the value came from where that is not the command line.
std::string ParseMessage(const CLI::App& app, const CLI::ParseError& error, const Arguments& arguments) {
  std::string message = error.what();
  if (error.get_name() == "ConversionError") {
    for (const CLI::Option* option : app.get_options()) {
      std::string name = option->get_name();
      if (message.find(Cat(" ", name, " = ")) == std::string::npos) continue;
      std::string type = option->get_type_name();
      std::string wanted = type.find("FLOAT") != std::string::npos ? "a number"
                           : type.find("INT") != std::string::npos ? "a whole number"
                           : option->get_items_expected_max() == 0 || type.find("BOOL") != std::string::npos
                               ? "true or false"
                               : type;
      message = Cat("bad value '", Join(option->results(), " "), "' for ", name, ": ", wanted, " is expected");
      break;
    }
  }
  for (const auto& [flag, origin] : arguments.origins) {
    size_t at = message.find(flag);
    if (at == std::string::npos) continue;
    size_t end = at + flag.size();
    if (end < message.size() && (std::isalnum(static_cast<unsigned char>(message[end])) || message[end] == '-'))
      continue;
    message += Cat(" (from ", origin, ")");
    break;
  }
  return message;
}

// CLI11 clamps whole numbers that are too large, reads a leading 0 as octal and lets a NaN pass: all of them are
// mistakes here.
Status CheckNumbers(const CLI::App& app, const Arguments& arguments) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    for (const std::string& value : option->results()) {
      const char* begin = value.data();
      const char* end = begin + value.size();
      int64_t integer = 0;
      uint64_t natural = 0;
      double real = 0;
      bool good = true;
      if (type == "INT")
        good =
            std::from_chars(begin, end, integer).ec == std::errc() && std::from_chars(begin, end, integer).ptr == end;
      if (type == "UINT")
        good =
            std::from_chars(begin, end, natural).ec == std::errc() && std::from_chars(begin, end, natural).ptr == end;
      if (type == "FLOAT") good = std::from_chars(begin, end, real).ec != std::errc() || !std::isnan(real);
      if (type == "INT" || type == "UINT") {
        size_t first = value.starts_with('-') ? 1 : 0;
        good = good && (value.size() == first + 1 || value[first] != '0');
      }
      if (good) continue;
      auto origin = arguments.origins.find(option->get_name());
      return UsageError("bad value '", value, "' for ", option->get_name(), ": ",
                        type == "FLOAT"  ? "it is not a number"
                        : type == "UINT" ? "a whole number that is not negative is expected"
                                         : "a whole number of at most 63 bits is expected",
                        origin == arguments.origins.end() ? "" : Cat(" (from ", origin->second, ")"));
    }
  }
  return OkStatus();
}

std::string ProgramHelp(const ProgramInfo& program, const std::vector<std::unique_ptr<Subcommand>>& commands) {
  std::string text = Cat(program.description, "\nUsage: ", program.name, " COMMAND [FLAGS]\n\nCommands:\n");
  size_t width = 0;
  for (const auto& command : commands) width = std::max(width, command->name().size());
  for (const auto& command : commands) {
    text += Cat("  ", command->name(), std::string(width - command->name().size() + 2, ' '), command->summary(), "\n");
  }
  text +=
      Cat("\nFlags:\n  -h, --help     this text; `", program.name,
          " COMMAND --help` lists a command's flags\n  --version      the version\n",
          "  -v, --verbose  say more on standard error\n  -q, --quiet    say nothing but errors on standard error\n");
  if (!program.example.empty()) text += Cat("\n", program.example, program.example.ends_with('\n') ? "" : "\n");
  return text;
}

Status RunCommand(const ProgramInfo& program, Subcommand& command, std::span<const std::string> words,
                  const std::vector<std::string>& names) {
  CLI::App app;
  CommonFlags common;
  Prepare(program, command, app, common);
  std::vector<std::string> others;
  for (const std::string& name : names) {
    if (name != command.name()) others.push_back(name);
  }
  // --help is answered whatever else is wrong.
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word == "--help" || word == "-h") return WriteOutput("-", app.help());
  }
  ASSIGN_OR_RETURN(Arguments arguments, GatherArguments(app, words, others, FromEnvironment));
  try {
    std::vector<std::string> reversed(arguments.words.rbegin(), arguments.words.rend());  // the order CLI11 wants
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return WriteOutput("-", app.help());
  } catch (const CLI::ParseError& error) {
    return UsageError(ParseMessage(app, error, arguments), " (", app.get_name(), " --help explains)");
  }
  RETURN_IF_ERROR(CheckNumbers(app, arguments));
  if (common.verbose) SetVerbosity(1);
  if (common.quiet) SetVerbosity(-1);
  return command.Run();
}

Status Dispatch(const ProgramInfo& program, const std::vector<std::unique_ptr<Subcommand>>& commands,
                std::span<const std::string> words) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command->name());
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-h" || word == "--help" || (word == "help" && i + 1 == words.size()))
      return WriteOutput("-", ProgramHelp(program, commands));
    if (word == "--version") return WriteOutput("-", Cat(program.name, " ", GPTC_VERSION, "\n"));
    if (word == "-v" || word == "--verbose") {
      SetVerbosity(1);
    } else if (word == "-q" || word == "--quiet") {
      SetVerbosity(-1);
    } else if (word.starts_with('-')) {
      static const std::vector<std::string> kFlags = {"--help", "--version", "--verbose", "--quiet"};
      std::string nearest = Nearest(word, kFlags);
      return UsageError("unknown flag ", word, nearest.empty() ? "" : Cat("; did you mean ", nearest, "?"), " (",
                        program.name, " --help lists commands and flags)");
    } else if (word != "help") {
      bool help = i > 0 && words[i - 1] == "help";
      for (const auto& command : commands) {
        if (command->name() != word) continue;
        std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
        if (help) rest = {"--help"};
        return RunCommand(program, *command, rest, names);
      }
      std::string nearest = Nearest(word, names);
      return UsageError("unknown command '", word, "'", nearest.empty() ? "" : Cat("; did you mean ", nearest, "?"),
                        " (", program.name, " --help lists them)");
    }
  }
  return UsageError("a command is missing; ", program.name, " --help lists them");
}

// A TOML value of the text that a flag was given.
void Insert(toml::table& table, const std::string& key, const CLI::Option& option,
            const std::vector<std::string>& values) {
  const std::string type = option.get_type_name();
  auto insert = [&](auto&& put) {
    for (const std::string& value : values) {
      int64_t integer = 0;
      double real = 0;
      const char* end = value.data() + value.size();
      if (option.get_items_expected_max() == 0 && (value == "true" || value == "false")) {
        put(value == "true");
      } else if (type.find("INT") != std::string::npos && std::from_chars(value.data(), end, integer).ptr == end) {
        put(integer);
      } else if (type.find("FLOAT") != std::string::npos && std::from_chars(value.data(), end, real).ptr == end) {
        put(real);
      } else {
        put(value);
      }
    }
  };
  if (option.get_expected_max() > 1) {
    toml::array array;
    insert([&](const auto& value) { array.push_back(value); });
    table.insert_or_assign(key, std::move(array));
  } else {
    insert([&](const auto& value) { table.insert_or_assign(key, value); });
  }
}

}  // namespace

int RunProgram(const ProgramInfo& program, std::vector<std::unique_ptr<Subcommand>> commands, int argc, char** argv) {
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file past the user's limit is a failed write, with a message, not a killed process
  Status status;
  try {
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    status = Dispatch(program, commands, words);
    if (status.ok() && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0))
      status = Failure("cannot write standard output");
  } catch (const std::bad_alloc&) {
    status = OutOfMemory("out of memory");
  } catch (const std::exception& error) {
    status = Failure("unexpected error: ", error.what());
  }
  if (!status.ok()) {
    std::fflush(stdout);
    std::string text = Cat(program.name, ": error: ", status.message(), "\n");
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  return ExitCode(status);
}

std::string ResolvedToml(const CLI::App& app) {
  toml::table table;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group() == kCommonGroup) continue;
    std::string key = option->get_lnames().empty() ? option->get_name(true, false) : option->get_lnames().front();
    if (option->count() > 0) {
      Insert(table, key, *option, option->results());
    } else if (!option->get_default_str().empty() && option->get_expected_max() <= 1) {
      Insert(table, key, *option, {option->get_default_str()});
    }
  }
  std::ostringstream out;
  out << "# " << app.get_name() << ": every flag as it was resolved, in the form that --config reads\n"
      << table << "\n";
  return out.str();
}

}  // namespace gptc
