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

#include "ir/base/scalars.h"
#include "ir/reference/loops.h"

namespace gptc {

void EvalGlobalNorm(const EvalContext& c) {
  double sum = 0;
  for (const HostTensor* gradient : c.inputs) {
    for (double g : gradient->data) sum += g * g;
  }
  c.result().data[0] = std::sqrt(sum);
}

void EvalAdamW(const EvalContext& c) {
  const std::vector<double>&param = c.input(0).data, &m = c.input(2).data, &v = c.input(3).data;
  const std::vector<double>& s = c.input(5).data;
  double to_mean = s[kInverseTokens] / s[kLossScale];
  double norm = c.input(4).data[0] * to_mean;
  if (!std::isfinite(norm)) {
    for (size_t i = 0; i < 3; ++i) c.result(i).data = c.input(i == 0 ? 0 : i + 1).data;
    return;
  }
  double clip = s[kClip] > 0 ? std::min(1.0, s[kClip] / (norm + 1e-6)) : 1;
  double rate = s[kLearningRate] / (1 - std::pow(s[kBeta1], s[kStep]));
  double root = std::sqrt(1 - std::pow(s[kBeta2], s[kStep]));
  double keep = c.attributes.Bool("decay") ? 1 - s[kLearningRate] * s[kWeightDecay] : 1;
  for (size_t i = 0; i < param.size(); ++i) {
    double g = c.input(1).data[i] * to_mean * clip;
    double m_new = s[kBeta1] * m[i] + (1 - s[kBeta1]) * g;
    double v_new = s[kBeta2] * v[i] + (1 - s[kBeta2]) * g * g;
    c.result(0).data[i] = param[i] * keep - rate * m_new / (std::sqrt(v_new) / root + s[kEpsilon]);
    c.result(1).data[i] = m_new;
    c.result(2).data[i] = v_new;
  }
}

}  // namespace gptc
