// The order in which folders may know each other: every #include line of the sources and every link
// dependency in the CMakeLists is held against the table below. Tests may include what they like.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "ir/base/text.h"

namespace gptc {
namespace {

namespace fs = std::filesystem;

struct Folder {
  std::string path;
  std::vector<std::string> may_know;  // folders, each without its own entries of this table
};

// A file belongs to the entry with the longest path that it begins with. Every folder knows itself.
const std::vector<Folder>& Order() {
  static const std::vector<Folder> order = [] {
    // Leaves, for both sides.
    std::vector<Folder> all = {
        {"ir/base", {}},
        {"ir/ops", {"ir/base"}},
        {"runtime/plan", {"ir/base"}},
        {"runtime/formats", {"ir/base"}},
        {"runtime/data/tokenizer", {"ir/base", "runtime/formats"}},
    };
    // The compiler: autodiff, passes and models are siblings.
    all.push_back({"ir", {"ir/base"}});
    all.push_back({"autodiff", {"ir/base", "ir"}});
    all.push_back({"passes", {"ir/base", "ir", "runtime/plan"}});
    all.push_back({"models", {"ir/base", "ir"}});
    all.push_back({"frontends/common", {"ir/base", "runtime/formats"}});
    all.push_back({"frontends/gptc",
                   {"ir/base", "ir", "autodiff", "passes", "models", "frontends/common", "runtime/plan",
                    "runtime/formats", "runtime/data/tokenizer"}});
    // The runtime: of the compiler it knows ir/base alone.
    std::vector<std::string> leaves = {"ir/base", "runtime/plan", "runtime/formats", "runtime/data/tokenizer"};
    auto with = [&](std::vector<std::string> more) {
      more.insert(more.end(), leaves.begin(), leaves.end());
      return more;
    };
    all.push_back({"runtime/exec", {"ir/base", "runtime/plan"}});
    all.push_back({"runtime/cpu", {"ir/base", "runtime/plan", "runtime/exec"}});
    all.push_back({"runtime/cuda", {"ir/base", "runtime/plan", "runtime/exec"}});
    all.push_back({"runtime/devices", {"ir/base", "runtime/plan", "runtime/exec", "runtime/cpu", "runtime/cuda"}});
    all.push_back({"runtime/data", {"ir/base", "runtime/formats", "runtime/data/tokenizer"}});
    all.push_back({"runtime/generate", with({"runtime/exec", "runtime/cpu"})});
    all.push_back({"runtime/train",
                   with({"runtime/exec", "runtime/cpu", "runtime/devices", "runtime/data", "runtime/generate"})});
    all.push_back({"runtime", with({"runtime/exec"})});  // further devices and communication
    all.push_back({"frontends", with({"frontends/common", "runtime/exec", "runtime/cpu", "runtime/devices",
                                      "runtime/data", "runtime/generate", "runtime/train", "runtime"})});
    // Benchmarks stand on both sides, as tests do; nothing stands on them.
    std::vector<std::string> everything;
    for (const Folder& folder : all) everything.push_back(folder.path);
    all.push_back({"bench", everything});
    return all;
  }();
  return order;
}

const Folder* FolderOf(std::string_view path) {
  const Folder* best = nullptr;
  for (const Folder& folder : Order()) {
    if (path.starts_with(Cat(folder.path, "/")) && (best == nullptr || folder.path.size() > best->path.size()))
      best = &folder;
  }
  return best;
}

// "" or why `from` must not know `to`.
std::string Objection(const Folder& from, const Folder* to) {
  if (to == nullptr || to->path == from.path) return "";
  if (std::find(from.may_know.begin(), from.may_know.end(), to->path) != from.may_know.end()) return "";
  return Cat(from.path, " must not know ", to->path, "; it may know ",
             from.may_know.empty() ? "nothing" : Join(from.may_know, ", "));
}

bool IsTest(const std::string& path) {
  return path.ends_with("_test.cc") || path.ends_with("_for_test.h") || path.find("/testing/") != std::string::npos;
}

std::vector<std::string> FilesBelow(const std::string& folder) {
  std::vector<std::string> files;
  const fs::path root = GPTC_SOURCE_DIR;
  if (!fs::exists(root / folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), root).generic_string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> ProjectFiles() {
  std::vector<std::string> files;
  for (const char* top : {"ir", "autodiff", "passes", "models", "runtime", "frontends", "bench"}) {
    std::vector<std::string> below = FilesBelow(top);
    files.insert(files.end(), below.begin(), below.end());
  }
  return files;
}

// Calls see(line number, the folder and file that an #include "..." names) for every line of a file.
template <typename See>
void ForEachInclude(const std::string& path, See see) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*"([^"]+)\")");
  std::ifstream file(fs::path(GPTC_SOURCE_DIR) / path);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) see(number, match[1].str());
  }
}

