// AdamW: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, after clipping by the global
// norm (Pascanu, Mikolov, Bengio 2013). Gradients come as sums over tokens times the loss scale:
//
//   g  = grad·inverse_tokens / loss_scale        n = norm·inverse_tokens / loss_scale
//   n is not finite: all three results are the inputs, the step is skipped
//   clip > 0:        g ·= min(1, clip / (n + 1e-6))
//   m' = beta1·m + (1 - beta1)·g                 v' = beta2·v + (1 - beta2)·g²
//   p' = p·(1 - lr·weight_decay, with decay) - lr / (1 - beta1^step) · m' / (sqrt(v') / sqrt(1 - beta2^step) + epsilon)
#include <algorithm>
#include <cmath>

#include "ir/base/adamw_group.h"
#include "ir/base/scalars.h"
#include "ir/reference/loops.h"

namespace gptc {
namespace {

struct Tensors {
  const std::vector<double>&param, &grad, &m, &v;
  std::vector<double>&param_new, &m_new, &v_new;
};

void Update(const Tensors& x, double norm, const std::vector<double>& s, bool decay) {
  double to_mean = s[kInverseTokens] / s[kLossScale];
  norm *= to_mean;
  if (!std::isfinite(norm)) {
    x.param_new = x.param;
    x.m_new = x.m;
    x.v_new = x.v;
    return;
  }
  double clip = s[kClip] > 0 ? std::min(1.0, s[kClip] / (norm + 1e-6)) : 1;
  double rate = s[kLearningRate] / (1 - std::pow(s[kBeta1], s[kStep]));
  double root = std::sqrt(1 - std::pow(s[kBeta2], s[kStep]));
  double keep = decay ? 1 - s[kLearningRate] * s[kWeightDecay] : 1;
  for (size_t i = 0; i < x.param.size(); ++i) {
    double g = x.grad[i] * to_mean * clip;
    double m = s[kBeta1] * x.m[i] + (1 - s[kBeta1]) * g;
    double v = s[kBeta2] * x.v[i] + (1 - s[kBeta2]) * g * g;
    x.param_new[i] = x.param[i] * keep - rate * m / (std::sqrt(v) / root + s[kEpsilon]);
    x.m_new[i] = m;
    x.v_new[i] = v;
  }
}

}  // namespace

void EvalGlobalNorm(const EvalContext& c) {
  double sum = 0;
  for (const HostTensor* gradient : c.inputs) {
    for (double g : gradient->data) sum += g * g;
  }
  c.result().data[0] = std::sqrt(sum);
}

void EvalAdamW(const EvalContext& c) {
  Update({c.input(0).data, c.input(1).data, c.input(2).data, c.input(3).data, c.result(0).data, c.result(1).data,
          c.result(2).data},
         c.input(4).data[0], c.input(5).data, c.attributes.Bool("decay"));
}

void EvalAdamWGroup(const EvalContext& c) {
  for (const AdamWGroupMember& member : AdamWGroupMembers(c.attributes)) {
    Update({c.input(member.param).data, c.input(member.grad).data, c.input(member.m).data, c.input(member.v).data,
            c.result(member.new_param).data, c.result(member.new_m).data, c.result(member.new_v).data},
           c.input(0).data[0], c.input(1).data, member.decay);
    if (member.copy) c.result(*member.copy).data = c.result(member.new_param).data;
  }
}

}  // namespace gptc
