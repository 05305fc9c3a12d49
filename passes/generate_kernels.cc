#include "passes/generate_kernels.h"

#include <charconv>
#include <set>

#include "passes/cuda_prelude.h"
#include "passes/cuda_source.h"
#include "passes/nvrtc.h"
#include "runtime/plan/generated.h"

namespace gptc {

StatusOr<std::unique_ptr<plan::GeneratedCodeT>> GenerateKernels(const Module& module, std::string_view target) {
  constexpr std::string_view kCuda = "cuda:sm_";
  if (!target.starts_with(kCuda)) return nullptr;
  auto code = std::make_unique<plan::GeneratedCodeT>();
  code->prelude = CudaPrelude();
  std::set<std::string> names;
  for (const Graph& graph : module.graphs) {
    for (const OpNode& node : graph.ops) {
      if (node.op != Op::kFused) continue;
      std::vector<Type> operands;
      for (Value input : node.inputs) operands.push_back(graph.type(input));
      const std::string& region = node.attributes.Str("region");
      if (!names.insert(GeneratedKernelName(region, operands)).second) continue;
      StatusOr<plan::GeneratedKernelT> kernel = GenerateCudaKernel(region, operands);
      if (!kernel.ok()) return Annotate(kernel.status(), node.location.Text());
      code->kernels.push_back(std::make_unique<plan::GeneratedKernelT>(*std::move(kernel)));
    }
  }
  if (code->kernels.empty()) return nullptr;
  const std::string_view number = target.substr(kCuda.size());
  int sm = 0;
  std::from_chars(number.data(), number.data() + number.size(), sm);
  ASSIGN_OR_RETURN(const CudaBinary binary, CompileCudaCached(GeneratedProgram(*code), sm));
  code->sm = static_cast<uint16_t>(sm);
  code->cubin.assign(binary.cubin.begin(), binary.cubin.end());
  code->ptx = binary.ptx;
  return code;
}

}  // namespace gptc