TEST(Architecture, IncludesFollowTheOrderOfFolders) {
  int seen = 0;
  for (const std::string& path : ProjectFiles()) {
    if (!(path.ends_with(".cc") || path.ends_with(".h") || path.ends_with(".cu") || path.ends_with(".cuh")) ||
        IsTest(path))
      continue;
    const Folder* from = FolderOf(path);
    ASSERT_NE(from, nullptr) << path << " belongs to no folder of the table";
    ForEachInclude(path, [&](int line, const std::string& included) {
      ++seen;
      std::string objection = Objection(*from, FolderOf(included));
      EXPECT_TRUE(objection.empty()) << path << ":" << line << ": #include \"" << included << "\": " << objection;
    });
  }
  EXPECT_GT(seen, 300);
}

TEST(Architecture, IncludesNameFilesFromTheRoot) {
  for (const std::string& path : ProjectFiles()) {
    if (!path.ends_with(".cc") && !path.ends_with(".h")) continue;
    ForEachInclude(path, [&](int line, const std::string& included) {
      std::string top = included.substr(0, included.find('/'));
      bool ours = top != included && fs::is_directory(fs::path(GPTC_SOURCE_DIR) / top);
      EXPECT_TRUE(!ours || fs::exists(fs::path(GPTC_SOURCE_DIR) / included))
          << path << ":" << line << ": there is no " << included;
      EXPECT_EQ(included.find(".."), std::string::npos) << path << ":" << line << ": " << included;
    });
  }
}

struct Target {
  std::string file;  // the CMakeLists.txt
  int line = 0;
  std::vector<std::string> dependencies;
};

// The libraries that gptc_library makes, by name.
std::map<std::string, Target> Libraries() {
  std::map<std::string, Target> targets;
  static const std::regex kLibrary(R"(gptc_library\(\s*(\w+)([^)]*)\))");
  for (const std::string& path : ProjectFiles()) {
    if (!path.ends_with("CMakeLists.txt") || IsTest(path)) continue;
    std::ifstream file(fs::path(GPTC_SOURCE_DIR) / path);
    std::stringstream text;
    text << file.rdbuf();
    const std::string all = text.str();
    for (auto at = std::sregex_iterator(all.begin(), all.end(), kLibrary); at != std::sregex_iterator(); ++at) {
      Target target{path, static_cast<int>(1 + std::count(all.begin(), all.begin() + at->position(), '\n')), {}};
      std::istringstream words((*at)[2].str());
      bool dependencies = false;
      for (std::string word; words >> word;) {
        if (word == "DEPS" || word == "SUBFOLDERS") {
          dependencies = word == "DEPS";
        } else if (dependencies) {
          target.dependencies.push_back(word);
        }
      }
      targets.emplace((*at)[1].str(), std::move(target));
    }
  }
  return targets;
}

TEST(Architecture, LinksFollowTheOrderOfFolders) {
  const std::map<std::string, Target> targets = Libraries();
  EXPECT_GT(targets.size(), 10u);
  for (const auto& [name, target] : targets) {
    const Folder* from = FolderOf(target.file);
    ASSERT_NE(from, nullptr) << target.file;
    for (const std::string& dependency : target.dependencies) {
      auto at = targets.find(dependency);
      if (at == targets.end()) continue;  // not ours
      const Folder* to = FolderOf(at->second.file);
      // The shape rules, which ir/base/infer.h declares.
      if (to->path == "ir/ops" && (from->path == "ir" || from->path == "runtime/plan")) continue;
      std::string objection = Objection(*from, to);
      EXPECT_TRUE(objection.empty()) << target.file << ":" << target.line << ": " << name << " links " << dependency
                                     << ": " << objection;
    }
  }
}

// What the runtime's program is linked from, through all steps.
TEST(Architecture, TheRuntimeLinksNothingOfTheCompiler) {
  const std::map<std::string, Target> targets = Libraries();
  ASSERT_TRUE(targets.contains("gptrun_commands"));
  std::vector<std::string> open = {"gptrun_commands"}, reached = open;
  while (!open.empty()) {
    std::string name = open.back();
    open.pop_back();
    for (const std::string& dependency : targets.at(name).dependencies) {
      if (!targets.contains(dependency) || std::find(reached.begin(), reached.end(), dependency) != reached.end())
        continue;
      EXPECT_TRUE(dependency != "ir" && dependency != "autodiff" && dependency != "passes" && dependency != "models" &&
                  dependency != "gptc_commands")
          << name << " links " << dependency;
      reached.push_back(dependency);
      open.push_back(dependency);
    }
  }
  EXPECT_GT(reached.size(), 5u);
}

TEST(Architecture, TheTableIsInOrder) {
  EXPECT_EQ(FolderOf("runtime/data/tokenizer/bpe.cc")->path, "runtime/data/tokenizer");
  EXPECT_EQ(FolderOf("runtime/data/loader.h")->path, "runtime/data");
  EXPECT_EQ(FolderOf("gtest/gtest.h"), nullptr);
  EXPECT_NE(Objection(*FolderOf("runtime/exec/a.cc"), FolderOf("ir/graph.h")), "");
  EXPECT_NE(Objection(*FolderOf("autodiff/a.cc"), FolderOf("passes/pass.h")), "");
  EXPECT_EQ(Objection(*FolderOf("passes/a.cc"), FolderOf("runtime/plan/plan.h")), "");
  EXPECT_NE(Objection(*FolderOf("passes/a.cc"), FolderOf("runtime/exec/kernel.h")), "");
}

}  // namespace
}  // namespace gptc
