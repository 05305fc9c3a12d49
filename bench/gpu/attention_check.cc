// Attention on a GPU, cuDNN's and our own: both against attention in double precision, twice and through a recorded
// graph for equal bits, and their speed at the shape of a GPT-2 124M step.
//
//   attention_check [--batch 64] [--tokens 1024] [--heads 12] [--head-size 64] [--rounds 20]
//
// Ends with 1 where a result is wrong. Speeds count, of a causal product, the half that is needed: forward 2, backward
// 5 products of batch · tokens² · width multiply-adds.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/base/dtype.h"
#include "runtime/cuda/attention_cudnn.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/flash_attention.cuh"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

struct Problem {
  int64_t batch, tokens, heads, head_size;
  bool causal;

  int64_t width() const { return heads * head_size; }
  int64_t rows() const { return batch * tokens; }
  double scale() const { return 1 / std::sqrt(static_cast<double>(head_size)); }
  std::string Text() const {
    return Cat("B=", batch, " T=", tokens, " H=", heads, " hd=", head_size, causal ? " causal" : " plain");
  }
};

struct Engine {
  std::string name;
  std::function<StatusOr<BoundKernel>(const KernelArgs&)> forward, backward;
  bool same_bits;
};

// Our kernels for GPUs of all sorts, where those for Hopper alone would be taken.
cuda::FlashArguments ArgumentsOf(const KernelArgs& args, const TensorView& qkv) {
  cuda::FlashArguments flash = {};
  flash.qkv = qkv.data;
  flash.batch = static_cast<int>(qkv.dim(0));
  flash.tokens = static_cast<int>(qkv.dim(1));
  flash.heads = static_cast<int>(args.attributes.Int("heads"));
  flash.head_size = static_cast<int>(qkv.dim(2) / 3 / flash.heads);
  flash.causal = args.attributes.Bool("causal");
  flash.scale = static_cast<float>(args.attributes.Double("scale"));
  flash.kept = 1;
  return flash;
}
StatusOr<BoundKernel> BindWarps(const KernelArgs& args) {
  return [flash = ArgumentsOf(args, args.input(0)), stream = CudaDeviceOf(args).stream(), y = args.result(0),
          lse = args.result(1)] { cuda::FlashForward(stream, flash, y.as<cuda::bf16>(), lse.as<float>()); };
}
StatusOr<BoundKernel> BindWarpsBackward(const KernelArgs& args) {
  args.scratch.Request(args.input(3).bytes());
  return [flash = ArgumentsOf(args, args.input(1)), stream = CudaDeviceOf(args).stream(), dy = args.input(0),
          y = args.input(2), lse = args.input(3), dqkv = args.result(), scratch = &args.scratch] {
    cuda::FlashBackward(stream, flash, dy.as<const cuda::bf16>(), y.as<const cuda::bf16>(), lse.as<const float>(),
                        static_cast<float*>(scratch->data()), dqkv.as<cuda::bf16>());
  };
}

// Uniform in [-1.7, 1.7], so of variance about 1, as bf16.
std::vector<uint16_t> Random(int64_t count, uint64_t seed) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (uint16_t& value : values) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    value = Bf16FromFloat(static_cast<float>(static_cast<double>(state >> 11) * 0x1p-53 * 3.4 - 1.7));
  }
  return values;
}
std::vector<double> Wide(const std::vector<uint16_t>& values) {
  std::vector<double> wide(values.size());
  std::transform(values.begin(), values.end(), wide.begin(), FloatFromBf16);
  return wide;
}

struct Reference {
  std::vector<double> y, lse, dqkv;
};

