#include "tests/op_cases/agreement.h"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace gptc {
namespace {

// What a kernel may be off by, in parts of the result's size: for f32 a few units in the last place (transcendentals
// take up to 4), for the 16-bit types one unit, as the neighbour may be the nearer one of a value computed in f32.
double RelativeTolerance(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 1e-12;
    case DType::kF32:
      return 2e-6;
    case DType::kBF16:
      return 0x1.01p-7;
    case DType::kF16:
      return 0x1.01p-10;
    default:
      return 0;
  }
}
// The part that is relative to the case's amplitude: the arithmetic's, which is f32 for the 16-bit types.
double AmplitudeTolerance(DType dtype) { return dtype == DType::kF64 ? 1e-12 : IsFloat(dtype) ? 2e-6 : 0; }

}  // namespace

Bytes Encoded(const HostTensor& tensor) {
  Bytes bytes(static_cast<size_t>(ByteCount(tensor.type)));
  void* const to = bytes.data();
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    const double value = tensor.data[i];
    switch (tensor.type.dtype) {
      case DType::kF64:
        static_cast<double*>(to)[i] = value;
        break;
      case DType::kF32:
        static_cast<float*>(to)[i] = static_cast<float>(value);
        break;
      case DType::kBF16:
        static_cast<uint16_t*>(to)[i] = Bf16FromFloat(static_cast<float>(value));
        break;
      case DType::kF16:
        static_cast<uint16_t*>(to)[i] = F16FromFloat(static_cast<float>(value));
        break;
      case DType::kI32:
        static_cast<int32_t*>(to)[i] = static_cast<int32_t>(value);
        break;
      case DType::kU16:
        static_cast<uint16_t*>(to)[i] = static_cast<uint16_t>(value);
        break;
      case DType::kBool:
        static_cast<uint8_t*>(to)[i] = value != 0;
        break;
    }
  }
  return bytes;
}

HostTensor Decoded(const Type& type, const void* from) {
  HostTensor tensor(type);
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    switch (type.dtype) {
      case DType::kF64:
        tensor.data[i] = static_cast<const double*>(from)[i];
        break;
      case DType::kF32:
        tensor.data[i] = static_cast<const float*>(from)[i];
        break;
      case DType::kBF16:
        tensor.data[i] = FloatFromBf16(static_cast<const uint16_t*>(from)[i]);
        break;
      case DType::kF16:
        tensor.data[i] = FloatFromF16(static_cast<const uint16_t*>(from)[i]);
        break;
      case DType::kI32:
        tensor.data[i] = static_cast<const int32_t*>(from)[i];
        break;
      case DType::kU16:
        tensor.data[i] = static_cast<const uint16_t*>(from)[i];
        break;
      case DType::kBool:
        tensor.data[i] = static_cast<const uint8_t*>(from)[i];
        break;
    }
  }
  return tensor;
}

std::vector<std::vector<int>> Sharings(const OpInfo& info, const std::vector<Type>& inputs,
                                       const std::vector<Type>& results) {
  constexpr size_t kEach = 6;  // results that are tried one by one; of more, the rest is like them
  std::vector<std::vector<int>> sharings;
  std::vector<int> all(results.size(), -1);
  for (size_t r = 0; r < results.size(); ++r) {
    for (int input : info.AliasCandidates(r, inputs.size())) {
      if (inputs[input] != results[r]) continue;
      std::vector<int> one(results.size(), -1);
      one[r] = input;
      if (r < kEach) sharings.push_back(one);
      if (all[r] < 0 && std::find(all.begin(), all.end(), input) == all.end()) all[r] = input;
    }
  }
  if (results.size() > 1 && std::count(all.begin(), all.end(), -1) < static_cast<int>(results.size()) - 1)
    sharings.push_back(all);
  return sharings;
}

Allowance AllowanceOfBf16Attention(const OpCase& op_case, const std::vector<Type>& results) {
  Allowance allowance(results.size());
  if ((op_case.op != Op::kFlashAttention && op_case.op != Op::kFlashAttentionBackward) ||
      results[0].dtype != DType::kBF16) {
    return allowance;
  }
  // Each term is off by up to 2^-8 of itself, 2^-9 in the mean.
  allowance[0].assign(static_cast<size_t>(ElementCount(results[0].shape)), 0x1p-9 * op_case.amplitude);
  return allowance;
}

std::vector<std::string> Differences(const OpCase& op_case, const std::vector<HostTensor>& wanted,
                                     std::span<const Bytes> results, const Allowance& allowance) {
  std::vector<std::string> differences;
  for (size_t r = 0; r < wanted.size(); ++r) {
    const DType dtype = wanted[r].type.dtype;
    const HostTensor got = Decoded(wanted[r].type, results[r].data());
    const bool allowed = r < allowance.size() && !allowance[r].empty();
    int failures = 0;
    for (size_t i = 0; i < got.data.size() && failures < 5; ++i) {
      const double x = got.data[i], y = wanted[r].data[i];
      const double tolerance = RelativeTolerance(dtype) * std::abs(y) + AmplitudeTolerance(dtype) * op_case.amplitude +
                               (allowed ? allowance[r][i] : 0);
      // Numbers too small for the type's full precision may come out as 0.
      const double least = dtype == DType::kF64 ? 1e-300 : 1.2e-38;
      const bool same =
          x == y || (std::isnan(x) && std::isnan(y)) || (std::isfinite(y) && std::abs(x - y) <= tolerance + least);
      if (same) continue;
      ++failures;
      differences.push_back(
          Cat("result ", r, ", element ", i, ": ", x, ", the reference gives ", y, " (tolerance ", tolerance, ")"));
    }
  }
  return differences;
}

std::string TestName(size_t index) {
  std::string name;
  for (char c : AllOpCases()[index].Name()) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      name.push_back(c);
    } else if (!name.empty() && name.back() != '_') {
      name.push_back('_');
    }
  }
  return Cat(name, "_", index);
}

std::vector<size_t> CasesWhere(bool (*applies)(const OpCase&)) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < AllOpCases().size(); ++i) {
    if (applies(AllOpCases()[i])) indices.push_back(i);
  }
  return indices;
}

bool HasKernel(const OpCase& op_case) { return InfoOf(op_case.op).execution == Execution::kKernel; }

}  // namespace gptc
