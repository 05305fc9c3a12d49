#include "runtime/formats/npy.h"

#include <utility>

#include "ir/base/check.h"

namespace gptc {
namespace {

constexpr size_t kAlignment = 64;  // of the array within the file
constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);

std::string Header(int64_t rows, int64_t columns) {
  std::string dictionary = Cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  const size_t before = kMagic.size() + 2, unpadded = before + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dictionary.push_back('\n');
  std::string header(kMagic);
  header.push_back(static_cast<char>(dictionary.size() & 0xff));
  header.push_back(static_cast<char>(dictionary.size() >> 8));
  return header + dictionary;
}

}  // namespace

StatusOr<NpyWriter> NpyWriter::Create(const std::string& path, int64_t rows, int64_t columns) {
  ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  RETURN_IF_ERROR(file.Append(Header(rows, columns)));
  return NpyWriter(std::move(file), rows * columns);
}

Status NpyWriter::Append(std::span<const float> values) {
  left_ -= static_cast<int64_t>(values.size());
  return file_.Append(values.data(), values.size_bytes());
}

Status NpyWriter::Finish() {
  CHECK(left_ == 0, left_, " elements are missing");
  return file_.Finish();
}

}  // namespace gptc
