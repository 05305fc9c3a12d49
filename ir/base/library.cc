#include "ir/base/library.h"

#include <dlfcn.h>
#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

namespace gptc {
namespace {

constexpr const char kOwnPath[] = "GPTC_LIB_PATH";
constexpr const char kToolkit[] = "/usr/local/cuda/lib64";

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> Folders(std::string_view path) {
  std::vector<std::string> folders;
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    if (end > 0) folders.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return folders;
}

// Where Python's packages may be installed: folders that hold lib/python3.*/{site,dist}-packages. No Python is started.
std::vector<std::string> PythonPrefixes() {
  std::vector<std::string> prefixes = {Environment("VIRTUAL_ENV"), Environment("CONDA_PREFIX")};
  if (const std::string home = Environment("HOME"); !home.empty()) prefixes.push_back(home + "/.local");
  for (const std::string& folder : Folders(Environment("PATH"))) {
    std::error_code error;
    const std::filesystem::path python = std::filesystem::path(folder) / "python3";
    if (!std::filesystem::exists(python, error)) continue;
    prefixes.push_back(std::filesystem::path(folder).parent_path().string());
    const std::filesystem::path target = std::filesystem::canonical(python, error);
    if (!error) prefixes.push_back(target.parent_path().parent_path().string());
    break;  // the one that `python3` runs
  }
  prefixes.push_back("/usr/local");
  prefixes.push_back("/usr");
  std::vector<std::string> unique;
  for (const std::string& prefix : prefixes) {
    if (!prefix.empty() && std::find(unique.begin(), unique.end(), prefix) == unique.end()) unique.push_back(prefix);
  }
  return unique;
}

std::vector<std::string> Glob(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t found = {};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

std::vector<std::string> PythonFolders() {
  std::vector<std::string> folders;
  for (const std::string& prefix : PythonPrefixes()) {
    for (const char* packages : {"/lib/python3*/site-packages", "/lib/python3*/dist-packages"}) {
      const std::vector<std::string> found = Glob(Cat(prefix, packages, "/nvidia/*/lib"));
      folders.insert(folders.end(), found.begin(), found.end());
    }
  }
  return folders;
}

}  // namespace

StatusOr<void*> OpenLibrary(std::string_view what, std::initializer_list<const char*> names) {
  std::string why;  // of the first file that was there and did not load
  const auto open_in = [&](const std::vector<std::string>& folders) -> void* {
    for (const std::string& folder : folders) {
      for (const char* name : names) {
        const std::filesystem::path path = std::filesystem::path(folder) / name;
        std::error_code error;
        if (!std::filesystem::exists(path, error)) continue;
        if (void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
        if (why.empty()) why = dlerror();
      }
    }
    return nullptr;
  };

  const std::vector<std::string> own = Folders(Environment(kOwnPath));
  if (void* const library = open_in(own)) return library;
  for (const char* name : names) {
    if (void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    // "libx.so.1: cannot open shared object file" is the plain absence; anything else is worth telling.
    const std::string error = dlerror();
    if (why.empty() && error.find(Cat(name, ": cannot open shared object file")) != 0) why = error;
  }
  if (void* const library = open_in({kToolkit})) return library;
  const std::vector<std::string> python = PythonFolders();
  if (void* const library = open_in(python)) return library;

  const std::string where =
      Cat(what, ": no ", Join(names, " or "), " in $", kOwnPath,
          own.empty() ? " (not set)" : Cat(" (", Join(own, ", "), ")"), ", the loader's path, ", kToolkit, ", ",
          python.empty() ? std::string("site-packages/nvidia/*/lib of python3 (there are none)") : Join(python, ", "));
  if (!why.empty()) return FailedPrecondition(where, "; one was there but could not be loaded: ", why);
  return NotFound(where, "; set ", kOwnPath, " to the folder that holds it");
}

StatusOr<void*> FindSymbol(std::string_view what, void* library, const char* name) {
  if (void* const symbol = dlsym(library, name)) return symbol;
  return NotFound(what, ": the library has no ", name, ": it is older than what this program was made for");
}

std::string FileOfSymbol(const void* symbol) {
  Dl_info info = {};
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace gptc
