// Loops over OpenMP threads whose results do not depend on how many threads there are.
//
// The range is cut into chunks [0, grain), [grain, 2·grain), ...: where a chunk begins and ends depends on `count` and
// `grain` alone. A kernel that keeps to its chunk therefore gives the same bits on any number of threads. A range of
// one chunk, or one within a parallel region, runs on the calling thread.
#ifndef GPTC_RUNTIME_CPU_PARALLEL_H_
#define GPTC_RUNTIME_CPU_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace gptc {

// Elements' worth of simple work (a load, an operation or two, a store) below which waking a second thread costs more
// than it saves.
inline constexpr int64_t kChunkWork = 8192;

// Items to a chunk where each is `work_per_item` elements' worth of work.
inline int64_t GrainFor(int64_t work_per_item) {
  return std::max<int64_t>(1, kChunkWork / std::max<int64_t>(1, work_per_item));
}

inline int64_t ChunkCount(int64_t count, int64_t grain) { return (count + grain - 1) / grain; }

// body(begin, end) for every chunk. Each thread takes one contiguous run of chunks, the same in every call, so that
// kernels that follow one another find their rows in the cache of their core. REQUIRES: grain >= 1.
template <typename Body>
void ParallelFor(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int64_t chunks = ChunkCount(count, grain);
  if (chunks == 1 || omp_in_parallel()) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk * grain, std::min(count, (chunk + 1) * grain));
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk * grain, std::min(count, (chunk + 1) * grain));
}

// The same where chunks take very different times (causal rows, caches filled to different lengths): whoever is free
// takes the next.
template <typename Body>
void ParallelForUneven(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int64_t chunks = ChunkCount(count, grain);
  if (chunks == 1 || omp_in_parallel()) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk * grain, std::min(count, (chunk + 1) * grain));
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk * grain, std::min(count, (chunk + 1) * grain));
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_PARALLEL_H_
