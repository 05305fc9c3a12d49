// Element types.
#ifndef GPTC_IR_BASE_DTYPE_H_
#define GPTC_IR_BASE_DTYPE_H_

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gptc {

enum class DType : uint8_t { kF64, kF32, kBF16, kF16, kI32, kU16, kBool };
inline constexpr int kDTypeCount = 7;

// Bytes of one element; bool takes one byte.
int SizeOf(DType dtype);
// "f64 f32 bf16 f16 i32 u16 bool".
std::string_view NameOf(DType dtype);
std::optional<DType> DTypeNamed(std::string_view name);
bool IsFloat(DType dtype);

// bf16 is the upper half of an f32; conversion rounds to nearest even, and a NaN stays a (quiet) NaN.
inline float FloatFromBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
inline uint16_t Bf16FromFloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
// IEEE binary16, round to nearest even, overflow to infinity.
float FloatFromF16(uint16_t bits);
uint16_t F16FromFloat(float value);

}  // namespace gptc

#endif  // GPTC_IR_BASE_DTYPE_H_
