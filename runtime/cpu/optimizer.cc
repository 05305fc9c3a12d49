// The optimizer: the global norm of the gradients, and AdamW (Loshchilov & Hutter 2019) in one pass over memory.
//
// global_norm  norm = sqrt(Σ g²) over all operands, f32 or bf16. Squares and sums in f64, by chunks that depend on the
//              shapes alone; their sums are added in order, so that the bits do not depend on the number of threads.
// adamw        with the run-time scalars of ir/base/scalars.h, computed in f64, and the elements in f32:
//                n  = norm · inverse_tokens / loss_scale
//                g  = grad · inverse_tokens / loss_scale · min(1, clip / (n + 1e-6))
//                m' = β₁·m + (1-β₁)·g
//                v' = β₂·v + (1-β₂)·g²
//                p' = p · (1 - lr·weight_decay) - lr / (1-β₁ᵗ) · m' / (√v' / √(1-β₂ᵗ) + ε)
//              The decay only with the attribute, the clipping only where clip > 0. A norm that is not finite leaves
//              all as it was. Reads param, grad, m, v; writes param, m, v, each of which may lie over what it replaces.
// adamw_group  adamw of one parameter after the other, each with its bf16 copy where one is asked for.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/optimizer.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_OPTIMIZER_ONCE
#define GPTC_RUNTIME_CPU_OPTIMIZER_ONCE
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ir/base/adamw_group.h"
#include "ir/base/scalars.h"
#include "runtime/cpu/convert.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {
// What one step does to every element of a parameter.
struct AdamWStep {
  float gradient;  // factor of the gradient: scales and clipping
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float keep;          // 1 - lr · weight_decay, or 1
  float rate;          // lr / (1 - β₁ᵗ)
  float inverse_root;  // 1 / √(1 - β₂ᵗ)
  float epsilon;
};
struct AdamWRow {
  const float *param, *grad, *m, *v;
  float *param_new, *m_new, *v_new;
};
}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// Σ x² in double precision: four accumulators, then their lanes in order.
template <typename T>
HWY_INLINE double SquaresOf(const T* x, size_t n) {
  using DD = hn::ScalableTag<double>;
  const DD dd;
  const hn::Rebind<float, DD> half;
  const size_t lanes = hn::Lanes(dd);
  auto a0 = hn::Zero(dd), a1 = hn::Zero(dd), a2 = hn::Zero(dd), a3 = hn::Zero(dd);
  const auto load = [&](const T* p) HWY_ATTR {
    if constexpr (sizeof(T) == 4) {
      return hn::PromoteTo(dd, hn::LoadU(half, p));
    } else {
      HWY_ALIGN float wide[hn::MaxLanes(dd)];
      for (size_t k = 0; k < lanes; ++k) wide[k] = ToFloat(p[k]);
      return hn::PromoteTo(dd, hn::Load(half, wide));
    }
  };
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    const auto x0 = load(x + i), x1 = load(x + i + lanes), x2 = load(x + i + 2 * lanes), x3 = load(x + i + 3 * lanes);
    a0 = hn::MulAdd(x0, x0, a0);
    a1 = hn::MulAdd(x1, x1, a1);
    a2 = hn::MulAdd(x2, x2, a2);
    a3 = hn::MulAdd(x3, x3, a3);
  }
  HWY_ALIGN double sums[hn::MaxLanes(dd)];
  hn::Store(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), dd, sums);
  double total = 0;
  for (size_t k = 0; k < lanes; ++k) total += sums[k];
  for (; i < n; ++i) total += static_cast<double>(ToFloat(x[i])) * ToFloat(x[i]);
  return total;
}
double SquaresF32(const float* x, size_t n) { return SquaresOf(x, n); }
double SquaresBf16(const Bf16* x, size_t n) { return SquaresOf(x, n); }

struct AdamWVectors {
  VF gradient, beta1, one_minus_beta1, beta2, one_minus_beta2, keep, rate, inverse_root, epsilon;
};