Reference Attend(const Problem& p, const std::vector<double>& qkv, const std::vector<double>& dy) {
  const int64_t T = p.tokens, C = p.width(), D = p.head_size;
  Reference r = {std::vector<double>(p.rows() * C), std::vector<double>(p.batch * p.heads * T),
                 std::vector<double>(p.rows() * 3 * C)};
  std::vector<double> weights(T), dweights(T);
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      const auto at = [&](int64_t part, int64_t t) { return ((b * T + t) * 3 + part) * C + h * D; };
      for (int64_t i = 0; i < T; ++i) {
        const int64_t seen = p.causal ? i + 1 : T;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < seen; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < D; ++d) dot += qkv[at(0, i) + d] * qkv[at(1, j) + d];
          weights[j] = dot * p.scale();
          most = std::max(most, weights[j]);
        }
        for (int64_t j = 0; j < seen; ++j) sum += std::exp(weights[j] - most);
        const double lse = r.lse[(b * p.heads + h) * T + i] = most + std::log(sum);
        double* const y = r.y.data() + (b * T + i) * C + h * D;
        const double* const out = dy.data() + (b * T + i) * C + h * D;
        double centre = 0;
        for (int64_t j = 0; j < seen; ++j) {
          weights[j] = std::exp(weights[j] - lse);
          dweights[j] = 0;
          for (int64_t d = 0; d < D; ++d) {
            y[d] += weights[j] * qkv[at(2, j) + d];
            dweights[j] += out[d] * qkv[at(2, j) + d];
            r.dqkv[at(2, j) + d] += weights[j] * out[d];
          }
          centre += weights[j] * dweights[j];
        }
        for (int64_t j = 0; j < seen; ++j) {
          const double dscore = weights[j] * (dweights[j] - centre) * p.scale();
          for (int64_t d = 0; d < D; ++d) {
            r.dqkv[at(0, i) + d] += dscore * qkv[at(1, j) + d];
            r.dqkv[at(1, j) + d] += dscore * qkv[at(0, i) + d];
          }
        }
      }
    }
  }
  return r;
}

// The tensors of a problem in the GPU's memory, and an engine's kernels bound to them.
struct Bound {
  std::vector<Region> memory;
  TensorView qkv, dy, y, lse, dqkv;
  ScratchPool scratch;
  BoundKernel forward, backward;
};

StatusOr<std::unique_ptr<Bound>> Bind(CudaDevice& device, const Engine& engine, const Problem& p) {
  auto bound = std::make_unique<Bound>();
  const auto tensor = [&](DType dtype, Shape shape, TensorView& view) -> Status {
    view.type = {dtype, std::move(shape)};
    ASSIGN_OR_RETURN(Region region, device.Allocate(view.bytes(), "a tensor"));
    device.Fill(region.data(), 0xff, view.bytes());  // NaN: every element has to be written
    view.data = region.data();
    bound->memory.push_back(std::move(region));
    return OkStatus();
  };
  RETURN_IF_ERROR(tensor(DType::kBF16, {p.batch, p.tokens, 3 * p.width()}, bound->qkv));
  RETURN_IF_ERROR(tensor(DType::kBF16, {p.batch, p.tokens, p.width()}, bound->dy));
  RETURN_IF_ERROR(tensor(DType::kBF16, {p.batch, p.tokens, p.width()}, bound->y));
  RETURN_IF_ERROR(tensor(DType::kF32, {p.batch, p.heads, p.tokens}, bound->lse));
  RETURN_IF_ERROR(tensor(DType::kBF16, {p.batch, p.tokens, 3 * p.width()}, bound->dqkv));
  const Attributes attributes = {
      {"heads", p.heads}, {"scale", p.scale()}, {"causal", p.causal}, {"rate", 0.0}, {"key", int64_t{0}}};
  {
    const TensorView inputs[] = {bound->qkv}, results[] = {bound->y, bound->lse};
    ASSIGN_OR_RETURN(bound->forward, engine.forward({inputs, results, attributes, bound->scratch, &device}));
  }
  {
    const TensorView inputs[] = {bound->dy, bound->qkv, bound->y, bound->lse}, results[] = {bound->dqkv};
    ASSIGN_OR_RETURN(bound->backward, engine.backward({inputs, results, attributes, bound->scratch, &device}));
  }
  ASSIGN_OR_RETURN(Region scratch, device.Allocate(bound->scratch.bytes(), "workspace"));
  device.Fill(scratch.data(), 0xff, scratch.bytes());
  bound->scratch.set_data(scratch.data());
  bound->memory.push_back(std::move(scratch));
  return bound;
}

// One sequence's values, the same for every sequence of the batch.
void Upload(CudaDevice& device, const TensorView& to, const std::vector<uint16_t>& values) {
  const size_t bytes = values.size() * sizeof(uint16_t);
  for (size_t at = 0; at < to.bytes(); at += bytes) device.Copy(to.as<char>() + at, values.data(), bytes);
}
template <typename T>
StatusOr<std::vector<T>> Download(CudaDevice& device, const TensorView& from) {
  std::vector<T> values(from.bytes() / sizeof(T));
  device.Copy(values.data(), from.data, from.bytes());
  RETURN_IF_ERROR(device.Synchronize());
  return values;
}

