#include "frontends/gptrun/doctor.h"

#include <dlfcn.h>
#include <omp.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_format.h"
#include "dnnl.h"
#include "flatbuffers/base.h"
#include "frontends/common/terminal.h"
#include "hwy/base.h"
#include "hwy/highway.h"
#include "nlohmann/json.hpp"
#include "runtime/cpu/ceilings.h"
#include "runtime/devices/cuda_libraries.h"
#include "runtime/formats/files.h"
#include "toml++/toml.h"
#include "xxhash.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include "pcre2.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

struct Library {
  std::string name, version, use;
};

std::vector<Library> Libraries() {
  const dnnl_version_t* dnnl = dnnl_version();
  std::string pcre2(64, '\0');
  pcre2.resize(static_cast<size_t>(
      pcre2_config(PCRE2_CONFIG_VERSION, nullptr) > 64 ? 0 : pcre2_config(PCRE2_CONFIG_VERSION, pcre2.data())));
  while (!pcre2.empty() && pcre2.back() == '\0') pcre2.pop_back();
  const unsigned xxh = XXH_versionNumber();
  return {
      {"oneDNN", Cat(dnnl->major, ".", dnnl->minor, ".", dnnl->patch), "matrix products"},
      {"Highway", Cat(HWY_MAJOR, ".", HWY_MINOR, ".", HWY_PATCH), "vector kernels"},
      {"OpenMP", Cat(_OPENMP), "threads"},
      {"abseil", Cat(ABSL_LTS_RELEASE_VERSION), "errors, text"},
      {"flatbuffers", Cat(FLATBUFFERS_VERSION_MAJOR, ".", FLATBUFFERS_VERSION_MINOR, ".", FLATBUFFERS_VERSION_REVISION),
       "plan files"},
      {"nlohmann-json",
       Cat(NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".", NLOHMANN_JSON_VERSION_PATCH), "JSON"},
      {"toml++", Cat(TOML_LIB_MAJOR, ".", TOML_LIB_MINOR, ".", TOML_LIB_PATCH), "--config"},
      {"CLI11", CLI11_VERSION, "flags"},
      {"PCRE2", pcre2.substr(0, pcre2.find(' ')), "tokenizer"},
      {"xxHash", Cat(xxh / 10000, ".", xxh / 100 % 100, ".", xxh % 100), "checksums"},
  };
}

std::vector<std::string> InstructionSets() {
  std::vector<std::string> sets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // __builtin_cpu_supports takes literals only.
#define GPTC_SET(name) \
  if (__builtin_cpu_supports(name)) sets.emplace_back(name)
  GPTC_SET("sse4.2");
  GPTC_SET("avx");
  GPTC_SET("avx2");
  GPTC_SET("fma");
  GPTC_SET("f16c");
  GPTC_SET("avx512f");
  GPTC_SET("avx512bw");
  GPTC_SET("avx512dq");
  GPTC_SET("avx512vl");
  GPTC_SET("avx512vnni");
  GPTC_SET("avx512bf16");
  GPTC_SET("avx512vp2intersect");
#undef GPTC_SET
#endif
  return sets;
}

std::string CpuName() {
  auto text = ReadFileToString("/proc/cpuinfo", 16 << 20);
  if (!text.ok()) return "unknown";
  size_t at = text->find("model name");
  if (at == std::string::npos) return "unknown";
  size_t colon = text->find(": ", at), end = text->find('\n', at);
  return colon == std::string::npos || colon > end ? "unknown" : text->substr(colon + 2, end - colon - 2);
}

struct Gpu {
  std::string name;
  int64_t bytes = 0;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
};
struct Gpus {
  std::string note;  // why there are none, "" where there are
  int driver = 0;    // CUDA version of the driver: 1000 · major + 10 · minor
  std::vector<Gpu> gpus;
};

