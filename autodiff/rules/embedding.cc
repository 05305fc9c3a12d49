// Gradient of the table lookup: rows of dy added up by id.
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpEmbedding(const VjpContext& c) {
  const int64_t rows = c.input(0).shape()[0];
  return {c.g.EmitOne(Op::kEmbeddingBackward, {c.input(1), c.dy()}, {{"rows", rows}}), {}};
}

}  // namespace gptc
