// compare OLD.json NEW.json: which rows of a benchmark really changed. Exit code 1 where one became worse.
#include <cstdio>

#include "CLI/CLI.hpp"
#include "bench/lib/compare_results.h"
#include "frontends/common/terminal.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

StatusOr<Json> ReadJson(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return InvalidArgument(path, " is no JSON");
  return json;
}

StatusOr<int> Compare(const std::string& before, const std::string& after, const CompareOptions& options,
                      bool as_json) {
  ASSIGN_OR_RETURN(const Json old_file, ReadJson(before));
  ASSIGN_OR_RETURN(const Json new_file, ReadJson(after));
  ASSIGN_OR_RETURN(const Comparison comparison, CompareResults(old_file, new_file, options));
  RETURN_IF_ERROR(WriteOutput("-", as_json ? comparison.json.dump(2) + "\n" : comparison.text));
  return comparison.regressions > 0 ? 1 : 0;
}

int Main(int argc, char** argv) {
  std::string before, after;
  CompareOptions options;
  bool as_json = false;
  CLI::App app("Tells real changes between two files of results from noise (Mann-Whitney, Hodges-Lehmann)");
  app.add_option("old", before, "What bench/fusion or bench/peers wrote before")->required();
  app.add_option("new", after, "And now")->required();
  app.add_option("--threshold", options.threshold, "A smaller change is none")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  app.add_option("--confidence", options.confidence, "Of each row's interval")
      ->check(CLI::Range(0.5, 0.9999))
      ->capture_default_str();
  app.add_flag("--ratios", options.ratios,
               "Compare what passes gain (on over off), which a machine's pace does not change");
  app.add_flag("--json", as_json, "As JSON");
  app.footer(
      "Exit code: 0; 1 where a row became slower, or its counts larger, beyond the threshold; 2 usage; 3 bad files\n"
      "Example:\n  bench/compare bench/results/before.json after.json --threshold 0.02");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "compare: error: %s\n", error.what());
    return 2;
  }
  const StatusOr<int> code = Compare(before, after, options, as_json);
  if (code.ok()) return *code;
  std::fprintf(stderr, "compare: error: %s\n", Message(code.status()).c_str());
  return ExitCode(code.status());
}

}  // namespace
}  // namespace gptc

int main(int argc, char** argv) { return gptc::Main(argc, argv); }
