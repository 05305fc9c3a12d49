#if __has_include(<cudnn_graph.h>)
#include "runtime/cuda/graph_cudnn.h"

#include <algorithm>
#include <utility>

#include "ir/base/check.h"
#include "ir/base/library.h"

namespace gptc {

StatusOr<CudnnApi> CudnnApi::Open() {
  constexpr std::string_view kWhat = "cuDNN";
  ASSIGN_OR_RETURN(void* const library, OpenLibrary(kWhat, {"libcudnn.so.9"}));
  CudnnApi api;
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnGetVersion", api.GetVersion));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnGetCudartVersion", api.GetCudartVersion));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnGetErrorString", api.GetErrorString));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnGetLastErrorString", api.GetLastErrorString));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnCreate", api.Create));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnDestroy", api.Destroy));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnSetStream", api.SetStream));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendCreateDescriptor", api.CreateDescriptor));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendDestroyDescriptor", api.DestroyDescriptor));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendFinalize", api.Finalize));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendSetAttribute", api.SetAttribute));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendGetAttribute", api.GetAttribute));
  RETURN_IF_ERROR(LoadFunction(kWhat, library, "cudnnBackendExecute", api.Execute));
  return api;
}

Status CudnnApi::Check(cudnnStatus_t status, std::string_view what) const {
  if (status == CUDNN_STATUS_SUCCESS) return OkStatus();
  char explanation[512] = {};
  GetLastErrorString(explanation, sizeof explanation);
  const std::string text =
      Cat("cuDNN: ", what, ": ", GetErrorString(status), explanation[0] != 0 ? Cat(" (", explanation, ")") : "");
  // 3000 to 3999: cuDNN has no kernel for this.
  return status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_NOT_SUPPORTED + 1000
             ? absl::UnimplementedError(text)
             : Failure(text);
}

CudnnDescriptor& CudnnDescriptor::operator=(CudnnDescriptor&& other) noexcept {
  std::swap(api_, other.api_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(what_, other.what_);
  return *this;
}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_ != nullptr) api_->DestroyDescriptor(descriptor_);
}

StatusOr<CudnnDescriptor> CudnnDescriptor::Create(const CudnnApi& api, cudnnBackendDescriptorType_t type,
                                                  std::string what) {
  CudnnDescriptor descriptor;
  descriptor.api_ = &api;
  descriptor.what_ = std::move(what);
  RETURN_IF_ERROR(api.Check(api.CreateDescriptor(type, &descriptor.descriptor_), Cat(descriptor.what_, ": create")));
  return descriptor;
}

Status CudnnDescriptor::Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                            const void* values, std::string_view label) {
  return api_->Check(api_->SetAttribute(descriptor_, name, type, count, values), Cat(what_, ": set ", label));
}

Status CudnnDescriptor::Finalize() { return api_->Check(api_->Finalize(descriptor_), Cat(what_, ": finalize")); }

CudnnTensor CudnnGraph::Add(std::string_view name, cudnnDataType_t type, const CudnnDims& dims,
                            const CudnnDims& strides, bool is_virtual, bool by_value) {
  const CudnnTensor tensor = {static_cast<int>(tensors_.size()), type, dims, strides};
  const auto make = [&]() -> StatusOr<CudnnDescriptor> {
    ASSIGN_OR_RETURN(CudnnDescriptor d, CudnnDescriptor::Create(api_, CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                                                                Cat(name_, ": tensor '", name, "'")));
    const int64_t rank = static_cast<int64_t>(dims.size()), id = tensor.index + 1;
    RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type, "its type"));
    RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dims.data(), "its dimensions"));
    RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, strides.data(), "its strides"));
    RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id, "its id"));
    RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16}, "its alignment"));
    if (is_virtual) RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true, "virtual"));
    if (by_value) RETURN_IF_ERROR(d.Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, true, "by value"));
    RETURN_IF_ERROR(d.Finalize());
    return d;
  };
  StatusOr<CudnnDescriptor> made = make();
  Keep(made.status());
  tensors_.push_back(made.ok() ? *std::move(made) : CudnnDescriptor());
  return tensor;
}

