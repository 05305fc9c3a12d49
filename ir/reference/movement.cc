#include "ir/reference/loops.h"

namespace gptc {
namespace {

// Puts `part` into `whole` (or takes it from there) at `start` along `axis`.
enum class Direction { kPut, kTake };
void Window(Direction direction, const HostTensor& from, HostTensor& to, int64_t axis, int64_t start) {
  const Shape& part = direction == Direction::kPut ? from.type.shape : to.type.shape;
  Shape strides = StridesOf(direction == Direction::kPut ? to.type.shape : from.type.shape);
  for (int64_t i = 0; i < ElementCount(part); ++i) {
    int64_t place = start * strides[axis] + Offset(i, part, strides);
    if (direction == Direction::kPut) {
      to.data[place] = from.data[i];
    } else {
      to.data[i] = from.data[place];
    }
  }
}

}  // namespace

void EvalReshape(const EvalContext& c) { c.result().data = c.input(0).data; }

void EvalBroadcast(const EvalContext& c) {
  const Shape& shape = c.result().type.shape;
  Shape strides = BroadcastStrides(c.input(0).type.shape, shape);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = c.input(0).data[Offset(i, shape, strides)];
}

void EvalTranspose(const EvalContext& c) {
  const Shape& shape = c.result().type.shape;
  Shape own = StridesOf(c.input(0).type.shape), strides;
  for (int64_t axis : c.attributes.Ints("permutation")) strides.push_back(own[axis]);
  for (int64_t i = 0; i < SizeOf(c.result()); ++i) c.result().data[i] = c.input(0).data[Offset(i, shape, strides)];
}

void EvalSlice(const EvalContext& c) {
  Window(Direction::kTake, c.input(0), c.result(), c.attributes.Int("axis"), c.attributes.Int("start"));
}

void EvalPad(const EvalContext& c) {
  Window(Direction::kPut, c.input(0), c.result(), c.attributes.Int("axis"), c.attributes.Int("low"));
}

void EvalSplit(const EvalContext& c) {
  int64_t axis = c.attributes.Int("axis");
  for (size_t part = 0; part < c.results.size(); ++part) {
    HostTensor& result = c.result(part);
    Window(Direction::kTake, c.input(0), result, axis, static_cast<int64_t>(part) * result.type.shape[axis]);
  }
}

void EvalConcat(const EvalContext& c) {
  int64_t axis = c.attributes.Int("axis"), start = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    Window(Direction::kPut, c.input(i), c.result(), axis, start);
    start += c.input(i).type.shape[axis];
  }
}

}  // namespace gptc
