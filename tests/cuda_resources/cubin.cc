#include "tests/cuda_resources/cubin.h"

#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "ir/base/text.h"

namespace gptc {
namespace {

constexpr uint16_t kMachineCuda = 190;
// Attributes of a section .nv.info: a byte of format, the attribute, then two bytes of value or of the value's size.
constexpr uint8_t kSizedFormat = 4;
constexpr uint8_t kMaxThreads = 0x05, kFrameSize = 0x11, kMinStackSize = 0x12, kRegisterCount = 0x2f;
// From sm_90 on a block's shared memory begins with this, the system's.
constexpr int64_t kSystemShared = 1024;

// A cubin: an ELF file. Reads outside of it give nullopt.
class Cubin {
 public:
  explicit Cubin(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  std::optional<T> At(uint64_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  std::optional<Elf64_Shdr> Section(uint64_t index) const {
    const auto header = At<Elf64_Ehdr>(0);
    if (!header || index >= header->e_shnum) return std::nullopt;
    return At<Elf64_Shdr>(header->e_shoff + index * sizeof(Elf64_Shdr));
  }
  std::string Text(uint64_t string_table, uint64_t offset) const {
    const auto section = Section(string_table);
    if (!section || section->sh_offset + offset >= bytes_.size()) return "";
    const std::string_view rest = bytes_.substr(section->sh_offset + offset);
    return std::string(rest.substr(0, rest.find('\0')));
  }
  // The name of the symbol `index` of a symbol table.
  std::string Symbol(uint64_t symbol_table, uint64_t index) const {
    const auto section = Section(symbol_table);
    const auto symbol = section ? At<Elf64_Sym>(section->sh_offset + index * sizeof(Elf64_Sym)) : std::nullopt;
    return symbol ? Text(section->sh_link, symbol->st_name) : "";
  }
  // Calls see(attribute, value) for each one of a section .nv.info that has a size.
  template <typename See>
  void ForEachAttribute(const Elf64_Shdr& section, See see) const {
    if (section.sh_offset + section.sh_size > bytes_.size()) return;
    std::string_view rest = bytes_.substr(section.sh_offset, section.sh_size);
    while (rest.size() >= 4) {
      const auto format = static_cast<uint8_t>(rest[0]), attribute = static_cast<uint8_t>(rest[1]);
      uint16_t size;
      std::memcpy(&size, rest.data() + 2, sizeof size);
      rest.remove_prefix(4);
      if (format != kSizedFormat) continue;
      see(attribute, rest.substr(0, size));
      rest.remove_prefix(std::min<size_t>(size, rest.size()));
    }
  }

 private:
  std::string_view bytes_;
};

// "void gptc::cuda::(anonymous namespace)::F<gptc::cuda::bf16, 3>(int)" -> "F<bf16, 3>".
std::string ShortName(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), &std::free);
  std::string name = status == 0 ? demangled.get() : mangled;
  for (const std::string_view prefix : {"void ", "gptc::cuda::", "(anonymous namespace)::"}) {
    for (size_t at = 0; (at = name.find(prefix, at)) != std::string::npos;) name.erase(at, prefix.size());
  }
  // Up to the parameters: the first parenthesis outside of the template arguments.
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

Status ReadCubin(std::string_view bytes, std::vector<KernelResources>& to) {
  const Cubin cubin(bytes);
  const auto header = cubin.At<Elf64_Ehdr>(0);
  if (!header || header->e_shentsize != sizeof(Elf64_Shdr)) return Failure("a cubin is cut short");
  // Where the architecture's number lies in the flags depends on the version of the ABI.
  const int sm = static_cast<int>(header->e_ident[EI_ABIVERSION] >= 8 ? header->e_flags >> 8 : header->e_flags) & 0xff;
  std::map<std::string, KernelResources> kernels;  // and functions that they call, which have no registers of their own
  for (uint64_t i = 0; i < header->e_shnum; ++i) {
    const auto section = cubin.Section(i);
    if (!section) return Failure("a cubin is cut short");
    const std::string name = cubin.Text(header->e_shstrndx, section->sh_name);
    if (const std::string_view prefix = ".nv.shared."; name.starts_with(prefix)) {
      const auto size = static_cast<int64_t>(section->sh_size);
      kernels[name.substr(prefix.size())].shared_bytes = sm >= 90 ? std::max<int64_t>(size - kSystemShared, 0) : size;
    } else if (name == ".nv.info") {
      cubin.ForEachAttribute(*section, [&](uint8_t attribute, std::string_view value) {
        uint32_t pair[2];  // a symbol's number, and the value
        if (value.size() != sizeof pair) return;
        std::memcpy(pair, value.data(), sizeof pair);
        KernelResources& kernel = kernels[cubin.Symbol(section->sh_link, pair[0])];
        if (attribute == kRegisterCount) kernel.registers = static_cast<int>(pair[1]);
        if (attribute == kFrameSize || attribute == kMinStackSize)
          kernel.stack_bytes = std::max<int64_t>(kernel.stack_bytes, pair[1]);
      });
    } else if (const std::string_view of_kernel = ".nv.info."; name.starts_with(of_kernel)) {
      cubin.ForEachAttribute(*section, [&](uint8_t attribute, std::string_view value) {
        uint32_t block[3];
        if (attribute != kMaxThreads || value.size() != sizeof block) return;
        std::memcpy(block, value.data(), sizeof block);
        kernels[name.substr(of_kernel.size())].threads = static_cast<int>(block[0] * block[1] * block[2]);
      });
    }
  }
  for (auto& [mangled, kernel] : kernels) {
    if (kernel.registers == 0 && kernel.stack_bytes == 0) continue;
    kernel.kernel = ShortName(mangled);
    kernel.sm = sm;
    if (kernel.registers > 0 && kernel.threads == 0) return Failure(kernel.kernel, " has no __launch_bounds__");
    to.push_back(std::move(kernel));
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<KernelResources>> ReadKernelResources(std::string_view object) {
  std::vector<KernelResources> all;
  constexpr std::string_view kMagic =
      "\x7f"
      "ELF";
  // Past the first: that is the object file itself.
  for (size_t at = object.find(kMagic, 1); at != std::string_view::npos; at = object.find(kMagic, at + 1)) {
    const auto header = Cubin(object.substr(at)).At<Elf64_Ehdr>(0);
    if (header && header->e_machine == kMachineCuda) RETURN_IF_ERROR(ReadCubin(object.substr(at), all));
  }
  return all;
}

double Occupancy(const KernelResources& resources) {
  constexpr int kWarps = 64, kBlocks = 32, kWarp = 32;
  constexpr int kPartitions = 4, kRegisters = 65536 / kPartitions;  // a warp's registers lie in one of the partitions
  constexpr int kUnit = 256;                                        // of registers, for a warp
  const int64_t shared = (resources.sm >= 90 ? 228 : 164) << 10;
  const int warps = (resources.threads + kWarp - 1) / kWarp;
  const int registers = std::max((resources.registers * kWarp + kUnit - 1) / kUnit * kUnit, kUnit);
  const int by_warps = kWarps / warps;
  const int by_registers = kPartitions * (kRegisters / registers) / warps;
  const auto by_shared = static_cast<int>(shared / (resources.shared_bytes + kSystemShared));
  return static_cast<double>(std::min({by_warps, by_registers, by_shared, kBlocks}) * warps) / kWarps;
}

}  // namespace gptc