CudnnTensor CudnnGraph::Stored(std::string_view name, cudnnDataType_t type, const CudnnDims& dims,
                               const CudnnDims& strides) {
  return Add(name, type, dims, strides, false, false);
}

CudnnTensor CudnnGraph::Virtual(std::string_view name, cudnnDataType_t type, const CudnnDims& dims,
                                const CudnnDims& strides) {
  return Add(name, type, dims, strides, true, false);
}

CudnnTensor CudnnGraph::Scalar(std::string_view name, float value) {
  const CudnnTensor tensor = Add(name, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true);
  scalars_.emplace_back(tensor.index + 1, std::make_unique<float>(value));
  return tensor;
}

void CudnnGraph::MatMul(std::string_view name, const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& y) {
  if (!failure_.ok()) return;
  const auto make = [&]() -> Status {
    const std::string what = Cat(name_, ": product '", name, "'");
    ASSIGN_OR_RETURN(CudnnDescriptor setting, CudnnDescriptor::Create(api_, CUDNN_BACKEND_MATMUL_DESCRIPTOR, what));
    RETURN_IF_ERROR(setting.Set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT, "its precision"));
    RETURN_IF_ERROR(setting.Finalize());
    ASSIGN_OR_RETURN(CudnnDescriptor op,
                     CudnnDescriptor::Create(api_, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, what));
    constexpr auto kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, kDescriptor, tensors_[a.index].get(), "a"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, kDescriptor, tensors_[b.index].get(), "b"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, kDescriptor, tensors_[y.index].get(), "the result"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_MATMUL_DESC, kDescriptor, setting.get(), "its settings"));
    RETURN_IF_ERROR(op.Finalize());
    settings_.push_back(std::move(setting));
    operations_.push_back(std::move(op));
    return OkStatus();
  };
  Keep(make());
}

void CudnnGraph::MapImpl(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor* b,
                         const CudnnTensor* selector, const CudnnTensor& y) {
  if (!failure_.ok()) return;
  const auto make = [&]() -> Status {
    const std::string what = Cat(name_, ": pointwise '", name, "'");
    ASSIGN_OR_RETURN(CudnnDescriptor setting, CudnnDescriptor::Create(api_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what));
    RETURN_IF_ERROR(setting.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode.mode, "its mode"));
    RETURN_IF_ERROR(setting.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, mode.compute, "its precision"));
    if (mode.mode == CUDNN_POINTWISE_GEN_INDEX) {
      RETURN_IF_ERROR(setting.Set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, mode.axis, "its axis"));
    }
    RETURN_IF_ERROR(setting.Finalize());
    ASSIGN_OR_RETURN(CudnnDescriptor op,
                     CudnnDescriptor::Create(api_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, what));
    constexpr auto kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kDescriptor, setting.get(), "its settings"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, kDescriptor, tensors_[x.index].get(), "x"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, kDescriptor, tensors_[y.index].get(), "y"));
    if (b != nullptr) {
      RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, kDescriptor, tensors_[b->index].get(), "b"));
    }
    if (selector != nullptr) {
      RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, kDescriptor, tensors_[selector->index].get(), "t"));
    }
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1.0f, "alpha1"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1.0f, "alpha2"));
    RETURN_IF_ERROR(op.Finalize());
    settings_.push_back(std::move(setting));
    operations_.push_back(std::move(op));
    return OkStatus();
  };
  Keep(make());
}

void CudnnGraph::Map(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor& y) {
  MapImpl(name, mode, x, nullptr, nullptr, y);
}
void CudnnGraph::Map(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor& b,
                     const CudnnTensor& y) {
  MapImpl(name, mode, x, &b, nullptr, y);
}
void CudnnGraph::Select(std::string_view name, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& selector,
                        const CudnnTensor& y) {
  MapImpl(name, {CUDNN_POINTWISE_BINARY_SELECT}, x, &b, &selector, y);
}

