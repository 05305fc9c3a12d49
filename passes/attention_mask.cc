#include "passes/attention_mask.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace gptc {
namespace {

// Masks are small expressions; nothing deeper is looked through.
constexpr int kMostDepth = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Table = std::array<std::array<double, 2>, 2>;
Table Everywhere(double value) { return {{{value, value}, {value, value}}}; }
Table ByPosition(double after, double before) { return {{{after, after}, {before, before}}}; }
Table BySegment(double other, double same) { return {{{other, same}, {other, same}}}; }

}  // namespace

const OpNode* MaskReader::Producer(Value value) const {
  const ValueInfo& info = graph_.info(value);
  return info.kind == ValueInfo::Kind::kResult && info.producer >= 0 ? &graph_.ops[info.producer] : nullptr;
}

// Whether the value has an element for each pair of a query and a key.
bool MaskReader::CoversScores(Value value) const {
  const Shape& shape = graph_.type(value).shape;
  return shape.size() >= 2 && shape.back() == scores_.back() && shape.end()[-2] == scores_.end()[-2];
}

// Whether it has them for each sequence, and for all heads together.
bool MaskReader::CoversBatch(Value value) const {
  Shape shape = scores_;
  if (shape.size() == 4) shape[1] = 1;
  return graph_.type(value).shape == shape;
}

std::optional<AttentionMask> MaskReader::Read(Value value) {
  if (auto at = known_.find(value.id); at != known_.end()) return at->second;
  if (depth_ == kMostDepth) return {};
  ++depth_;
  std::optional<AttentionMask> mask = Evaluate(value);
  --depth_;
  if (mask && !mask->constant()) {
    if (!CoversScores(value) || (mask->segments.valid() && !CoversBatch(value))) mask.reset();
  }
  return known_[value.id] = mask;
}

std::optional<AttentionMask> MaskReader::Evaluate(Value value) {
  const OpNode* node = Producer(value);
  if (node == nullptr) return {};
  switch (node->op) {
    case Op::kConstant:
      return AttentionMask{Everywhere(node->attributes.Double("value")), {}};
    case Op::kReshape:
    case Op::kBroadcast:
      return Read(node->inputs[0]);
    case Op::kCausalMask: {
      std::optional<AttentionMask> mask = Read(node->inputs[0]);
      if (mask) mask->values[0] = {-kInfinity, -kInfinity};
      return mask;
    }
    case Op::kCompare:
      if (std::optional<AttentionMask> mask = Positions(*node)) return mask;
      if (std::optional<AttentionMask> mask = SameSegment(*node)) return mask;
      return Elementwise(*node);
    default:
      return InfoOf(node->op).family == "elementwise" ? Elementwise(*node) : std::nullopt;
  }
}

// Rows against columns.
std::optional<AttentionMask> MaskReader::Positions(const OpNode& compare) const {
  const std::optional<Index> a = IndexOf(compare.inputs[0], kMostDepth), b = IndexOf(compare.inputs[1], kMostDepth);
  const int64_t tokens = scores_.back();
  if (!a || !b || a->size != tokens || b->size != tokens || scores_.end()[-2] != tokens) return {};
  const std::string& direction = compare.attributes.Str("direction");
  const auto is = [&](const char* rows_first, const char* columns_first) {
    if (tokens == 1) return direction == rows_first || direction == columns_first;
    return (a->axis == 1 && b->axis == 0 && direction == rows_first) ||
           (a->axis == 0 && b->axis == 1 && direction == columns_first);
  };
  if (is("ge", "le")) return AttentionMask{ByPosition(0, 1), {}};
  if (is("lt", "gt")) return AttentionMask{ByPosition(1, 0), {}};
  return {};
}

std::optional<MaskReader::Index> MaskReader::IndexOf(Value value, int depth) const {
  const OpNode* node = Producer(value);
  if (node == nullptr || depth == 0) return {};
  const Shape& shape = graph_.type(value).shape;
  const int64_t rank = static_cast<int64_t>(shape.size());
  if (node->op == Op::kIota) {
    const int64_t axis = node->attributes.Int("axis");
    return Index{shape[axis], rank - 1 - axis};
  }
  if (node->op != Op::kReshape && node->op != Op::kBroadcast && node->op != Op::kCast) return {};
  std::optional<Index> index = IndexOf(node->inputs[0], depth - 1);
  if (!index || index->size == 1) return index;
  if (node->op == Op::kCast) {
    const DType to = node->attributes.Dtype("to");
    return to == DType::kF32 || to == DType::kF64 || to == DType::kI32 ? index : std::nullopt;
  }
  if (node->op == Op::kBroadcast) return index;  // aligned at the last axis; an index of one element came back above
  // After a reshape it is the axis of the same size with as many elements from one index to the next.
  const Shape& before = graph_.type(node->inputs[0]).shape;
  int64_t stride = 1, elements = 1;
  for (int64_t i = 0; i < index->axis; ++i) stride *= before.end()[-1 - i];
  for (int64_t i = 0; i < rank; elements *= shape.end()[-1 - i], ++i) {
    if (elements == stride && shape.end()[-1 - i] == index->size) return Index{index->size, i};
  }
  return {};
}

// ids[.., T, 1] against ids[.., 1, T].
std::optional<AttentionMask> MaskReader::SameSegment(const OpNode& compare) const {
  const std::string& direction = compare.attributes.Str("direction");
  if (direction != "eq" && direction != "ne") return {};
  const int64_t tokens = scores_.back();
  Shape of_rows = scores_, of_columns = scores_;
  if (scores_.size() == 4) of_rows[1] = of_columns[1] = 1;
  of_rows.back() = 1;
  of_columns.end()[-2] = 1;
  if (scores_.end()[-2] != tokens) return {};
  Value ids[2] = {compare.inputs[0], compare.inputs[1]};
  if (graph_.type(ids[0]).shape != of_rows) std::swap(ids[0], ids[1]);
  if (graph_.type(ids[0]).shape != of_rows || graph_.type(ids[1]).shape != of_columns) return {};
  for (Value& value : ids) {
    while (Producer(value) != nullptr && Producer(value)->op == Op::kReshape) value = Producer(value)->inputs[0];
  }
  if (ids[0] != ids[1] || graph_.type(ids[0]).dtype != DType::kI32) return {};
  return AttentionMask{direction == "eq" ? BySegment(0, 1) : BySegment(1, 0), ids[0]};
}

// Any op that works element by element, on the four cases at once.
std::optional<AttentionMask> MaskReader::Elementwise(const OpNode& node) {
  if (node.inputs.empty()) return {};
  AttentionMask result;
  std::vector<HostTensor> cases;
  for (Value input : node.inputs) {
    const std::optional<AttentionMask> mask = Read(input);
    if (!mask) return {};
    if (mask->segments.valid()) {
      if (result.segments.valid() && result.segments != mask->segments) return {};
      result.segments = mask->segments;
    }
    const Table& v = mask->values;
    cases.emplace_back(Type{graph_.type(input).dtype, {4}}, std::vector<double>{v[0][0], v[0][1], v[1][0], v[1][1]});
  }
  std::vector<const HostTensor*> operands;
  for (const HostTensor& each : cases) operands.push_back(&each);
  const Type type{graph_.type(node.results[0]).dtype, {4}};
  const std::vector<double> values =
      EvaluateOp(node.op, operands, node.attributes, std::span(&type, 1), Rounding::kRounded)[0].data;
  result.values = {{{values[0], values[1]}, {values[2], values[3]}}};
  return result;
}

}  // namespace gptc
