#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "ir/reference/loops.h"

namespace gptc {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How many columns row `row` (of all the rows of x) may see.
int64_t Visible(const HostTensor& x, int64_t row, bool causal) {
  int64_t columns = WidthOf(x);
  if (!causal) return columns;
  int64_t rows = x.type.shape.end()[-2];
  return std::clamp<int64_t>(row % rows + (columns - rows) + 1, 0, columns);
}

// In place; a row that is -inf throughout becomes 0.
void SoftmaxOf(double* row, int64_t count) {
  double highest = -kInfinity, sum = 0;
  for (int64_t j = 0; j < count; ++j) highest = std::max(highest, row[j]);
  if (highest == -kInfinity && std::all_of(row, row + count, [](double x) { return x == -kInfinity; })) {
    std::fill(row, row + count, 0);
    return;
  }
  for (int64_t j = 0; j < count; ++j) sum += row[j] = std::exp(row[j] - highest);
  for (int64_t j = 0; j < count; ++j) row[j] /= sum;
}

// One head of one sequence of flash_attention: its places in qkv, y and lse, and its weights' dropout.
struct Head {
  const EvalContext& c;
  const HostTensor& qkv;
  size_t options;  // place of the first optional operand
  int64_t b, head;
  int64_t tokens = qkv.type.shape[1], width = qkv.type.shape[2] / 3, heads = c.attributes.Int("heads");
  int64_t size = width / heads;
  double scale = c.attributes.Double("scale");

  // Element i of row t of q (part 0), k (1) or v (2), as an index into qkv.
  int64_t Packed(int64_t part, int64_t t, int64_t i) const {
    return ((b * tokens + t) * 3 + part) * width + head * size + i;
  }
  int64_t Merged(int64_t t, int64_t i) const { return (b * tokens + t) * width + head * size + i; }
  int64_t Row(int64_t t) const { return (b * heads + head) * tokens + t; }
  // The segments' ids are the operand behind the scalars, which are there where the rate is above 0.
  bool Sees(int64_t t, int64_t s) const {
    if (c.attributes.Bool("causal") && s > t) return false;
    const size_t at = options + (c.attributes.Double("rate") > 0 ? 1 : 0);
    return !c.has(at) || c.input(at).data[b * tokens + t] == c.input(at).data[b * tokens + s];
  }

  double Score(int64_t t, int64_t s) const {
    double dot = 0;
    for (int64_t i = 0; i < size; ++i) dot += qkv.data[Packed(0, t, i)] * qkv.data[Packed(1, s, i)];
    return scale * dot;
  }
  // 0 or 1/(1 - rate): what `dropout` does to entry (head, t, s) of sequence b of a [B, heads, T, T] tensor.
  double Mask(int64_t t, int64_t s) const {
    double rate = c.attributes.Double("rate");
    if (rate == 0) return 1;
    auto scalar = [&](Scalar which) {
      return static_cast<uint64_t>(static_cast<int64_t>(c.input(options).data[which]));
    };
    uint64_t element = static_cast<uint64_t>((head * tokens + t) * tokens + s);
    PhiloxCounter counter = DropoutCounter(element / 4, scalar(kFirstSequence) + b, scalar(kStep));
    PhiloxCounter words = Philox4x32(counter, DropoutKey(scalar(kSeed), c.attributes.Int("key")));
    return words[element % 4] >= DropoutThreshold(rate) ? 1 / (1 - rate) : 0;
  }
};

template <typename Body>
void ForEachHead(const EvalContext& c, const HostTensor& qkv, size_t options, const Body& body) {
  for (int64_t b = 0; b < qkv.type.shape[0]; ++b) {
    for (int64_t head = 0; head < c.attributes.Int("heads"); ++head) body(Head{c, qkv, options, b, head});
  }
}

}  // namespace

void EvalCausalMask(const EvalContext& c) {
  const HostTensor& x = c.input(0);
  int64_t columns = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    for (int64_t j = 0; j < columns; ++j) {
      int64_t place = row * columns + j;
      c.result().data[place] = j < Visible(x, row, true) ? x.data[place] : -kInfinity;
    }
  }
}

void EvalSoftmax(const EvalContext& c) {
  const HostTensor& x = c.input(0);
  int64_t columns = WidthOf(x);
  for (int64_t row = 0; row < RowCountOf(x); ++row) {
    int64_t visible = Visible(x, row, c.attributes.Bool("causal"));
    double* y = c.result().data.data() + row * columns;
    std::copy_n(x.data.data() + row * columns, visible, y);
    SoftmaxOf(y, visible);
  }
}

// dx = y·(dy - sum of y·dy over the row). What the mask hides is 0, whatever dy holds there.
void EvalSoftmaxBackward(const EvalContext& c) {
  const HostTensor &y = c.input(0), &dy = c.input(1);
  int64_t columns = WidthOf(y);
  for (int64_t row = 0; row < RowCountOf(y); ++row) {
    int64_t begin = row * columns, end = begin + Visible(y, row, c.attributes.Bool("causal"));
    double dot = 0;
    for (int64_t i = begin; i < end; ++i) dot += y.data[i] * dy.data[i];
    for (int64_t i = begin; i < end; ++i) c.result().data[i] = y.data[i] * (dy.data[i] - dot);
  }
}