void CudnnGraph::Reduce(std::string_view name, cudnnReduceTensorOp_t kind, const CudnnTensor& x, const CudnnTensor& y) {
  if (!failure_.ok()) return;
  const auto make = [&]() -> Status {
    const std::string what = Cat(name_, ": reduction '", name, "'");
    ASSIGN_OR_RETURN(CudnnDescriptor setting, CudnnDescriptor::Create(api_, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, what));
    RETURN_IF_ERROR(
        setting.Set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT, "its precision"));
    RETURN_IF_ERROR(
        setting.Set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, kind, "its operator"));
    RETURN_IF_ERROR(setting.Finalize());
    ASSIGN_OR_RETURN(CudnnDescriptor op,
                     CudnnDescriptor::Create(api_, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, what));
    constexpr auto kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, kDescriptor, setting.get(), "its settings"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, kDescriptor, tensors_[x.index].get(), "x"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, kDescriptor, tensors_[y.index].get(), "y"));
    RETURN_IF_ERROR(op.Finalize());
    settings_.push_back(std::move(setting));
    operations_.push_back(std::move(op));
    return OkStatus();
  };
  Keep(make());
}

void CudnnGraph::Reshape(std::string_view name, const CudnnTensor& x, const CudnnTensor& y) {
  if (!failure_.ok()) return;
  const auto make = [&]() -> Status {
    ASSIGN_OR_RETURN(CudnnDescriptor op, CudnnDescriptor::Create(api_, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                                                 Cat(name_, ": reshape '", name, "'")));
    constexpr auto kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, kDescriptor, tensors_[x.index].get(), "x"));
    RETURN_IF_ERROR(op.Set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, kDescriptor, tensors_[y.index].get(), "y"));
    RETURN_IF_ERROR(op.Finalize());
    operations_.push_back(std::move(op));
    return OkStatus();
  };
  Keep(make());
}

namespace {

// What the heuristics in this mode offer, best first.
StatusOr<std::vector<CudnnDescriptor>> Offers(const CudnnApi& api, const std::string& name,
                                              cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t properties,
                                              cudnnBackendHeurMode_t mode) {
  ASSIGN_OR_RETURN(CudnnDescriptor heuristics,
                   CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, Cat(name, ": heuristics")));
  RETURN_IF_ERROR(
      heuristics.Set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph, "the graph"));
  RETURN_IF_ERROR(heuristics.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode, "the mode"));
  if (properties != nullptr) {
    RETURN_IF_ERROR(heuristics.Set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, properties,
                                   "the GPU's properties"));
  }
  RETURN_IF_ERROR(heuristics.Finalize());
  int64_t count = 0;
  RETURN_IF_ERROR(api.Check(api.GetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
                            Cat(name, ": count of the heuristics' results")));
  std::vector<CudnnDescriptor> configs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(CudnnDescriptor config, CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                                                     Cat(name, ": engine configuration")));
    raw.push_back(config.get());
    configs.push_back(std::move(config));
  }
  if (count == 0) return configs;
  RETURN_IF_ERROR(api.Check(api.GetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, raw.data()),
                            Cat(name, ": the heuristics' results")));
  configs.resize(std::min<size_t>(configs.size(), static_cast<size_t>(count)));
  return configs;
}

// Whether the engine of a configuration carries the note. False where cuDNN does not tell.
bool HasNote(const CudnnApi& api, cudnnBackendDescriptor_t config, cudnnBackendNumericalNote_t note) {
  StatusOr<CudnnDescriptor> engine = CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine");
  if (!engine.ok()) return false;
  cudnnBackendDescriptor_t raw = engine->get();
  int64_t count = 0;
  if (api.GetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw) !=
      CUDNN_STATUS_SUCCESS) {
    return false;
  }
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  if (api.GetAttribute(raw, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                       CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) != CUDNN_STATUS_SUCCESS) {
    return false;
  }
  return std::find(notes, notes + count, note) != notes + count;
}

}  // namespace

