// safetensors: u64 length N of the header, N bytes of JSON, then the tensors' bytes, little-endian.
// https://github.com/huggingface/safetensors#format
#ifndef GPTC_RUNTIME_FORMATS_SAFETENSORS_H_
#define GPTC_RUNTIME_FORMATS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/formats/element.h"
#include "runtime/formats/files.h"

namespace gptc {

// A tensor inside a mapped file. `bytes` may have any alignment: copy or convert (convert.h), do not cast.
struct StoredTensor {
  ElementType type = ElementType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t elements() const { return static_cast<int64_t>(bytes.size()) / SizeOf(type); }
};

// Tensors by name, and the files they lie in. Views live as long as this object.
class Safetensors {
 public:
  // One file. Every length is checked before it is used: header at most 10^8 bytes, offsets in order without gap or
  // overlap, sizes as type and shape say, and the file exactly covered; otherwise DataLoss that names the file.
  static StatusOr<Safetensors> OpenFile(const std::string& path);
  // A file, a folder with model.safetensors, or one with model.safetensors.index.json and its shards (or that index
  // itself).
  static StatusOr<Safetensors> Open(const std::string& path);

  const std::map<std::string, StoredTensor, std::less<>>& tensors() const { return tensors_; }
  // nullptr where there is none of that name.
  const StoredTensor* Find(std::string_view name) const;
  // `__metadata__`, of all files together.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  Status Add(const std::string& path);

  std::vector<MappedFile> files_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorToWrite {
  std::string name;
  ElementType type = ElementType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  // Where data is null: makes the bytes when their turn comes, so that one converted tensor at a time is in memory.
  std::function<StatusOr<std::vector<std::byte>>()> make;
};

// Writes and fsyncs one file: wider types first and then by name, as the reference implementation, so that all data is
// aligned; `__metadata__ {"format":"pt"}`; the header padded with spaces to 8. Not atomic: write to a temporary name.
Status WriteSafetensors(const std::string& path, std::vector<TensorToWrite> tensors);

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_SAFETENSORS_H_