// Asks the CUDA driver, if one is there; nothing is linked against it.
Gpus FindGpus() {
  Gpus found;
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    found.note = "none found: there is no CUDA driver (libcuda.so.1)";
    return found;
  }
  auto load = [&]<typename Function>(const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(dlsym(driver, name));
    return function != nullptr;
  };
  int (*init)(unsigned) = nullptr, (*version)(int*) = nullptr, (*count_of)(int*) = nullptr, (*get)(int*, int) = nullptr;
  int (*name_of)(char*, int, int) = nullptr, (*bytes_of)(size_t*, int) = nullptr,
                             (*attribute)(int*, int, int) = nullptr;
  int count = 0;
  if (!load("cuInit", init) || !load("cuDriverGetVersion", version) || !load("cuDeviceGetCount", count_of) ||
      !load("cuDeviceGet", get) || !load("cuDeviceGetName", name_of) || !load("cuDeviceTotalMem_v2", bytes_of) ||
      !load("cuDeviceGetAttribute", attribute)) {
    found.note = "none found: libcuda.so.1 lacks functions that every driver has";
  } else if (int code = init(0); code != 0) {
    found.note = Cat("none found: the CUDA driver does not start (cuInit gives ", code, ")");
  } else {
    version(&found.driver);
    if (count_of(&count) != 0 || count == 0) found.note = "none found: the CUDA driver sees no device";
  }
  for (int i = 0; i < count; ++i) {
    // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, _COMPUTE_CAPABILITY_MAJOR and _MINOR.
    constexpr int kMultiprocessors = 16, kMajor = 75, kMinor = 76;
    int device = 0;
    char name[256] = {};
    size_t bytes = 0;
    Gpu gpu;
    if (get(&device, i) != 0 || name_of(name, sizeof(name) - 1, device) != 0 || bytes_of(&bytes, device) != 0) continue;
    attribute(&gpu.major, kMajor, device);
    attribute(&gpu.minor, kMinor, device);
    attribute(&gpu.multiprocessors, kMultiprocessors, device);
    gpu.name = name;
    gpu.bytes = static_cast<int64_t>(bytes);
    found.gpus.push_back(std::move(gpu));
  }
  return found;
}

struct Ceilings {
  StatusOr<double> f32, bf16, read;
};

Json Report(const Ceilings* ceilings, const Gpus& gpus, const std::vector<CudaLibrary>& cuda) {
  Json report;
  report["versions"] = {{"gptrun", GPTC_VERSION}, {"compiler", Cat("g++ ", __VERSION__)}};
  report["libraries"] = Json::array();
  for (const Library& library : Libraries()) {
    report["libraries"].push_back({{"name", library.name}, {"version", library.version}, {"use", library.use}});
  }
  report["cpu"] = CpuName();
  report["cores"] = std::thread::hardware_concurrency();
  report["threads"] = omp_get_max_threads();
  report["memory_bytes"] = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  report["instruction_sets"] = InstructionSets();
  if (ceilings != nullptr) {
    auto value = [](const StatusOr<double>& rate) { return rate.ok() ? Json(*rate) : Json(nullptr); };
    report["ceilings"] = {{"f32_gflops", value(ceilings->f32)},
                          {"bf16_gflops", value(ceilings->bf16)},
                          {"memory_read_gb_per_s", value(ceilings->read)}};
  }
  report["cuda_driver"] =
      gpus.driver == 0 ? Json(nullptr) : Json(Cat(gpus.driver / 1000, ".", gpus.driver % 1000 / 10));
  report["gpus"] = Json::array();
  for (const Gpu& gpu : gpus.gpus) {
    report["gpus"].push_back({{"name", gpu.name},
                              {"memory_bytes", gpu.bytes},
                              {"multiprocessors", gpu.multiprocessors},
                              {"target", Cat("cuda:sm_", gpu.major, gpu.minor)}});
  }
  report["cuda_libraries"] = Json::array();
  for (const CudaLibrary& library : cuda) {
    Json& entry = report["cuda_libraries"].emplace_back(Json{{"name", library.name}, {"use", library.use}});
    if (library.missing.empty()) {
      entry.update({{"version", library.version}, {"path", library.path}});
    } else {
      entry["missing"] = library.missing;
    }
  }
  return report;
}

