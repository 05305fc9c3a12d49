#include "tests/simt/generated_code.h"

#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "ir/base/op_table.h"
#include "passes/cuda_prelude.h"
#include "passes/cuda_source.h"
#include "runtime/plan/generated.h"

namespace gptc::simt {
namespace {

namespace fs = std::filesystem;

// What the prelude leaves to who runs it on the CPU.
constexpr std::string_view kEmulation = R"(#include "runtime/cuda/numeric.cuh"
#include "tests/simt/library.h"
using gptc::cuda::ptx::PackBf16;
static float FloatOfBits(unsigned bits) { return gptc::cuda::BitsToFloat(bits); }
)";

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Each program once in a run of the tests.
StatusOr<std::string> CompileOnHost(const std::string& program) {
  static std::map<std::string, std::string> known;
  if (const auto at = known.find(program); at != known.end()) return at->second;
  std::string folder = (fs::temp_directory_path() / "gptc_emulated_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return Failure("no temporary folder ", folder);
  const fs::path source = fs::path(folder) / "fused.cc", object = fs::path(folder) / "fused.so",
                 log = fs::path(folder) / "log";
  std::ofstream(source) << program;
  const std::string command =
      Cat("g++ -std=c++20 -O1 -w -shared -fPIC -fno-strict-aliasing -fno-gnu-unique " GPTC_EMULATED_FLAGS
          " -DGPTC_SIMT -I " GPTC_SOURCE_DIR "/tests/simt/include -I " GPTC_SOURCE_DIR " ",
          source.string(), " -o ", object.string(), " 2> ", log.string());
  const int code = std::system(command.c_str());
  std::string result = ReadFile(object);
  const std::string errors = ReadFile(log).substr(0, 4000);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  if (code != 0) return Failure("generated source does not compile:\n", errors);
  return known[program] = std::move(result);
}

}  // namespace

bool HasHostCompiler() { return std::system("g++ --version > /dev/null 2>&1") == 0; }

StatusOr<std::unique_ptr<plan::GeneratedCodeT>> EmulatedCode(std::span<const FusedWork> work) {
  auto code = std::make_unique<plan::GeneratedCodeT>();
  code->prelude = CudaPrelude();
  code->sm = 90;
  std::set<std::string> names;
  std::string exports;
  for (const auto& [region, operands] : work) {
    StatusOr<plan::GeneratedKernelT> kernel = GenerateCudaKernel(region, operands);
    if (!kernel.ok() || !names.insert(kernel->name).second) continue;
    for (const auto& launch : kernel->launches) exports += Cat("GPTC_EMULATED_KERNEL(", launch->function, ")\n");
    code->kernels.push_back(std::make_unique<plan::GeneratedKernelT>(*std::move(kernel)));
  }
  ASSIGN_OR_RETURN(const std::string object, CompileOnHost(Cat(kEmulation, GeneratedProgram(*code), "\n", exports)));
  code->cubin.assign(object.begin(), object.end());
  return code;
}

Status EmulateGenerated(plan::PlanT& plan) {
  std::vector<FusedWork> work;
  for (const auto& entry : plan.entries) {
    for (const auto& step : entry->steps) {
      if (step->kernel != NameOf(Op::kFused)) continue;
      std::vector<Type> operands;
      for (uint32_t input : step->inputs) operands.push_back(TypeOf(*entry->buffers[input]));
      work.emplace_back(AttributesOf(*step).Str("region"), std::move(operands));
    }
  }
  if (work.empty()) return OkStatus();
  ASSIGN_OR_RETURN(plan.generated, EmulatedCode(work));
  return OkStatus();
}

}  // namespace gptc::simt