HWY_INLINE void Update(const AdamWVectors& s, VF grad, VF& param, VF& m, VF& v) {
  const VF g = hn::Mul(grad, s.gradient);
  m = hn::MulAdd(s.beta1, m, hn::Mul(s.one_minus_beta1, g));
  v = hn::MulAdd(s.beta2, v, hn::Mul(hn::Mul(s.one_minus_beta2, g), g));
  const VF divisor = hn::MulAdd(hn::Sqrt(v), s.inverse_root, s.epsilon);
  param = hn::NegMulAdd(s.rate, hn::Div(m, divisor), hn::Mul(param, s.keep));
}

void AdamWF32(const AdamWStep& step, const AdamWRow& row, size_t n) {
  const DF d;
  const AdamWVectors s = {hn::Set(d, step.gradient), hn::Set(d, step.beta1),           hn::Set(d, step.one_minus_beta1),
                          hn::Set(d, step.beta2),    hn::Set(d, step.one_minus_beta2), hn::Set(d, step.keep),
                          hn::Set(d, step.rate),     hn::Set(d, step.inverse_root),    hn::Set(d, step.epsilon)};
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    VF param = LoadFloats(row.param + i), m = LoadFloats(row.m + i), v = LoadFloats(row.v + i);
    Update(s, LoadFloats(row.grad + i), param, m, v);
    StoreFloats(param, row.param_new + i);
    StoreFloats(m, row.m_new + i);
    StoreFloats(v, row.v_new + i);
  }
  if (i < n) {
    const size_t k = n - i;
    VF param = LoadSome(row.param + i, k), m = LoadSome(row.m + i, k), v = LoadSome(row.v + i, k);
    Update(s, LoadSome(row.grad + i, k), param, m, v);
    StoreSome(param, row.param_new + i, k);
    StoreSome(m, row.m_new + i, k);
    StoreSome(v, row.v_new + i, k);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(SquaresF32);
HWY_EXPORT(SquaresBf16);
HWY_EXPORT(AdamWF32);

constexpr int64_t kNormChunk = 16384;

// A chunk of one gradient.
struct Piece {
  const std::byte* data;
  int64_t count;
  bool bf16;
};

bool AllF32(std::span<const TensorView> views) {
  return std::all_of(views.begin(), views.end(), [](const TensorView& view) { return view.type.dtype == DType::kF32; });
}

// One parameter, whole; `copy`, where it is not null, becomes the new parameter in bf16.
struct AdamWTensors {
  AdamWRow row;
  int64_t count = 0;
  bool decay = false;
  Bf16* copy = nullptr;
};

void UpdateParameter(const AdamWTensors& tensors, float norm, const double* scalars) {
  const AdamWRow& whole = tensors.row;
  const auto narrow = [&](int64_t begin, int64_t end) {
    if (tensors.copy != nullptr)
      ConvertFromFloat(DType::kBF16, whole.param_new + begin, tensors.copy + begin, end - begin);
  };
  const double scale = scalars[kInverseTokens] / scalars[kLossScale];
  const double true_norm = static_cast<double>(norm) * scale;
  if (!std::isfinite(true_norm)) {
    const auto keep = [&](const float* from, float* to) {
      if (from == to) return;
      ParallelFor(tensors.count, kChunkWork,
                  [&](int64_t begin, int64_t end) { std::copy(from + begin, from + end, to + begin); });
    };
    keep(whole.param, whole.param_new);
    keep(whole.m, whole.m_new);
    keep(whole.v, whole.v_new);
    ParallelFor(tensors.count, kChunkWork, narrow);
    return;
  }
  const double clip = scalars[kClip];
  const double clipping = clip > 0 ? std::min(1.0, clip / (true_norm + 1e-6)) : 1.0;
  const double rate = scalars[kLearningRate], beta1 = scalars[kBeta1], beta2 = scalars[kBeta2],
               step_number = scalars[kStep];
  AdamWStep step;
  step.gradient = static_cast<float>(scale * clipping);
  step.beta1 = static_cast<float>(beta1);
  step.one_minus_beta1 = static_cast<float>(1 - beta1);
  step.beta2 = static_cast<float>(beta2);
  step.one_minus_beta2 = static_cast<float>(1 - beta2);
  step.keep = static_cast<float>(tensors.decay ? 1 - rate * scalars[kWeightDecay] : 1.0);
  step.rate = static_cast<float>(rate / (1 - std::pow(beta1, step_number)));
  step.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step_number)));
  step.epsilon = static_cast<float>(scalars[kEpsilon]);
  ParallelFor(tensors.count, kChunkWork, [&](int64_t begin, int64_t end) {
    const AdamWRow row = {whole.param + begin,     whole.grad + begin,  whole.m + begin,    whole.v + begin,
                          whole.param_new + begin, whole.m_new + begin, whole.v_new + begin};
    HWY_DYNAMIC_DISPATCH(AdamWF32)(step, row, static_cast<size_t>(end - begin));
    narrow(begin, end);
  });
}

}  // namespace

