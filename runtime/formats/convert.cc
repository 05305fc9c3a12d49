#include "runtime/formats/convert.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace gptc {
namespace {

// One element as bits, and what it means. The value is a double for F64 only, so that the common pairs stay in f32.
struct F64 {
  using Bits = double;
  static double Value(Bits bits) { return bits; }
  template <typename T>
  static Bits Of(T value) {
    return static_cast<double>(value);
  }
};
struct F32 {
  using Bits = float;
  static float Value(Bits bits) { return bits; }
  template <typename T>
  static Bits Of(T value) {
    return static_cast<float>(value);
  }
};
struct BF16 {
  using Bits = uint16_t;
  static float Value(Bits bits) { return FloatFromBf16(bits); }
  template <typename T>
  static Bits Of(T value) {
    return Bf16FromFloat(static_cast<float>(value));
  }
};
struct F16 {
  using Bits = uint16_t;
  static float Value(Bits bits) { return FloatFromF16(bits); }
  template <typename T>
  static Bits Of(T value) {
    return F16FromFloat(static_cast<float>(value));
  }
};
// Any type of N bytes, copied.
template <typename T>
struct Raw {
  using Bits = T;
  static T Value(Bits bits) { return bits; }
  static Bits Of(T value) { return value; }
};

template <typename From, typename To>
void ConvertOne(const std::byte* source, std::byte* target) {
  typename From::Bits in;
  std::memcpy(&in, source, sizeof(in));
  typename To::Bits out = To::Of(From::Value(in));
  std::memcpy(target, &out, sizeof(out));
}

template <typename From, typename To>
void Flat(const std::byte* source, std::byte* target, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    ConvertOne<From, To>(source + i * sizeof(typename From::Bits), target + i * sizeof(typename To::Bits));
}

template <typename From, typename To>
void Transposed(const std::byte* source, std::byte* target, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 32;  // a tile of either side fits L1
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    for (int64_t c0 = 0; c0 < columns; c0 += kTile) {
      for (int64_t c = c0; c < std::min(c0 + kTile, columns); ++c) {
        for (int64_t r = r0; r < std::min(r0 + kTile, rows); ++r) {
          ConvertOne<From, To>(source + (r * columns + c) * static_cast<int64_t>(sizeof(typename From::Bits)),
                               target + (c * rows + r) * static_cast<int64_t>(sizeof(typename To::Bits)));
        }
      }
    }
  }
}

template <typename T>
struct Tag {
  using Type = T;
};

// Calls `visit` with the tag of a float type.
template <typename Visit>
void WithFloat(ElementType type, Visit visit) {
  switch (type) {
    case ElementType::kF64:
      return visit(Tag<F64>());
    case ElementType::kF32:
      return visit(Tag<F32>());
    case ElementType::kBF16:
      return visit(Tag<BF16>());
    default:
      return visit(Tag<F16>());
  }
}

template <typename Visit>
void WithRaw(int size, Visit visit) {
  switch (size) {
    case 1:
      return visit(Tag<Raw<uint8_t>>());
    case 2:
      return visit(Tag<Raw<uint16_t>>());
    case 4:
      return visit(Tag<Raw<uint32_t>>());
    default:
      return visit(Tag<Raw<uint64_t>>());
  }
}

Status CheckPair(ElementType from, ElementType to) {
  if (from == to || (IsFloat(from) && IsFloat(to))) return OkStatus();
  return InvalidArgument("cannot convert ", NameOf(from), " to ", NameOf(to));
}

}  // namespace

Status ConvertElements(ElementType from, const void* source, ElementType to, void* target, int64_t count) {
  RETURN_IF_ERROR(CheckPair(from, to));
  if (count <= 0) return OkStatus();
  if (from == to) {
    std::memcpy(target, source, static_cast<size_t>(count) * static_cast<size_t>(SizeOf(from)));
    return OkStatus();
  }
  WithFloat(from, [&](auto in) {
    WithFloat(to, [&](auto out) {
      Flat<typename decltype(in)::Type, typename decltype(out)::Type>(static_cast<const std::byte*>(source),
                                                                      static_cast<std::byte*>(target), count);
    });
  });
  return OkStatus();
}

Status ConvertTransposed(ElementType from, const void* source, ElementType to, void* target, int64_t rows,
                         int64_t columns) {
  RETURN_IF_ERROR(CheckPair(from, to));
  const auto* in_bytes = static_cast<const std::byte*>(source);
  auto* out_bytes = static_cast<std::byte*>(target);
  if (from == to) {
    WithRaw(SizeOf(from), [&](auto raw) {
      using T = typename decltype(raw)::Type;
      Transposed<T, T>(in_bytes, out_bytes, rows, columns);
    });
    return OkStatus();
  }
  WithFloat(from, [&](auto in) {
    WithFloat(to, [&](auto out) {
      Transposed<typename decltype(in)::Type, typename decltype(out)::Type>(in_bytes, out_bytes, rows, columns);
    });
  });
  return OkStatus();
}

}  // namespace gptc
