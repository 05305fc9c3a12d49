// Gradient of dropout: the same mask again, recomputed from the same key and scalars.
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpDropout(const VjpContext& c) {
  return {c.g.EmitOne(Op::kDropout, {c.dy(), c.input(1)}, c.attributes), {}};
}

}  // namespace gptc
