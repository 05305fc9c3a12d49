#include "passes/nvrtc.h"

#include <unistd.h>
#include <xxhash.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/str_format.h"
#include "ir/base/library.h"

namespace gptc {
namespace {

namespace fs = std::filesystem;

// What nvrtc.h declares, so that building needs no toolkit.
struct Nvrtc {
  using Program = struct _nvrtcProgram*;
  const char* (*GetErrorString)(int) = nullptr;
  int (*Version)(int*, int*) = nullptr;
  int (*CreateProgram)(Program*, const char* source, const char* name, int, const char* const*,
                       const char* const*) = nullptr;
  int (*DestroyProgram)(Program*) = nullptr;
  int (*CompileProgram)(Program, int, const char* const* options) = nullptr;
  int (*GetPTXSize)(Program, size_t*) = nullptr;
  int (*GetPTX)(Program, char*) = nullptr;
  int (*GetCUBINSize)(Program, size_t*) = nullptr;
  int (*GetCUBIN)(Program, char*) = nullptr;
  int (*GetProgramLogSize)(Program, size_t*) = nullptr;
  int (*GetProgramLog)(Program, char*) = nullptr;
};

StatusOr<Nvrtc> LoadNvrtc() {
  constexpr std::string_view kWhat = "NVRTC";
  ASSIGN_OR_RETURN(void* const library, OpenLibrary(kWhat, {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}));
  Nvrtc nvrtc;
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetErrorString", nvrtc.GetErrorString));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcVersion", nvrtc.Version));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcCreateProgram", nvrtc.CreateProgram));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcDestroyProgram", nvrtc.DestroyProgram));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcCompileProgram", nvrtc.CompileProgram));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetPTXSize", nvrtc.GetPTXSize));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetPTX", nvrtc.GetPTX));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetCUBINSize", nvrtc.GetCUBINSize));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetCUBIN", nvrtc.GetCUBIN));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetProgramLogSize", nvrtc.GetProgramLogSize));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "nvrtcGetProgramLog", nvrtc.GetProgramLog));
  return nvrtc;
}

// The library is opened once and stays.
const StatusOr<Nvrtc>& TheNvrtc() {
  static const StatusOr<Nvrtc> nvrtc = LoadNvrtc();
  return nvrtc;
}

// The log's first errors, in one line.
std::string Excerpt(const std::string& log) {
  constexpr size_t kMost = 600;
  std::string text;
  for (char c : log.substr(0, kMost)) text += c == '\n' ? ' ' : c;
  return text;
}

fs::path CacheFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
    return fs::path(cache) / "gptc";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return fs::path(home) / ".cache" / "gptc";
  return {};
}

// "GPTC-CUDA-1\n", the hash of all that follows, the size of the cubin, the cubin, the PTX.
constexpr std::string_view kMagic = "GPTC-CUDA-1\n";

StatusOr<CudaBinary> ReadCached(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t numbers[2];
  const size_t begin = kMagic.size() + sizeof(numbers);
  if (bytes.size() < begin || !bytes.starts_with(kMagic)) return absl::NotFoundError("not in the cache");
  bytes.copy(reinterpret_cast<char*>(numbers), sizeof(numbers), kMagic.size());
  if (numbers[1] > bytes.size() - begin || numbers[0] != XXH3_64bits(bytes.data() + begin, bytes.size() - begin))
    return absl::DataLossError("damaged");
  return CudaBinary{bytes.substr(begin, numbers[1]), bytes.substr(begin + numbers[1])};
}

// Under another name first, so that a reader finds all of it or nothing.
void WriteCached(const fs::path& path, const CudaBinary& binary) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const fs::path partial = Cat(path.string(), ".", getpid());
  const std::string content = binary.cubin + binary.ptx;
  const uint64_t numbers[2] = {XXH3_64bits(content.data(), content.size()), binary.cubin.size()};
  {
    std::ofstream file(partial, std::ios::binary);
    file.write(kMagic.data(), kMagic.size());
    file.write(reinterpret_cast<const char*>(numbers), sizeof(numbers));
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) {
      fs::remove(partial, error);
      return;
    }
  }
  fs::rename(partial, path, error);
  if (error) fs::remove(partial, error);
}

}  // namespace

Status FindNvrtc() { return TheNvrtc().status(); }

StatusOr<std::string> NvrtcVersion() {
  if (!TheNvrtc().ok()) return TheNvrtc().status();
  int major = 0, minor = 0;
  TheNvrtc()->Version(&major, &minor);
  return Cat(major, ".", minor);
}

StatusOr<CudaBinary> CompileCuda(const std::string& program, int sm) {
  if (!TheNvrtc().ok()) return TheNvrtc().status();
  const Nvrtc& nvrtc = *TheNvrtc();
  const auto check = [&](int result, std::string_view what) {
    return result == 0 ? OkStatus() : absl::InternalError(Cat("NVRTC: ", what, ": ", nvrtc.GetErrorString(result)));
  };
  Nvrtc::Program handle = nullptr;
  RETURN_IF_ERROR(check(nvrtc.CreateProgram(&handle, program.c_str(), "fused.cu", 0, nullptr, nullptr), "no program"));
  const std::unique_ptr<Nvrtc::Program, void (*)(Nvrtc::Program*)> owner(
      &handle, [](Nvrtc::Program* p) { (void)TheNvrtc()->DestroyProgram(p); });
  const std::string architecture = Cat("--gpu-architecture=sm_", sm);
  const char* const options[] = {architecture.c_str(), "--std=c++17", "--disable-warnings"};
  const int compiled = nvrtc.CompileProgram(handle, 3, options);
  size_t size = 0;
  if (compiled != 0) {
    RETURN_IF_ERROR(check(nvrtc.GetProgramLogSize(handle, &size), "no log"));
    std::string log(size, '\0');
    RETURN_IF_ERROR(check(nvrtc.GetProgramLog(handle, log.data()), "no log"));
    return check(compiled, Cat("generated kernels for sm_", sm, " do not compile: ", Excerpt(log)));
  }
  CudaBinary binary;
  RETURN_IF_ERROR(check(nvrtc.GetCUBINSize(handle, &size), "no cubin"));
  binary.cubin.resize(size);
  RETURN_IF_ERROR(check(nvrtc.GetCUBIN(handle, binary.cubin.data()), "no cubin"));
  RETURN_IF_ERROR(check(nvrtc.GetPTXSize(handle, &size), "no PTX"));
  binary.ptx.resize(size);
  RETURN_IF_ERROR(check(nvrtc.GetPTX(handle, binary.ptx.data()), "no PTX"));
  if (!binary.ptx.empty() && binary.ptx.back() == '\0') binary.ptx.pop_back();
  return binary;
}

StatusOr<CudaBinary> CompileCudaCached(const std::string& program, int sm) {
  ASSIGN_OR_RETURN(const std::string version, NvrtcVersion());
  const std::string key = Cat("sm_", sm, " ", version, "\n", program);
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  const fs::path folder = CacheFolder(), path = folder / absl::StrFormat("%016x%016x.cuda", hash.high64, hash.low64);
  if (!folder.empty()) {
    if (StatusOr<CudaBinary> cached = ReadCached(path); cached.ok()) return cached;
  }
  ASSIGN_OR_RETURN(CudaBinary binary, CompileCuda(program, sm));
  if (!folder.empty()) WriteCached(path, binary);
  return binary;
}

}  // namespace gptc
