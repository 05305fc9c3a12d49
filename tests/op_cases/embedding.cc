#include <cmath>

#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> EmbeddingCases() {
  std::vector<OpCase> cases;
  struct Sizes {
    int64_t rows, width;
    Shape ids;
  };
  for (const auto& [rows, width, ids] :
       std::vector<Sizes>{{1, 1, {1}},
                          {5, 3, {2, 4}},
                          {7, 33, {9}},
                          {300, 768, {2, 70}},
                          {3, 1031, {65}},
                          {5, 3, {}},
                          // Rows with very many ids, a row with all of them, and more rows than 16 bits number.
                          {3, 8, {3, 1500}},
                          {1, 12, {256}},
                          {40, 3, {2, 2600}},
                          {70000, 4, {130}}}) {
    Shape dy = ids;
    dy.push_back(width);
    for (const Fill fill : {Fill::kIds, Fill::kIgnored}) {
      const std::string label =
          Cat(rows, " rows of ", width, ", ids ", ShapeText(ids), fill == Fill::kIgnored ? ", some negative" : "");
      const CaseInput places = I32(ids, fill, rows);
      cases.push_back({label, Op::kEmbedding, {F32({rows, width}), places}, {}, 0});
      cases.push_back({label + " bf16", Op::kEmbedding, {BF16({rows, width}), places}, {}, 0});
      const double amplitude = std::sqrt(static_cast<double>(ElementCount(ids)));
      const Attributes attributes = {{"rows", rows}};
      cases.push_back({label, Op::kEmbeddingBackward, {places, F32(dy)}, attributes, amplitude});
      cases.push_back({label + " onto a base",
                       Op::kEmbeddingBackward,
                       {places, F32(dy), F32({rows, width})},
                       attributes,
                       amplitude});
      cases.push_back({label + " bf16", Op::kEmbeddingBackward, {places, BF16(dy)}, attributes, amplitude});
      cases.push_back({label + " bf16 onto a base",
                       Op::kEmbeddingBackward,
                       {places, BF16(dy), F32({rows, width})},
                       attributes,
                       amplitude});
    }
  }
  return cases;
}

}  // namespace gptc
