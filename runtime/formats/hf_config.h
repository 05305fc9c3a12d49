// config.json of a GPT-2 in the form of Hugging Face transformers (GPT2Config).
#ifndef GPTC_RUNTIME_FORMATS_HF_CONFIG_H_
#define GPTC_RUNTIME_FORMATS_HF_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

struct HfConfig {
  int64_t vocab = 50257;                 // vocab_size
  int64_t context = 1024;                // n_positions
  int64_t width = 768;                   // n_embd
  int64_t layers = 12;                   // n_layer
  int64_t heads = 12;                    // n_head
  int64_t inner = 3072;                  // n_inner, where null 4 · width
  std::string activation = "gelu_tanh";  // gelu_tanh (gelu_new, gelu_pytorch_tanh), gelu_erf (gelu) or relu
  double epsilon = 1e-5;                 // layer_norm_epsilon
  bool tied = true;                      // tie_word_embeddings
  double residual_dropout = 0.1;         // resid_pdrop
  double embedding_dropout = 0.1;        // embd_pdrop
  double attention_dropout = 0.1;        // attn_pdrop
  std::optional<int64_t> bos, eos;       // token ids
};

// Reads config.json's text. Keys that are missing have GPT2Config's defaults. Another model_type, values out of range
// and what is not built here (cross attention, unscaled attention, scaling by layer) are InvalidArgument; text that is
// not JSON is DataLoss. Messages begin with `where`, the path.
StatusOr<HfConfig> ParseHfConfig(std::string_view text, std::string_view where);
StatusOr<HfConfig> ReadHfConfig(const std::string& path);

// The text of a config.json that GPT2LMHeadModel.from_pretrained reads; n_ctx is written for llama.cpp's converter.
// `torch_dtype` is "float32", "bfloat16" or "float16".
std::string WriteHfConfig(const HfConfig& config, std::string_view torch_dtype = "float32");

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_HF_CONFIG_H_