// Prints one line and says whether it is good. Errors are relative to the largest value.
bool Judge(const std::string& name, const std::vector<double>& want, const std::vector<double>& got, double allowed) {
  double most = 0, error = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    most = std::max(most, std::abs(want[i]));
    error = std::isfinite(got[i]) ? std::max(error, std::abs(got[i] - want[i])) : INFINITY;
    if (std::isinf(error)) break;
  }
  const bool good = error <= allowed * most;
  std::printf("  %-44s largest error %.2e of %.3g, allowed %.0e: %s\n", name.c_str(), error / most, most, allowed,
              good ? "ok" : "WRONG");
  return good;
}

StatusOr<bool> Check(CudaDevice& device, const Engine& engine, const Problem& p) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Bound> bound, Bind(device, engine, p));
  const std::vector<uint16_t> qkv = Random(p.rows() * 3 * p.width(), 1), dy = Random(p.rows() * p.width(), 2);
  Upload(device, bound->qkv, qkv);
  Upload(device, bound->dy, dy);
  RETURN_IF_ERROR(device.Synchronize());
  ASSIGN_OR_RETURN(const BoundKernel step, device.Record({bound->forward, bound->backward}));

  // Launched, recorded and launched, replayed: each into results that are not numbers.
  std::vector<std::vector<uint16_t>> y(3), dqkv(3);
  std::vector<float> lse;
  for (int run = 0; run < 3; ++run) {
    for (const TensorView* result : {&bound->y, &bound->lse, &bound->dqkv}) {
      device.Fill(result->data, 0xff, result->bytes());
    }
    step();
    ASSIGN_OR_RETURN(y[run], Download<uint16_t>(device, bound->y));
    ASSIGN_OR_RETURN(dqkv[run], Download<uint16_t>(device, bound->dqkv));
    ASSIGN_OR_RETURN(lse, Download<float>(device, bound->lse));
  }
  const Reference want = Attend(p, Wide(qkv), Wide(dy));
  bool good = Judge("y", want.y, Wide(y[2]), 1e-2);
  good &= Judge("lse", want.lse, {lse.begin(), lse.end()}, 1e-4);
  const std::vector<double> got = Wide(dqkv[2]);
  const char* const names[] = {"dq", "dk", "dv"};
  for (int64_t part = 0; part < 3; ++part) {
    const auto only = [&](const std::vector<double>& all) {
      std::vector<double> some;
      for (int64_t row = 0; row < p.rows(); ++row) {
        const auto from = all.begin() + (row * 3 + part) * p.width();
        some.insert(some.end(), from, from + p.width());
      }
      return some;
    };
    good &= Judge(names[part], only(want.dqkv), only(got), 2e-2);
  }
  const bool same = y[0] == y[1] && y[0] == y[2] && dqkv[0] == dqkv[1] && dqkv[0] == dqkv[2];
  std::printf("  %-44s %s\n", "bits of three runs", same ? "equal" : engine.same_bits ? "DIFFER" : "differ");
  return good && (same || !engine.same_bits);
}

struct Times {
  std::vector<double> forward, backward;
};

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Status Measure(CudaDevice& device, const std::vector<Engine>& engines, const Problem& p, int rounds) {
  std::vector<std::unique_ptr<Bound>> bound;
  std::vector<std::string> names;
  const std::vector<uint16_t> qkv = Random(p.tokens * 3 * p.width(), 1), dy = Random(p.tokens * p.width(), 2);
  for (const Engine& engine : engines) {
    StatusOr<std::unique_ptr<Bound>> made = Bind(device, engine, p);
    if (!made.ok()) {
      std::printf("%s: %s\n", engine.name.c_str(), Message(made.status()).c_str());
      continue;
    }
    Upload(device, (*made)->qkv, qkv);
    Upload(device, (*made)->dy, dy);
    RETURN_IF_ERROR(device.Synchronize());
    bound.push_back(*std::move(made));
    names.push_back(engine.name);
  }
  // Round by round in turn, so that all meet the same clocks; the first three do not count.
  std::vector<Times> times(bound.size());
  for (int round = -3; round < rounds; ++round) {
    for (size_t i = 0; i < bound.size(); ++i) {
      std::vector<Device::Span> spans;
      RETURN_IF_ERROR(device.RunTimed({bound[i]->forward, bound[i]->backward}, spans));
      if (round < 0) continue;
      times[i].forward.push_back(spans[0].seconds);
      times[i].backward.push_back(spans[1].seconds);
    }
  }
  const double product =
      2.0 * static_cast<double>(p.batch) * p.tokens * p.tokens * static_cast<double>(p.width()) / (p.causal ? 2 : 1);
  std::printf("%s, medians of %d rounds:\n", p.Text().c_str(), rounds);
  for (size_t i = 0; i < bound.size(); ++i) {
    const double forward = Median(times[i].forward), backward = Median(times[i].backward);
    std::printf("  %-28s forward %7.3f ms %6.1f TFLOP/s   backward %7.3f ms %6.1f TFLOP/s   workspace %.1f MB\n",
                names[i].c_str(), forward * 1e3, 2 * product / forward * 1e-12, backward * 1e3,
                5 * product / backward * 1e-12, static_cast<double>(bound[i]->scratch.bytes()) * 1e-6);
  }
  return OkStatus();
}

