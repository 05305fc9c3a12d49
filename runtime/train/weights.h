// Weights in and out: one generic walk over a plan's parameters and their names abroad.
#ifndef GPTC_RUNTIME_TRAIN_WEIGHTS_H_
#define GPTC_RUNTIME_TRAIN_WEIGHTS_H_

#include <string>
#include <vector>

#include "ir/base/status.h"
#include "runtime/exec/executor.h"
#include "runtime/formats/safetensors.h"

namespace gptc {

// Fills every parameter of the plan from a file of Hugging Face names (with or without the prefix "transformer."),
// converting to the parameter's type and transposing where its name abroad says so. Padded rows become 0. A tied name
// is read only where the parameter's own name is missing, and must hold the same where both are there; buffers that are
// no weights (attn.bias, attn.masked_bias) are skipped. InvalidArgument, naming `where`, the tensors and both shapes: a
// parameter that is missing, one of another shape, a tensor that the model has no place for.
Status LoadWeights(const Safetensors& tensors, const std::string& where, Executor& executor);

// All parameters under their Hugging Face names, without padding, in `type`. Views of the executor's memory where no
// conversion is needed, so write them before it runs again.
std::vector<TensorToWrite> WeightsToWrite(const Executor& executor, ElementType type = ElementType::kF32);
// A state without its padding, under its name. The same holds.
TensorToWrite StateToWrite(const Executor& executor, int index);
// The state from what the above wrote; padded rows become 0. InvalidArgument where type or shape is another.
Status LoadState(const StoredTensor& stored, Executor& executor, int index);

// config.json that belongs to the weights: GPT2LMHeadModel's for gpt2, the plan's configuration for other models.
// `eot`: id of the end-of-text token, or -1.
std::string ConfigJson(const plan::PlanT& plan, int eot, ElementType type = ElementType::kF32);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_WEIGHTS_H_
