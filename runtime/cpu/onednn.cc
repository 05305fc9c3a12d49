#include "runtime/cpu/onednn.h"

#include <dnnl.hpp>
#include <string_view>

#include "ir/base/check.h"
#include "runtime/cpu/convert.h"
#include "runtime/cpu/parallel.h"

namespace gptc {
namespace {

dnnl::engine& CpuEngine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}
dnnl::stream& CpuStream() {
  static dnnl::stream stream(CpuEngine());
  return stream;
}

dnnl::memory::data_type DataType(DType dtype) {
  return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}
dnnl::memory::desc Descriptor(const StridedOperand& operand) {
  return {operand.shape, DataType(operand.dtype), operand.strides};
}
dnnl::memory::desc PackedDescriptor(const StridedOperand& operand) {
  using Tag = dnnl::memory::format_tag;
  return {operand.shape, DataType(operand.dtype), operand.dtype == DType::kBF16 ? Tag::BA16a64b2a : Tag::BA16a64b};
}
dnnl::memory Unplaced(const dnnl::memory::desc& descriptor) { return {descriptor, CpuEngine(), DNNL_MEMORY_NONE}; }

// Addresses seldom change from one execution to the next; setting one again is a call that can be saved.
void Place(dnnl::memory& memory, const void*& placed, const void* address) {
  if (placed == address) return;
  memory.set_data_handle(const_cast<void*>(address));
  placed = address;
}

}  // namespace

struct OnednnProduct::Impl {
  dnnl::matmul primitive;
  dnnl::reorder reorder;  // of b, where it is packed
  bool pack = false;
  dnnl::memory a, b, packed, bias, addend, y, scratchpad;
  const void *at_a = nullptr, *at_b = nullptr, *at_packed = nullptr, *at_bias = nullptr, *at_addend = nullptr,
             *at_y = nullptr, *at_scratchpad = nullptr;
  size_t packed_offset = 0, bytes = 0;
  std::vector<dnnl_exec_arg_t> arguments, reorder_arguments;
};

OnednnProduct::OnednnProduct(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OnednnProduct::~OnednnProduct() = default;

StatusOr<std::unique_ptr<OnednnProduct>> OnednnProduct::Create(const OnednnProductSpec& spec) {
  auto impl = std::make_unique<Impl>();
  try {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::post_ops post;
    if (spec.accumulate) post.append_sum(1.0f);
    if (spec.addend) {
      StridedOperand addend = spec.y;
      addend.dtype = *spec.addend;
      impl->addend = Unplaced(Descriptor(addend));
      post.append_binary(dnnl::algorithm::binary_add, impl->addend.get_desc());
    }
    if (post.len() > 0) attributes.set_post_ops(post);
    const dnnl::memory::desc a = Descriptor(spec.a), y = Descriptor(spec.y);
    const dnnl::memory::desc b = spec.packed_b ? PackedDescriptor(spec.b) : Descriptor(spec.b);
    const dnnl::memory::desc weights =
        spec.pack_b ? dnnl::memory::desc(spec.b.shape, DataType(spec.b.dtype), dnnl::memory::format_tag::any) : b;
    dnnl::matmul::desc operation(a, weights, y);
    if (spec.bias) {
      dnnl::memory::dims shape(spec.y.shape.size(), 1), strides(spec.y.shape.size(), spec.y.shape.back());
      shape.back() = spec.y.shape.back();
      strides.back() = 1;
      operation = dnnl::matmul::desc(a, weights, {shape, DataType(*spec.bias), strides}, y);
    }
    const dnnl::matmul::primitive_desc chosen(operation, attributes, CpuEngine());
    // Without AVX-512 oneDNN still takes packed weights, by its reference loops, which are slower than anything else.
    if (spec.packed_b && std::string_view(chosen.impl_info_str()).starts_with("ref")) {
      return absl::UnimplementedError("oneDNN multiplies packed weights by its reference loops alone on this machine");
    }
    impl->primitive = dnnl::matmul(chosen);
    impl->a = Unplaced(a);
    impl->b = Unplaced(b);
    impl->y = Unplaced(y);
    impl->scratchpad = Unplaced(chosen.scratchpad_desc());
    ScratchLayout layout;
    layout.Add(chosen.scratchpad_desc().get_size());
    impl->pack = spec.pack_b && chosen.weights_desc() != b;
    if (impl->pack) {
      impl->packed = Unplaced(chosen.weights_desc());
      impl->packed_offset = layout.Add(chosen.weights_desc().get_size());
      impl->reorder = dnnl::reorder(impl->b, impl->packed);
      impl->reorder_arguments = {{DNNL_ARG_FROM, impl->b.get()}, {DNNL_ARG_TO, impl->packed.get()}};
    }
    impl->bytes = layout.bytes();
    impl->arguments = {{DNNL_ARG_SRC, impl->a.get()},
                       {DNNL_ARG_WEIGHTS, (impl->pack ? impl->packed : impl->b).get()},
                       {DNNL_ARG_DST, impl->y.get()},
                       {DNNL_ARG_SCRATCHPAD, impl->scratchpad.get()}};
    if (spec.bias) {
      impl->bias = Unplaced(chosen.bias_desc());
      impl->arguments.push_back({DNNL_ARG_BIAS, impl->bias.get()});
    }
    if (spec.addend) {
      const int place = DNNL_ARG_ATTR_MULTIPLE_POST_OP(spec.accumulate ? 1 : 0) | DNNL_ARG_SRC_1;
      impl->arguments.push_back({place, impl->addend.get()});
    }
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) return OutOfMemory("oneDNN: out of memory");
    return absl::UnimplementedError(Cat("oneDNN has no such matrix product on this machine: ", error.message));
  }
  return std::unique_ptr<OnednnProduct>(new OnednnProduct(std::move(impl)));
}

