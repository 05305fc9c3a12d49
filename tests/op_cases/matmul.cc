#include <cmath>

#include "ir/base/packing.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

void ClearPadding(HostTensor& packed, int64_t k, int64_t n) {
  std::vector<double> cleared(packed.data.size());
  for (int64_t row = 0; row < k; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      const int64_t place = PackedOffset(packed.type.dtype, k, row, column);
      cleared[place] = packed.data[place];
    }
  }
  packed.data = std::move(cleared);
}

std::vector<OpCase> MatMulCases() {
  std::vector<OpCase> cases;
  struct Sizes {
    Shape a_batch, b_batch;
    int64_t m, k, n;
  };
  const std::vector<Sizes> all = {{{}, {}, 1, 1, 1},      {{}, {}, 3, 4, 5},           {{}, {}, 1, 64, 96},
                                  {{}, {}, 1, 300, 271},  {{}, {}, 33, 65, 17},        {{}, {}, 40, 1031, 19},
                                  {{2}, {2}, 3, 2, 4},    {{2}, {}, 3, 2, 4},          {{}, {2}, 3, 2, 4},
                                  {{2, 1}, {3}, 2, 3, 2}, {{2, 3}, {2, 3}, 17, 8, 17}, {{2, 4}, {1, 4}, 9, 16, 33},
                                  {{1}, {5}, 2, 3, 4}};
  for (const Sizes& s : all) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const bool transpose_a = (transposes & 1) != 0, transpose_b = (transposes & 2) != 0;
      Shape a = s.a_batch, b = s.b_batch;
      a.insert(a.end(), {transpose_a ? s.k : s.m, transpose_a ? s.m : s.k});
      b.insert(b.end(), {transpose_b ? s.n : s.k, transpose_b ? s.k : s.n});
      const Attributes attributes = {{"transpose_a", transpose_a}, {"transpose_b", transpose_b}};
      Attributes widened = attributes;
      widened.Set("widen", true);
      const std::string label =
          Cat(ShapeText(a), transpose_a ? " transposed" : "", " by ", ShapeText(b), transpose_b ? " transposed" : "");
      const double amplitude = std::sqrt(static_cast<double>(s.k));
      cases.push_back({label, Op::kMatMul, {F32(a), F32(b)}, attributes, amplitude});
      cases.push_back({label + " bf16", Op::kMatMul, {BF16(a), BF16(b)}, attributes, amplitude});
      cases.push_back({label + " bf16 widened", Op::kMatMul, {BF16(a), BF16(b)}, widened, amplitude});
      if (s.a_batch == s.b_batch) {
        Shape c = s.a_batch;
        c.insert(c.end(), {s.m, s.n});
        cases.push_back({label + " plus c", Op::kMatMul, {F32(a), F32(b), F32(c)}, attributes, amplitude});
        cases.push_back({label + " bf16 plus f32 c", Op::kMatMul, {BF16(a), BF16(b), F32(c)}, attributes, amplitude});
        cases.push_back({label + " bf16 plus c", Op::kMatMul, {BF16(a), BF16(b), BF16(c)}, attributes, amplitude});
      }
    }
  }
  const std::vector<std::array<int64_t, 3>> linears = {{1, 1, 1},     {3, 4, 5},      {1, 33, 65},
                                                       {4, 64, 96},   {17, 100, 31},  {1, 777, 771},
                                                       {2, 768, 770}, {33, 520, 515}, {65, 130, 1031}};
  for (const auto& [rows, in, out] : linears) {
    const std::string label = Cat(rows, " rows, ", in, " to ", out);
    const double amplitude = std::sqrt(static_cast<double>(in));
    cases.push_back({label, Op::kLinear, {F32({rows, in}), F32({in, out})}, {}, amplitude});
    cases.push_back({label + " with bias", Op::kLinear, {F32({rows, in}), F32({in, out}), F32({out})}, {}, amplitude});
    cases.push_back({label + " bf16", Op::kLinear, {BF16({rows, in}), BF16({in, out})}, {}, amplitude});
    cases.push_back(
        {label + " bf16 with bias", Op::kLinear, {BF16({rows, in}), BF16({in, out}), BF16({out})}, {}, amplitude});
    cases.push_back(
        {label + " bf16 with f32 bias", Op::kLinear, {BF16({rows, in}), BF16({in, out}), F32({out})}, {}, amplitude});
    cases.push_back({label + " bf16 with f32 bias, widened",
                     Op::kLinear,
                     {BF16({rows, in}), BF16({in, out}), F32({out})},
                     {{"widen", true}},
                     amplitude});
    cases.push_back(
        {label + " bf16 widened", Op::kLinear, {BF16({rows, in}), BF16({in, out})}, {{"widen", true}}, amplitude});
  }
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [rows, in, out] : linears) {
      const std::string label = Cat(rows, " rows, ", in, " to ", out, ", packed ", NameOf(dtype));
      const double amplitude = std::sqrt(static_cast<double>(in));
      const Attributes columns = {{"columns", out}};
      cases.push_back({.label = label,
                       .op = Op::kLinear,
                       .inputs = {{{dtype, {rows, in}}}, {PackedType(dtype, in, out)}, F32({out})},
                       .attributes = columns,
                       .amplitude = amplitude,
                       .differentiable = false,
                       .prepare = [in, out](std::vector<HostTensor>& inputs) { ClearPadding(inputs[1], in, out); }});
      for (const bool transpose : {false, true}) {
        cases.push_back({.label = Cat(label, transpose ? ", transposed" : ""),
                         .op = Op::kPack,
                         .inputs = {F32(transpose ? Shape{out, in} : Shape{in, out})},
                         .attributes = {{"transpose", transpose}, {"to", dtype}}});
      }
    }
  }
  cases.push_back({"three axes", Op::kLinear, {F32({2, 3, 4}), F32({4, 5}), F32({5})}, {}, 2});
  cases.push_back({"one axis", Op::kLinear, {F32({4}), F32({4, 5}), F32({5})}, {}, 2});
  return cases;
}

}  // namespace gptc