StatusOr<BoundKernel> BindCpuGlobalNorm(const KernelArgs& args) {
  std::vector<Piece> pieces;
  for (const TensorView& grad : args.inputs) {
    const DType dtype = grad.type.dtype;
    if ((dtype != DType::kF32 && dtype != DType::kBF16) || args.result().type.dtype != DType::kF32) {
      return Unsupported("global_norm", args, "f32 or bf16 gradients, an f32 norm");
    }
    for (int64_t start = 0; start < grad.count(); start += kNormChunk) {
      pieces.push_back({grad.as<const std::byte>() + start * SizeOf(dtype), std::min(kNormChunk, grad.count() - start),
                        dtype == DType::kBF16});
    }
  }
  args.scratch.Request(pieces.size() * sizeof(double));
  return BoundKernel([pieces = std::move(pieces), norm = args.result().as<float>(), scratch = &args.scratch] {
    double* const sums = static_cast<double*>(scratch->data());
    ParallelFor(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Piece& piece = pieces[i];
        const auto n = static_cast<size_t>(piece.count);
        sums[i] = piece.bf16 ? HWY_DYNAMIC_DISPATCH(SquaresBf16)(reinterpret_cast<const Bf16*>(piece.data), n)
                             : HWY_DYNAMIC_DISPATCH(SquaresF32)(reinterpret_cast<const float*>(piece.data), n);
      }
    });
    double total = 0;
    for (size_t i = 0; i < pieces.size(); ++i) total += sums[i];
    *norm = static_cast<float>(std::sqrt(total));
  });
}

StatusOr<BoundKernel> BindCpuAdamW(const KernelArgs& args) {
  if (!AllF32(args.inputs.first(5)) || !AllF32(args.results)) return Unsupported("adamw", args, "f32");
  const AdamWTensors tensors = {
      .row = {args.input(0).as<const float>(), args.input(1).as<const float>(), args.input(2).as<const float>(),
              args.input(3).as<const float>(), args.result(0).as<float>(), args.result(1).as<float>(),
              args.result(2).as<float>()},
      .count = args.input(0).count(),
      .decay = args.attributes.Bool("decay")};
  return BoundKernel([=, norm = args.input(4).as<const float>(), scalars = args.input(5).as<const double>()] {
    UpdateParameter(tensors, *norm, scalars);
  });
}

// For plans that a text made: the compiler groups for other targets only, where a launch has its price.
StatusOr<BoundKernel> BindCpuAdamWGroup(const KernelArgs& args) {
  std::vector<AdamWTensors> all;
  for (const AdamWGroupMember& member : AdamWGroupMembers(args.attributes)) {
    all.push_back({.row = {args.input(member.param).as<const float>(), args.input(member.grad).as<const float>(),
                           args.input(member.m).as<const float>(), args.input(member.v).as<const float>(),
                           args.result(member.new_param).as<float>(), args.result(member.new_m).as<float>(),
                           args.result(member.new_v).as<float>()},
                   .count = args.input(member.param).count(),
                   .decay = member.decay,
                   .copy = member.copy ? args.result(*member.copy).as<Bf16>() : nullptr});
  }
  return BoundKernel(
      [all = std::move(all), norm = args.input(0).as<const float>(), scalars = args.input(1).as<const double>()] {
        for (const AdamWTensors& tensors : all) UpdateParameter(tensors, *norm, scalars);
      });
}

}  // namespace gptc
#endif  // HWY_ONCE