size_t OnednnProduct::scratch_bytes() const { return impl_->bytes; }

void OnednnProduct::Execute(const Operands& operands, void* y, void* scratch) {
  Impl& p = *impl_;
  Place(p.a, p.at_a, operands.a);
  Place(p.b, p.at_b, operands.b);
  Place(p.y, p.at_y, y);
  Place(p.scratchpad, p.at_scratchpad, scratch);
  if (p.bias) Place(p.bias, p.at_bias, operands.bias);
  if (p.addend) Place(p.addend, p.at_addend, operands.addend);
  if (p.pack) {
    Place(p.packed, p.at_packed, static_cast<char*>(scratch) + p.packed_offset);
    const dnnl_status_t status = dnnl_primitive_execute(
        p.reorder.get(), CpuStream().get(), static_cast<int>(p.reorder_arguments.size()), p.reorder_arguments.data());
    CHECK(status == dnnl_success, "oneDNN's reorder failed with status ", static_cast<int>(status));
  }
  const dnnl_status_t status = dnnl_primitive_execute(p.primitive.get(), CpuStream().get(),
                                                      static_cast<int>(p.arguments.size()), p.arguments.data());
  CHECK(status == dnnl_success, "oneDNN's matrix product failed with status ", static_cast<int>(status));
}

void Sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
           bool accumulate, float* y) {
  const dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a,
                                          transpose_a ? m : k, b, transpose_b ? k : n, accumulate ? 1.0f : 0.0f, y, n);
  CHECK(status == dnnl_success, "oneDNN's sgemm failed with status ", static_cast<int>(status));
}

void SgemmByColumns(int64_t m, int64_t n, int64_t k, const float* a, const float* b, bool accumulate, float* y) {
  // Whole tiles of sgemm's inner kernels, which round alike wherever a block begins; wide enough to make up for packing
  // a for each block.
  constexpr int64_t kTile = 96, kWidest = 384;
  const int64_t threads = omp_get_max_threads(), blocks = ChunkCount(n, kWidest * threads) * threads;
  const int64_t columns = ChunkCount(ChunkCount(n, blocks), kTile) * kTile;
  ParallelFor(n, columns, [&](int64_t begin, int64_t end) {
    const dnnl_status_t status =
        dnnl_sgemm('N', 'N', m, end - begin, k, 1.0f, a, k, b + begin, n, accumulate ? 1.0f : 0.0f, y + begin, n);
    CHECK(status == dnnl_success, "oneDNN's sgemm failed with status ", static_cast<int>(status));
  });
}

}  // namespace gptc
