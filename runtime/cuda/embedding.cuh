// Rows of a table by id, and the transpose: rows added into a table at their ids. Ids below 0 or past the table give
// zeros and take nothing.
//
// embedding           y[i] = table[ids[i]]. table [rows, width], ids [count], y [count, width]; any element type, as
//                     bytes. A warp copies a row. Reads and writes [count, width].
// embedding_backward  dtable = base (or 0), and dy[i] added at row ids[i]. ids [count], dy [count, width] f32 or bf16,
//                     base and dtable [rows, width] f32, which may be one: then only the rows that ids name are
//                     touched.
//   1. The ids are sorted, stably, by radix 256: per digit, a histogram of each tile of kSortTile ids, then each tile
//      moves its ids to where the histograms of all tiles put them.
//   2. A block takes kPart ids in their new order and adds up their rows of dy in f32, run by run of equal ids, and
//      writes base + sum where a run is over. A run's last ids, where it began in an earlier part, are left to the part
//      before; so a run that touches one or two parts has one block, and is written by it.
//   3. Longer runs left one sum a part; one block adds these in order. A table row that occurs in every place costs no
//      more than one that does not.
//   The order of all additions follows from the ids alone. Reads dy, and base's named rows; writes them.
//   Workspace (EmbeddingWorkspace): for 65536 ids of width 768, 4.2 MB.
#ifndef GPTC_RUNTIME_CUDA_EMBEDDING_CUH_
#define GPTC_RUNTIME_CUDA_EMBEDDING_CUH_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace gptc::cuda {

struct bf16;  // numeric.cuh

inline constexpr int kSortTile = 2048;
inline constexpr int kSortRadix = 256;
inline constexpr int kPart = 64;

void Embedding(cudaStream_t stream, const void* table, const int32_t* ids, void* y, int64_t rows, int64_t row_bytes,
               int64_t count);

// Offsets into the workspace of embedding_backward: ids in order and where each stood, twice; the tiles' histograms;
// a row of sums for each part.
struct EmbeddingWorkspace {
  int64_t sorted[2], places[2], histograms, sums, bytes;
};
inline EmbeddingWorkspace EmbeddingWorkspaceOf(int64_t count, int64_t width) {
  const auto padded = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
  EmbeddingWorkspace at = {};
  const int64_t list = padded(count * 4);
  at.sorted[0] = 0;
  at.places[0] = list;
  at.sorted[1] = 2 * list;
  at.places[1] = 3 * list;
  at.histograms = 4 * list;
  at.sums = at.histograms + padded((count + kSortTile - 1) / kSortTile * kSortRadix * 4);
  at.bytes = at.sums + padded((count + kPart - 1) / kPart * width * 4);
  return at;
}

struct EmbeddingBackwardShape {
  int64_t count, rows, width;  // count and rows below 2^31
};

// base: null for none. T: float or bf16.
template <typename T>
void EmbeddingBackward(cudaStream_t stream, const int32_t* ids, const T* dy, const float* base, float* dtable,
                       const EmbeddingBackwardShape& shape, void* workspace);

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_EMBEDDING_CUH_