// Rows that have no place in the cache are dropped.
void EvalCacheUpdate(const EvalContext& c) {
  const HostTensor &cache = c.input(0), &x = c.input(1);
  int64_t slots = cache.type.shape[0], context = cache.type.shape[1], width = cache.type.shape[2];
  int64_t rows = x.type.shape[1];
  c.result().data = cache.data;
  for (int64_t b = 0; b < x.type.shape[0]; ++b) {
    int64_t slot = static_cast<int64_t>(c.input(3).data[b]);
    for (int64_t t = 0; t < rows; ++t) {
      int64_t position = static_cast<int64_t>(c.input(2).data[b]) + t;
      if (slot < 0 || slot >= slots || position < 0 || position >= context) continue;
      std::copy_n(x.data.data() + (b * rows + t) * width, width,
                  c.result().data.data() + (slot * context + position) * width);
    }
  }
}

// Query (b, t) attends the keys 0..positions[b] + t of slot slots[b], at most the whole context. A query without a slot
// or with a position below 0 gives 0.
void EvalCachedAttention(const EvalContext& c) {
  const HostTensor &q = c.input(0), &keys = c.input(1), &values = c.input(2);
  int64_t slots = keys.type.shape[0], context = keys.type.shape[1], width = keys.type.shape[2];
  int64_t rows = q.type.shape[1], heads = c.attributes.Int("heads"), head_size = width / heads;
  double scale = c.attributes.Double("scale");
  for (int64_t b = 0; b < q.type.shape[0]; ++b) {
    int64_t slot = static_cast<int64_t>(c.input(4).data[b]);
    if (slot < 0 || slot >= slots) continue;
    for (int64_t t = 0; t < rows; ++t) {
      int64_t count = std::clamp<int64_t>(static_cast<int64_t>(c.input(3).data[b]) + t + 1, 0, context);
      for (int64_t h = 0; h < heads; ++h) {
        int64_t query = (b * rows + t) * width + h * head_size, first = slot * context * width + h * head_size;
        std::vector<double> weights(count);
        for (int64_t j = 0; j < count; ++j) {
          for (int64_t i = 0; i < head_size; ++i) {
            weights[j] += scale * q.data[query + i] * keys.data[first + j * width + i];
          }
        }
        SoftmaxOf(weights.data(), count);
        for (int64_t j = 0; j < count; ++j) {
          for (int64_t i = 0; i < head_size; ++i) {
            c.result().data[query + i] += weights[j] * values.data[first + j * width + i];
          }
        }
      }
    }
  }
}

// y = (softmax(scale · q·kᵀ) · mask)·v; lse, the logarithm of each row's sum of exponentials.
void EvalFlashAttention(const EvalContext& c) {
  ForEachHead(c, c.input(0), 1, [&](const Head& h) {
    for (int64_t t = 0; t < h.tokens; ++t) {
      std::vector<double> weights(h.tokens, -kInfinity);
      for (int64_t s = 0; s < h.tokens; ++s) {
        if (h.Sees(t, s)) weights[s] = h.Score(t, s);
      }
      double highest = *std::max_element(weights.begin(), weights.end()), sum = 0;
      for (double score : weights) sum += std::exp(score - highest);
      c.result(1).data[h.Row(t)] = highest + std::log(sum);
      SoftmaxOf(weights.data(), h.tokens);
      for (int64_t s = 0; s < h.tokens; ++s) {
        if (!h.Sees(t, s)) continue;
        double weight = weights[s] * h.Mask(t, s);
        for (int64_t i = 0; i < h.size; ++i) c.result().data[h.Merged(t, i)] += weight * h.qkv.data[h.Packed(2, s, i)];
      }
    }
  });
}

// p = exp(score - lse). dv = (p · mask)ᵀ·dy; with dp = mask · dy·vᵀ the gradient of the scores is p·(dp - sum of p·dp
// over the row), and that sum is dy·y.
void EvalFlashAttentionBackward(const EvalContext& c) {
  const HostTensor &dy = c.input(0), &y = c.input(2), &lse = c.input(3);
  std::vector<double>& gradient = c.result().data;
  ForEachHead(c, c.input(1), 4, [&](const Head& h) {
    for (int64_t t = 0; t < h.tokens; ++t) {
      double dot = 0;
      for (int64_t i = 0; i < h.size; ++i) dot += dy.data[h.Merged(t, i)] * y.data[h.Merged(t, i)];
      for (int64_t s = 0; s < h.tokens; ++s) {
        if (!h.Sees(t, s)) continue;
        double p = std::exp(h.Score(t, s) - lse.data[h.Row(t)]), mask = h.Mask(t, s), dp = 0;
        for (int64_t i = 0; i < h.size; ++i) {
          dp += mask * dy.data[h.Merged(t, i)] * h.qkv.data[h.Packed(2, s, i)];
          gradient[h.Packed(2, s, i)] += p * mask * dy.data[h.Merged(t, i)];
        }
        double dscore = p * (dp - dot);
        for (int64_t i = 0; i < h.size; ++i) {
          gradient[h.Packed(0, t, i)] += h.scale * dscore * h.qkv.data[h.Packed(1, s, i)];
          gradient[h.Packed(1, s, i)] += h.scale * dscore * h.qkv.data[h.Packed(0, t, i)];
        }
      }
    }
  });
}

}  // namespace gptc
