#include "runtime/generate/generator.h"

#include <algorithm>

#include "ir/base/dtype.h"

namespace gptc {
namespace {

// Up to this many tokens go through decode, one by one: it reads all weights once a token, while a chunk of prefill
// costs the arithmetic of all its rows.
constexpr int64_t kDecodeAtMost = 4;

bool HasPort(const std::vector<std::unique_ptr<plan::PortT>>& ports, std::string_view name) {
  return std::any_of(ports.begin(), ports.end(), [&](const auto& port) { return port->name == name; });
}

// Writes an input that a model may do without (one that knows no positions).
void Write(const BoundEntry& entry, std::string_view port, int64_t index, int32_t value) {
  if (entry.has_input(port)) entry.input(port).as<int32_t>()[index] = value;
}

// `port` of a bound entry as [rows, ...] in i32, or an error.
Status RequireIds(const BoundEntry& entry, std::string_view port, bool optional) {
  if (!entry.has_input(port)) {
    return optional ? OkStatus()
                    : InvalidArgument("the plan's entry point ", entry.plan().name, " has no input ", port);
  }
  if (entry.input(port).type.dtype == DType::kI32 && entry.input(port).count() > 0) return OkStatus();
  return InvalidArgument("the plan's entry point ", entry.plan().name, " has the input ", port, " as ",
                         TypeText(entry.input(port).type), ", not as i32 ids");
}

Status RequireEntry(const BoundEntry& entry) {
  RETURN_IF_ERROR(RequireIds(entry, "tokens", false));
  for (const char* port : {"positions", "slots", "last"}) RETURN_IF_ERROR(RequireIds(entry, port, true));
  if (!HasPort(entry.plan().outputs, "logits"))
    return InvalidArgument("the plan's entry point ", entry.plan().name, " has no output logits");
  const Type& type = entry.output("logits").type;
  if (type.shape.size() == 2 && (type.dtype == DType::kF32 || type.dtype == DType::kBF16)) return OkStatus();
  return InvalidArgument("the plan's entry point ", entry.plan().name, " gives logits as ", TypeText(type),
                         ", not as f32 or bf16 [rows, vocabulary]");
}

}  // namespace

StatusOr<Generator> Generator::Create(Executor& executor) {
  Generator generator;
  generator.prefill_ = executor.entry(kPrefillEntry);
  generator.decode_ = executor.entry(kDecodeEntry);
  if (generator.prefill_ == nullptr || generator.decode_ == nullptr) {
    return InvalidArgument("the plan of this ", executor.plan().model, " cannot generate: it has no entry point ",
                           generator.prefill_ == nullptr ? kPrefillEntry : kDecodeEntry);
  }
  RETURN_IF_ERROR(RequireEntry(*generator.prefill_));
  RETURN_IF_ERROR(RequireEntry(*generator.decode_));
  const TensorView prefill = generator.prefill_->output("logits"), decode = generator.decode_->output("logits");
  generator.chunk_ = generator.prefill_->input("tokens").count();
  generator.streams_ = generator.decode_->input("tokens").count();
  generator.context_ = ConfigInt(executor.plan(), "context", DimensionOf(executor.plan(), "context"));
  generator.vocab_ = ConfigInt(executor.plan(), "vocab", decode.dim(1));
  if (generator.context_ < generator.chunk_ || generator.vocab_ < 1 ||
      generator.vocab_ > std::min(prefill.dim(1), decode.dim(1)) || decode.dim(0) != generator.streams_ ||
      !generator.prefill_->has_input("last")) {
    return InvalidArgument("the plan's entry points for generation do not fit its model: context ", generator.context_,
                           ", prefill of ", generator.chunk_, " tokens, vocabulary ", generator.vocab_, ", logits ",
                           TypeText(decode.type), "; compile the model again");
  }
  generator.logits_.resize(static_cast<size_t>(generator.vocab_));
  return generator;
}

StatusOr<std::span<const float>> Generator::Append(std::span<const int32_t> tokens) {
  if (tokens.empty()) return InvalidArgument("there is no token to go on from");
  for (int32_t token : tokens) {
    if (token < 0 || token >= vocab_) {
      return InvalidArgument("token ", token, " is not one of the model's ", vocab_,
                             " (the tokenizer is another model's)");
    }
  }
  text_.insert(text_.end(), tokens.begin(), tokens.end());
  if (static_cast<int64_t>(text_.size()) > context_) {  // every position changes
    text_.erase(text_.begin(), text_.end() - context_);
    cached_ = 0;
  }
  const auto size = static_cast<int64_t>(text_.size());
  while (cached_ < size) {
    if (size - cached_ <= kDecodeAtMost) {
      RETURN_IF_ERROR(Decode(cached_++));
    } else if (size - cached_ >= chunk_) {
      RETURN_IF_ERROR(Prefill(cached_, cached_ + chunk_));
      cached_ += chunk_;
    } else {
      // A last chunk ends at the text's end and does a part of what is cached again, so that no row stands past the
      // context.
      RETURN_IF_ERROR(Prefill(std::max<int64_t>(0, size - chunk_), size));
      cached_ = size;
    }
  }
  return logits_;
}

Status Generator::Prefill(int64_t begin, int64_t end) {
  for (int64_t i = 0; i < chunk_; ++i) {
    // Rows past the text come after all others in the cache, and are written over before anything attends to them.
    Write(*prefill_, "tokens", i, begin + i < end ? text_[static_cast<size_t>(begin + i)] : 0);
    Write(*prefill_, "positions", i, static_cast<int32_t>(begin + i));
  }
  Write(*prefill_, "slots", 0, 0);
  Write(*prefill_, "last", 0, static_cast<int32_t>(end - begin - 1));
  if (end < static_cast<int64_t>(text_.size())) return prefill_->RunForStates();  // nobody asks for these logits
  RETURN_IF_ERROR(prefill_->Run());
  KeepLogits(prefill_->output("logits"));
  return OkStatus();
}

Status Generator::Decode(int64_t position) {
  for (int64_t i = 0; i < streams_; ++i) {  // streams that are not used write to slots of their own
    Write(*decode_, "tokens", i, i == 0 ? text_[static_cast<size_t>(position)] : 0);
    Write(*decode_, "positions", i, i == 0 ? static_cast<int32_t>(position) : 0);
    Write(*decode_, "slots", i, static_cast<int32_t>(i));
  }
  RETURN_IF_ERROR(decode_->Run());
  KeepLogits(decode_->output("logits"));
  return OkStatus();
}

void Generator::KeepLogits(const TensorView& logits) {
  for (size_t i = 0; i < logits_.size(); ++i) {
    logits_[i] = logits.type.dtype == DType::kF32 ? logits.as<float>()[i] : FloatFromBf16(logits.as<uint16_t>()[i]);
  }
}

StatusOr<std::vector<int32_t>> Generate(Generator& generator, Sampler& sampler, std::span<const int32_t> prompt,
                                        const GenerateOptions& options, const TokenCallback& on_token) {
  std::vector<int32_t> made;
  generator.Clear();
  std::span<const int32_t> next = prompt;
  while (static_cast<int64_t>(made.size()) < options.max_new_tokens) {
    ASSIGN_OR_RETURN(const std::span<const float> logits, generator.Append(next));
    const auto position = static_cast<int64_t>(prompt.size() + made.size());
    ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(logits, position));
    if (options.eot && token == *options.eot) break;
    made.push_back(token);
    next = std::span<const int32_t>(&made.back(), 1);
    if (on_token && !on_token(token)) break;
  }
  return made;
}

}  // namespace gptc
