#include "ir/base/dtype.h"

#include <array>

namespace gptc {
namespace {
struct Row {
  std::string_view name;
  int size;
  bool is_float;
};
constexpr std::array<Row, kDTypeCount> kRows = {{{"f64", 8, true},
                                                 {"f32", 4, true},
                                                 {"bf16", 2, true},
                                                 {"f16", 2, true},
                                                 {"i32", 4, false},
                                                 {"u16", 2, false},
                                                 {"bool", 1, false}}};
}  // namespace

int SizeOf(DType dtype) { return kRows[static_cast<int>(dtype)].size; }
std::string_view NameOf(DType dtype) { return kRows[static_cast<int>(dtype)].name; }
bool IsFloat(DType dtype) { return kRows[static_cast<int>(dtype)].is_float; }

std::optional<DType> DTypeNamed(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (kRows[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

float FloatFromF16(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {  // zero or subnormal: mantissa · 2^-24
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t F16FromFloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 2^16 or more
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds to a multiple of 2^-24
    float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  return static_cast<uint16_t>(sign | ((magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13));
}

}  // namespace gptc
