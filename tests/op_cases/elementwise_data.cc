#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> ElementwiseDataCases() {
  std::vector<OpCase> cases;
  for (const char* direction : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    const Attributes attributes = {{"direction", std::string(direction)}};
    const auto add = [&](const char* label, CaseInput a, CaseInput b) {
      cases.push_back({Cat(direction, " ", label), Op::kCompare, {std::move(a), std::move(b)}, attributes, 0, false});
    };
    add("f32", F32({9, 31}, Fill::kTies), F32({9, 31}, Fill::kTies));
    add("row", F32({9, 3000}, Fill::kTies), F32({3000}, Fill::kTies));
    add("column", F32({9, 31}, Fill::kTies), F32({9, 1}, Fill::kTies));
    add("special values", F32({50, 31}, Fill::kSpecial), F32({50, 31}, Fill::kSpecial));
    add("bf16", BF16({9, 31}, Fill::kTies), BF16({}, Fill::kTies));
    add("i32", I32({9, 31}, Fill::kTies), I32({31}, Fill::kTies));
    add("f64", F64({31}, Fill::kTies), F64({31}, Fill::kTies));
  }

  cases.push_back({"same shapes", Op::kSelect, {Bool({3, 5}), F32({3, 5}), F32({3, 5})}});
  cases.push_back({"broadcast condition", Op::kSelect, {Bool({5}), F32({3, 5}), F32({3, 5})}});
  cases.push_back({"broadcast branches", Op::kSelect, {Bool({3, 5}), F32({}), F32({3, 1})}});
  cases.push_back({"all broadcast", Op::kSelect, {Bool({4, 1, 1}), F32({3, 1}), F32({2})}});
  cases.push_back({"large", Op::kSelect, {Bool({70, 301}), F32({70, 301}), F32({301})}});
  cases.push_back({"scalars", Op::kSelect, {Bool({}), F32({}), F32({})}});
  cases.push_back({"NaN in what is not chosen",
                   Op::kSelect,
                   {Bool({40, 50}), F32({40, 50}, Fill::kSpecial), F32({})},
                   {},
                   0,
                   false});
  cases.push_back({"bf16", Op::kSelect, {Bool({70, 31}), BF16({70, 31}), BF16({70, 31})}});
  cases.push_back({"i32", Op::kSelect, {Bool({70, 31}), I32({70, 31}), I32({31})}, {}, 0});
  cases.push_back({"f64", Op::kSelect, {Bool({5}), F64({5}), F64({5})}});
  cases.push_back({"bool", Op::kSelect, {Bool({50}), Bool({50}), Bool({})}});

  for (int from = 0; from < kDTypeCount; ++from) {
    for (int to = 0; to < kDTypeCount; ++to) {
      const auto source = static_cast<DType>(from), target = static_cast<DType>(to);
      CaseInput x = {{source, {3, 1031}}, Fill::kNormal};
      if (IsFloat(source) && !IsFloat(target)) x.fill = Fill::kTies;
      cases.push_back({Cat(NameOf(source), " to ", NameOf(target)), Op::kCast, {x}, {{"to", target}}, 0, false});
      if (!IsFloat(source)) continue;
      x.fill = Fill::kSpecial;
      cases.push_back({Cat("special values of ", NameOf(source), " to ", NameOf(target)),
                       Op::kCast,
                       {x},
                       {{"to", target}},
                       0,
                       false});
      x.fill = Fill::kLarge;
      cases.push_back(
          {Cat("large ", NameOf(source), " to ", NameOf(target)), Op::kCast, {x}, {{"to", target}}, 0, false});
    }
  }
  cases.push_back({"small f64 to f64", Op::kCast, {F64({7})}, {{"to", DType::kF64}}});

  for (const DType type :
       {DType::kF64, DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kU16, DType::kBool}) {
    for (const Shape& shape : {Shape{}, Shape{3, 4001}}) {
      cases.push_back(
          {Cat(TypeText({type, shape})), Op::kConstant, {}, {{"value", 1.0}, {"type", type}, {"shape", shape}}, 0});
    }
  }
  cases.push_back({"a fraction", Op::kConstant, {}, {{"value", 0.1}, {"type", DType::kBF16}, {"shape", Shape{5}}}, 0});

  for (const int64_t axis : {0, 1, 2}) {
    const Attributes attributes = {{"axis", axis}, {"shape", Shape{3, 70, 50}}};
    cases.push_back({Cat("axis ", axis), Op::kIota, {}, attributes, 0});
  }
  cases.push_back({"one element", Op::kIota, {}, {{"axis", int64_t{0}}, {"shape", Shape{1}}}, 0});
  cases.push_back({"empty", Op::kIota, {}, {{"axis", int64_t{1}}, {"shape", Shape{2, 0}}}, 0});

  cases.push_back({"f32", Op::kCopy, {F32({3, 5})}});
  cases.push_back({"large", Op::kCopy, {F32({3, 50001})}});
  cases.push_back({"bf16", Op::kCopy, {BF16({7, 5})}});
  cases.push_back({"i32", Op::kCopy, {I32({7, 5})}, {}, 0});
  cases.push_back({"empty", Op::kCopy, {F32({0, 5})}});
  return cases;
}

}  // namespace gptc
