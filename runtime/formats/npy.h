// numpy's .npy files, version 1.0: magic, u16 length of the header, a Python dictionary as text, then the array,
// little-endian. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef GPTC_RUNTIME_FORMATS_NPY_H_
#define GPTC_RUNTIME_FORMATS_NPY_H_

#include <cstdint>
#include <span>
#include <string>

#include "ir/base/status.h"
#include "runtime/formats/files.h"

namespace gptc {

// A matrix f32 [rows, columns] written row by row to a file that numpy.load reads. The number of rows is told
// beforehand; it is whole, and fsynced, after Finish.
class NpyWriter {
 public:
  static StatusOr<NpyWriter> Create(const std::string& path, int64_t rows, int64_t columns);
  // Some of the elements, in row-major order.
  Status Append(std::span<const float> values);
  // REQUIRES: rows · columns elements were appended.
  Status Finish();

 private:
  NpyWriter(FileWriter file, int64_t left) : file_(std::move(file)), left_(left) {}
  FileWriter file_;
  int64_t left_;  // elements to come
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_NPY_H_
