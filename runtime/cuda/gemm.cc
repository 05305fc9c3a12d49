#include "runtime/cuda/gemm.h"

namespace gptc {

std::string GemmProblem::Name() const {
  constexpr const char* kEpilogues[] = {"",          " bias", " gelu", " gelu_saved", " dgelu", " dgelu_bias_grad",
                                        " bias_grad"};
  std::string name = Cat(a.transposed ? "T" : "N", b.transposed ? "T" : "N", " ", m, "x", n, "x", k);
  if (batch != 1) name += Cat(" of ", batch);
  name += Cat(" ", NameOf(a.dtype), " to ", NameOf(y.dtype), kEpilogues[static_cast<int>(epilogue)]);
  if (bias != nullptr) name += Cat(" ", NameOf(bias_dtype));
  if (c != nullptr) name += c == y.data ? " added" : " plus c";
  return name;
}

}  // namespace gptc
