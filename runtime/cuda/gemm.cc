#include "runtime/cuda/gemm.h"

namespace gptc {

std::string GemmProblem::Name() const {
  constexpr const char* kEpilogues[] = {
      "", " bias", " relu", " gelu", " gelu_saved", " dgelu", " dgelu_bias_grad", " bias_grad"};
  std::string name = Cat(a.transposed ? "T" : "N", b.transposed ? "T" : "N", " ", m, "x", n, "x", k);
  if (batch != 1) name += Cat(" of ", batch);
  name += Cat(" ", NameOf(a.dtype), " to ", NameOf(y.dtype), kEpilogues[static_cast<int>(epilogue)]);
  if (bias != nullptr) name += Cat(" ", NameOf(bias_dtype));
  if (c != nullptr) name += c == y.data ? " added" : " plus c";
  return name;
}

StatusOr<BoundKernel> BindFirst(const std::vector<GemmWay>& ways, std::string_view preferred, ScratchPool& scratch) {
  StatusOr<BoundKernel> bound = absl::UnimplementedError("no way");
  for (const bool any : {false, true}) {
    for (const GemmWay& way : ways) {
      if ((way.name == preferred) == any) continue;
      bound = way.bind(scratch);
      if (!absl::IsUnimplemented(bound.status())) return bound;
    }
  }
  return bound;
}

}  // namespace gptc
