// The run-time scalars: one small state, f64[kScalarCount], that the trainer writes before a step and kernels read.
#ifndef GPTC_IR_BASE_SCALARS_H_
#define GPTC_IR_BASE_SCALARS_H_

namespace gptc {

enum Scalar {
  kLearningRate,
  kBeta1,
  kBeta2,
  kEpsilon,
  kWeightDecay,
  kClip,           // largest global norm of the gradient; 0: no clipping
  kStep,           // the optimizer step, counted from 1 (bias correction, dropout)
  kInverseTokens,  // 1 / valid tokens of the global batch
  kLossScale,
  kSeed,           // an integer below 2^53
  kFirstSequence,  // index in the global batch of this micro-batch's first sequence (dropout)
  kScalarCount,
};

inline constexpr const char* kScalarsState = "scalars";

}  // namespace gptc

#endif  // GPTC_IR_BASE_SCALARS_H_