Status Run(Problem large, int rounds, bool& good) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CudaDevice> device, CudaDevice::Create());
  std::printf("%s\n", device->name().c_str());
  std::vector<Engine> engines = {{"ours", BindCudaFlashAttention, BindCudaFlashAttentionBackward, true},
                                 {"ours, by warps", BindWarps, BindWarpsBackward, true}};
  std::vector<std::unique_ptr<CudnnAttention>> opened;  // outlive the kernels
  for (const auto& [bits, name] : {std::pair(CudnnAttention::Bits::kSame, "cuDNN, same bits"),
                                   std::pair(CudnnAttention::Bits::kMayDiffer, "cuDNN, bits may differ")}) {
    StatusOr<std::unique_ptr<CudnnAttention>> made = CudnnAttention::Open(device->stream(), bits);
    if (!made.ok()) {
      std::printf("%s\n", Message(made.status()).c_str());
      break;
    }
    CudnnAttention* const attention = made->get();
    if (opened.empty()) std::printf("%s\n", attention->name().c_str());
    opened.push_back(*std::move(made));
    engines.push_back({name, [attention](const KernelArgs& args) { return attention->BindForward(args); },
                       [attention](const KernelArgs& args) { return attention->BindBackward(args); },
                       bits == CudnnAttention::Bits::kSame});
  }
  for (const Problem& small : {Problem{2, 256, 3, 64, true}, Problem{2, 200, 3, 64, true},
                               Problem{1, 130, 2, 64, false}, Problem{1, 256, 2, 128, true}}) {
    for (const Engine& engine : engines) {
      std::printf("%s, %s:\n", small.Text().c_str(), engine.name.c_str());
      const StatusOr<bool> checked = Check(*device, engine, small);
      if (!checked.ok()) std::printf("  %s\n", Message(checked.status()).c_str());
      // That cuDNN has no such kernel is no mistake.
      good &= checked.ok() ? *checked : absl::IsUnimplemented(checked.status()) && engine.name.substr(0, 4) != "ours";
    }
  }
  return Measure(*device, engines, large, rounds);
}

}  // namespace
}  // namespace gptc

int main(int argc, char** argv) {
  gptc::Problem large = {64, 1024, 12, 64, true};
  int64_t rounds = 20;
  const std::pair<std::string_view, int64_t*> flags[] = {{"--batch", &large.batch},
                                                         {"--tokens", &large.tokens},
                                                         {"--heads", &large.heads},
                                                         {"--head-size", &large.head_size},
                                                         {"--rounds", &rounds}};
  for (int i = 1; i < argc; i += 2) {
    const auto* const flag =
        std::find_if(std::begin(flags), std::end(flags), [&](const auto& f) { return f.first == argv[i]; });
    const int64_t value = i + 1 < argc ? std::atoll(argv[i + 1]) : 0;
    if (flag == std::end(flags) || value < 1) {
      std::fprintf(stderr, "attention_check: %s wants a number of 1 or more behind a known flag\n", argv[i]);
      return 2;
    }
    *flag->second = value;
  }
  bool good = true;
  const gptc::Status status = gptc::Run(large, static_cast<int>(rounds), good);
  if (!status.ok()) std::fprintf(stderr, "attention_check: %s\n", gptc::Message(status).c_str());
  return !status.ok() ? gptc::ExitCode(status) : good ? 0 : 1;
}
