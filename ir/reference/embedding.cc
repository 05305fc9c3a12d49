#include "ir/base/check.h"
#include "ir/reference/loops.h"

namespace gptc {
namespace {

// The table's row, or -1 for an id that has none. A caller sees to it that no id is past the table.
int64_t RowOf(const HostTensor& ids, int64_t i, int64_t rows) {
  int64_t id = static_cast<int64_t>(ids.data[i]);
  CHECK(id < rows, "embedding: id ", id, " of a table of ", rows, " rows");
  return id < 0 ? -1 : id;
}

}  // namespace

void EvalEmbedding(const EvalContext& c) {
  const HostTensor &table = c.input(0), &ids = c.input(1);
  int64_t width = WidthOf(table);
  for (int64_t i = 0; i < SizeOf(ids); ++i) {
    int64_t row = RowOf(ids, i, table.type.shape[0]);
    if (row < 0) continue;
    for (int64_t j = 0; j < width; ++j) c.result().data[i * width + j] = table.data[row * width + j];
  }
}

void EvalEmbeddingBackward(const EvalContext& c) {
  const HostTensor &ids = c.input(0), &dy = c.input(1);
  int64_t width = WidthOf(dy);
  if (c.has(2)) c.result().data = c.input(2).data;
  for (int64_t i = 0; i < SizeOf(ids); ++i) {
    int64_t row = RowOf(ids, i, c.attributes.Int("rows"));
    if (row < 0) continue;
    for (int64_t j = 0; j < width; ++j) c.result().data[row * width + j] += dy.data[i * width + j];
  }
}

}  // namespace gptc