std::string ReportText(const Json& report, const Ceilings* ceilings, const Gpus& gpus,
                       const std::vector<CudaLibrary>& cuda) {
  std::string text =
      Cat("gptrun ", GPTC_VERSION, ", ", report["versions"]["compiler"].get<std::string>(), "\n\nLibraries\n");
  for (const Library& library : Libraries())
    text += absl::StrFormat("  %-14s %-12s %s\n", library.name, library.version, library.use);
  text += Cat("\nCPU\n  ", CpuName(), "\n  ", report["cores"].get<int>(), " cores, ", report["threads"].get<int>(),
              " threads, ", HumanBytes(report["memory_bytes"].get<int64_t>()), " memory\n  ",
              Join(InstructionSets(), " "), "\n");
  if (ceilings != nullptr) {
    auto line = [&](const char* what, const StatusOr<double>& rate, const char* unit) {
      text += rate.ok() ? absl::StrFormat("  %-24s %8.1f %s\n", what, *rate, unit)
                        : absl::StrFormat("  %-24s %s\n", what, Message(rate.status()));
    };
    text += "\nCeilings, measured\n";
    line("f32 matrix products", ceilings->f32, "GFLOP/s");
    line("bf16 matrix products", ceilings->bf16, "GFLOP/s");
    line("reading memory", ceilings->read, "GB/s");
  }
  text += "\nGPUs\n";
  if (!gpus.note.empty()) text += Cat("  ", gpus.note, "\n");
  for (const Gpu& gpu : gpus.gpus)
    text += Cat("  ", gpu.name, ", ", HumanBytes(gpu.bytes), ", ", gpu.multiprocessors, " multiprocessors, cuda:sm_",
                gpu.major, gpu.minor, "\n");
  if (gpus.driver != 0) text += Cat("  driver for CUDA ", report["cuda_driver"].get<std::string>(), "\n");
  text += "\nLibraries for GPUs\n";
  if (cuda.empty()) text += "  none are looked for: this program was built without CUDA\n";
  for (const CudaLibrary& library : cuda) {
    text += library.missing.empty()
                ? absl::StrFormat("  %-14s %-12s %s (%s)\n", library.name, library.version, library.use, library.path)
                : absl::StrFormat("  %-14s %-12s %s\n", library.name, "missing", library.missing);
  }
  return text;
}

class DoctorCommand : public Subcommand {
 public:
  std::string name() const override { return "doctor"; }
  std::string summary() const override {
    return "say what this machine and this build have, and measure what the machine can do";
  }
  void Declare(CLI::App& app) override {
    app.add_flag("--json", json_, "one JSON object")->group("Output");
    app.add_flag("--skip-ceilings", skip_, "measure nothing (the rest takes no time)")->group("Output");
    app.footer("Example:\n  gptrun doctor --json");
  }
  Status Run() override {
    const Gpus gpus = FindGpus();
    const std::vector<CudaLibrary> cuda = FindCudaLibraries();
    Ceilings ceilings;
    if (!skip_) {
      LogVerbose("measuring matrix products and memory, about three seconds");
      ceilings.f32 = MeasureGemmGflops(DType::kF32, kGemmShape, kGemmSeconds);
      ceilings.bf16 = MeasureGemmGflops(DType::kBF16, kGemmShape, kGemmSeconds);
      ceilings.read = MeasureReadGBps(kReadSeconds);
    }
    Json report = Report(skip_ ? nullptr : &ceilings, gpus, cuda);
    std::string text = json_ ? report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                             : ReportText(report, skip_ ? nullptr : &ceilings, gpus, cuda);
    return WriteOutput("-", text);
  }

 private:
  // GPT-2's shapes at 256 tokens; the logits' product has the same speed at a quarter of the vocabulary, in a quarter
  // of the time.
  static constexpr GemmCeilingShape kGemmShape = {.tokens = 256, .width = 768, .layers = 12, .vocab = 12288};
  static constexpr double kGemmSeconds = 0.6, kReadSeconds = 0.3;
  bool json_ = false, skip_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeDoctorCommand() { return std::make_unique<DoctorCommand>(); }

}  // namespace gptc