StatusOr<std::unique_ptr<CudnnPlan>> CudnnGraph::Build(cudnnHandle_t handle, std::string_view properties) && {
  RETURN_IF_ERROR(failure_);
  CudnnDescriptor device;
  if (handle == nullptr) {
    ASSIGN_OR_RETURN(device, CudnnDescriptor::Create(api_, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                                                     Cat(name_, ": properties of a GPU")));
    RETURN_IF_ERROR(device.Set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                               static_cast<int64_t>(properties.size()), properties.data(), "their text"));
    RETURN_IF_ERROR(device.Finalize());
  }
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const CudnnDescriptor& operation : operations_) operations.push_back(operation.get());
  ASSIGN_OR_RETURN(CudnnDescriptor graph, CudnnDescriptor::Create(api_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
                                                                  Cat(name_, ": operation graph")));
  RETURN_IF_ERROR(graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                            static_cast<int64_t>(operations.size()), operations.data(), "its operations"));
  if (handle != nullptr) {
    RETURN_IF_ERROR(graph.Set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle, "its handle"));
  }
  RETURN_IF_ERROR(graph.Finalize());

  Status refused = absl::UnimplementedError(Cat("cuDNN: ", name_, ": the heuristics offer no engine"));
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    StatusOr<std::vector<CudnnDescriptor>> offers = Offers(api_, name_, graph.get(), device.get(), mode);
    if (!offers.ok()) {
      refused = offers.status();
      continue;
    }
    for (CudnnDescriptor& config : *offers) {
      const auto make = [&]() -> StatusOr<CudnnDescriptor> {
        ASSIGN_OR_RETURN(CudnnDescriptor plan, CudnnDescriptor::Create(api_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                                                                       Cat(name_, ": execution plan")));
        if (handle != nullptr) {
          RETURN_IF_ERROR(plan.Set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle, "its handle"));
        } else {
          RETURN_IF_ERROR(plan.Set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, device.get(),
                                   "the GPU's properties"));
        }
        RETURN_IF_ERROR(plan.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, config.get(),
                                 "its engine"));
        RETURN_IF_ERROR(plan.Finalize());
        return plan;
      };
      StatusOr<CudnnDescriptor> made = make();
      if (!made.ok()) {
        refused = made.status();
        continue;
      }
      auto plan = std::make_unique<CudnnPlan>();
      plan->api_ = &api_;
      int64_t count = 0;
      RETURN_IF_ERROR(api_.Check(api_.GetAttribute(made->get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                   CUDNN_TYPE_INT64, 1, &count, &plan->workspace_bytes_),
                                 Cat(name_, ": execution plan: its workspace")));
      plan->nondeterministic_ = HasNote(api_, config.get(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
      plan->plan_ = *std::move(made);
      for (std::vector<CudnnDescriptor>* parts : {&tensors_, &settings_, &operations_}) {
        for (CudnnDescriptor& part : *parts) plan->parts_.push_back(std::move(part));
      }
      plan->parts_.push_back(std::move(graph));
      plan->parts_.push_back(std::move(config));
      plan->parts_.push_back(std::move(device));
      plan->scalars_ = std::move(scalars_);
      return plan;
    }
  }
  return refused;
}

Status CudnnPlan::Execute(cudnnHandle_t handle, const std::vector<Binding>& data, void* workspace) const {
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const Binding& binding : data) {
    ids.push_back(binding.tensor + 1);
    pointers.push_back(binding.data);
  }
  for (const auto& [id, value] : scalars_) {
    ids.push_back(id);
    pointers.push_back(value.get());
  }
  ASSIGN_OR_RETURN(CudnnDescriptor pack,
                   CudnnDescriptor::Create(*api_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "variant pack"));
  RETURN_IF_ERROR(pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                           static_cast<int64_t>(pointers.size()), pointers.data(), "addresses"));
  RETURN_IF_ERROR(pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, static_cast<int64_t>(ids.size()),
                           ids.data(), "ids"));
  RETURN_IF_ERROR(pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace, "workspace"));
  RETURN_IF_ERROR(pack.Finalize());
  return api_->Check(api_->Execute(handle, plan_.get(), pack.get()), "execute");
}

}  // namespace gptc

#endif  // the build has cuDNN's headers
