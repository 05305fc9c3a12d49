// Every kernel of runtime/cuda, as nvcc compiled it, against its budget in runtime/cuda/resources.txt: registers and
// shared memory no more than there, no stack and so no spills. With GPTC_REWRITE in the environment the table's rows
// for the architectures that were built are written anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "ir/base/text.h"
#include "tests/cuda_resources/cubin.h"

namespace gptc {
namespace {

constexpr char kTable[] = "runtime/cuda/resources.txt";

// What a row says: the most of all kernels of its name.
struct Row {
  int registers = 0, threads = 0;
  int64_t shared_bytes = 0;
  double occupancy = 1;  // the least
};
using Table = std::map<std::pair<std::string, int>, Row>;  // by name and sm

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "norm:ForwardByWarp<8>": the source's name and the kernel's, of the template arguments those that are numbers.
std::string RowName(const std::string& source, const std::string& kernel) {
  const size_t open = std::min(kernel.find('<'), kernel.size());
  std::string numbers, argument;
  int depth = 0;
  for (const char c : kernel.substr(open)) {
    if (c == '>') --depth;
    if (depth == 0 || (depth == 1 && c == ',')) {
      const bool number = argument == "true" || argument == "false" ||
                          (!argument.empty() && argument.find_first_not_of("0123456789") == std::string::npos);
      if (number) numbers += Cat(numbers.empty() ? "" : ",", argument);
      argument.clear();
    } else if (c != ' ') {
      argument.push_back(c);
    }
    if (c == '<') ++depth;
  }
  return Cat(source, ":", kernel.substr(0, open), numbers.empty() ? "" : Cat("<", numbers, ">"));
}

// The kernels of every object, by source.
std::vector<std::pair<std::string, KernelResources>> BuiltKernels() {
  std::vector<std::pair<std::string, KernelResources>> kernels;
  std::istringstream objects(Contents(GPTC_CUDA_OBJECTS));
  for (std::string path; std::getline(objects, path);) {
    std::string source = std::filesystem::path(path).filename().string();
    const size_t end = source.find(".cu.");
    if (end == std::string::npos) continue;
    source.resize(end);
    const auto found = ReadKernelResources(Contents(path));
    EXPECT_TRUE(found.ok()) << path << ": " << found.status();
    if (!found.ok()) continue;
    for (const KernelResources& kernel : *found) kernels.emplace_back(source, kernel);
  }
  return kernels;
}

Table Summary(const std::vector<std::pair<std::string, KernelResources>>& kernels) {
  Table table;
  for (const auto& [source, kernel] : kernels) {
    if (kernel.registers == 0) continue;
    Row& row = table[{RowName(source, kernel.kernel), kernel.sm}];
    row.registers = std::max(row.registers, kernel.registers);
    row.threads = std::max(row.threads, kernel.threads);
    row.shared_bytes = std::max(row.shared_bytes, kernel.shared_bytes);
    row.occupancy = std::min(row.occupancy, Occupancy(kernel));
  }
  return table;
}

// The table, and the compiler it was written with.
std::pair<Table, std::string> ReadTable() {
  std::pair<Table, std::string> read;
  std::istringstream lines(Contents(Cat(GPTC_SOURCE_DIR, "/", kTable)));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "nvcc") {
      words >> read.second;
    } else if (!name.empty() && name != "kernel" && name[0] != '#') {
      int sm = 0;
      Row row;
      words >> sm >> row.registers >> row.shared_bytes >> row.threads >> row.occupancy;
      EXPECT_FALSE(words.fail()) << kTable << ": " << line;
      read.first[{name, sm}] = row;
    }
  }
  return read;
}

std::string Text(const Table& table) {
  std::string text =
      "# What a kernel may take: registers of a thread, static shared memory of a block in bytes; no stack, so no "
      "spills.\n"
      "# A row is of all kernels of a name and numbers, whatever types they are of: the most of each. The occupancy, "
      "the\n"
      "# least, is without the shared memory that a launch asks for. tests/cuda_resources holds the build to this "
      "table,\n"
      "# GPTC_REWRITE=1 ctest -R cuda_resources_test writes it anew.\n";
  text += Cat("nvcc ", GPTC_NVCC_VERSION, "\n");
  size_t width = 0;
  for (const auto& [key, row] : table) width = std::max(width, key.first.size());
  const auto w = static_cast<int>(width);
  text += absl::StrFormat("%-*s  sm  registers  shared  threads  occupancy\n", w, "kernel");
  for (const auto& [key, row] : table) {
    text += absl::StrFormat("%-*s  %2d  %9d  %6d  %7d  %9.3f\n", w, key.first, key.second, row.registers,
                            row.shared_bytes, row.threads, row.occupancy);
  }
  return text;
}

TEST(CudaResources, HoldTheBudget) {
  const auto kernels = BuiltKernels();
  ASSERT_FALSE(kernels.empty()) << "no kernel found in the objects that " << GPTC_CUDA_OBJECTS << " lists";
  for (const auto& [source, kernel] : kernels) {
    EXPECT_EQ(kernel.stack_bytes, 0) << "runtime/cuda/" << source << ".cu: " << kernel.kernel << " on sm_" << kernel.sm
                                     << " has a stack: arrays indexed at run time, or spilled registers";
  }
  const Table built = Summary(kernels);
  std::set<int> architectures;
  for (const auto& [key, row] : built) architectures.insert(key.second);
  auto [table, compiler] = ReadTable();
  if (std::getenv("GPTC_REWRITE") != nullptr) {
    std::erase_if(table, [&](const auto& at) { return architectures.contains(at.first.second); });
    table.insert(built.begin(), built.end());
    std::ofstream(Cat(GPTC_SOURCE_DIR, "/", kTable)) << Text(table);
    return;
  }
  // Another compiler gives other numbers.
  if (compiler != GPTC_NVCC_VERSION)
    GTEST_SKIP() << kTable << " is of nvcc " << compiler << ", not " << GPTC_NVCC_VERSION;
  const std::string advice =
      Cat("; if that is how it should be, GPTC_REWRITE=1 ctest -R cuda_resources_test writes ", kTable, " anew");
  for (const auto& [key, row] : built) {
    const auto found = table.find(key);
    if (found == table.end()) {
      ADD_FAILURE() << key.first << " on sm_" << key.second << " has no row in " << kTable << advice;
      continue;
    }
    EXPECT_LE(row.registers, found->second.registers)
        << key.first << " on sm_" << key.second << " takes more registers than its budget" << advice;
    EXPECT_LE(row.shared_bytes, found->second.shared_bytes)
        << key.first << " on sm_" << key.second << " takes more shared memory than its budget" << advice;
  }
  for (const auto& [key, row] : table) {
    EXPECT_TRUE(!architectures.contains(key.second) || built.contains(key))
        << key.first << " on sm_" << key.second << " is no kernel any longer" << advice;
  }
}

}  // namespace
}  // namespace gptc
