// Operation graphs of cuDNN's backend API: tensors and operations on them, that cuDNN finds one fused kernel for.
//
// The library is opened at run time (library.h). Every failure is a Status that says what was being made ("operation
// 'scores': finalize"), cuDNN's status and its own explanation.
#ifndef GPTC_RUNTIME_CUDA_GRAPH_CUDNN_H_
#define GPTC_RUNTIME_CUDA_GRAPH_CUDNN_H_

#include <cudnn_graph.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

// The functions of the library that we call.
struct CudnnApi {
  decltype(&cudnnGetVersion) GetVersion = nullptr;
  decltype(&cudnnGetCudartVersion) GetCudartVersion = nullptr;
  decltype(&cudnnGetErrorString) GetErrorString = nullptr;
  decltype(&cudnnGetLastErrorString) GetLastErrorString = nullptr;
  decltype(&cudnnCreate) Create = nullptr;
  decltype(&cudnnDestroy) Destroy = nullptr;
  decltype(&cudnnSetStream) SetStream = nullptr;
  decltype(&cudnnBackendCreateDescriptor) CreateDescriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) DestroyDescriptor = nullptr;
  decltype(&cudnnBackendFinalize) Finalize = nullptr;
  decltype(&cudnnBackendSetAttribute) SetAttribute = nullptr;
  decltype(&cudnnBackendGetAttribute) GetAttribute = nullptr;
  decltype(&cudnnBackendExecute) Execute = nullptr;

  static StatusOr<CudnnApi> Open();
  // OK, or a failure: "cuDNN: <what>: CUDNN_STATUS_BAD_PARAM (...)".
  Status Check(cudnnStatus_t status, std::string_view what) const;
};

// A descriptor of the backend API, destroyed with this object.
class CudnnDescriptor {
 public:
  CudnnDescriptor() = default;
  CudnnDescriptor(CudnnDescriptor&& other) noexcept { *this = std::move(other); }
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept;
  ~CudnnDescriptor();

  static StatusOr<CudnnDescriptor> Create(const CudnnApi& api, cudnnBackendDescriptorType_t type, std::string what);
  Status Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values,
             std::string_view label);
  template <typename T>
  Status Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value,
             std::string_view label) {
    return Set(name, type, 1, &value, label);
  }
  Status Finalize();

  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  const CudnnApi* api_ = nullptr;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
  std::string what_;
};

// Dimensions or strides, in elements, of [batch, heads, rows, columns].
using CudnnDims = std::array<int64_t, 4>;

struct CudnnTensor {
  int index = -1;  // of the graph's tensors; also its id
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  CudnnDims dims = {}, strides = {};
};

// An execution plan: a kernel and what it needs.
class CudnnPlan {
 public:
  int64_t workspace_bytes() const { return workspace_bytes_; }
  // Whether cuDNN notes that the kernel's results may differ from run to run.
  bool nondeterministic() const { return nondeterministic_; }
  // Enqueues it on the handle's stream. data: of the tensors that are not virtual nor scalars, by CudnnTensor::index.
  struct Binding {
    int tensor;
    void* data;
  };
  Status Execute(cudnnHandle_t handle, const std::vector<Binding>& data, void* workspace) const;

 private:
  friend class CudnnGraph;
  const CudnnApi* api_ = nullptr;
  std::vector<CudnnDescriptor> parts_;  // all that the plan was made of
  CudnnDescriptor plan_;
  std::vector<std::pair<int64_t, std::unique_ptr<float>>> scalars_;
  int64_t workspace_bytes_ = 0;
  bool nondeterministic_ = false;
};

// Collects tensors and operations; the first failure is kept, and reported by Build().
class CudnnGraph {
 public:
  CudnnGraph(const CudnnApi& api, std::string name) : api_(api), name_(std::move(name)) {}

  // In memory that Execute names, at multiples of 16 bytes.
  CudnnTensor Stored(std::string_view name, cudnnDataType_t type, const CudnnDims& dims, const CudnnDims& strides);
  // Known to the kernel alone.
  CudnnTensor Virtual(std::string_view name, cudnnDataType_t type, const CudnnDims& dims, const CudnnDims& strides);
  CudnnTensor Scalar(std::string_view name, float value);

  void MatMul(std::string_view name, const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& y);
  struct Pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    int64_t axis = -1;  // of CUDNN_POINTWISE_GEN_INDEX
  };
  // y = mode(x), mode(x, b) or, for a selection, selector ? x : b.
  void Map(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor& y);
  void Map(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor& b,
           const CudnnTensor& y);
  void Select(std::string_view name, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& selector,
              const CudnnTensor& y);
  // Over the axes that are 1 in y.
  void Reduce(std::string_view name, cudnnReduceTensorOp_t op, const CudnnTensor& x, const CudnnTensor& y);
  // x under y's dimensions and strides.
  void Reshape(std::string_view name, const CudnnTensor& x, const CudnnTensor& y);

  // The first plan that cuDNN's heuristics offer and that can be made, for the handle's GPU; or, where `handle` is
  // null, for one of these properties (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), which needs no GPU.
  StatusOr<std::unique_ptr<CudnnPlan>> Build(cudnnHandle_t handle, std::string_view properties = "") &&;

 private:
  CudnnTensor Add(std::string_view name, cudnnDataType_t type, const CudnnDims& dims, const CudnnDims& strides,
                  bool is_virtual, bool by_value);
  void MapImpl(std::string_view name, const Pointwise& mode, const CudnnTensor& x, const CudnnTensor* b,
               const CudnnTensor* selector, const CudnnTensor& y);
  void Keep(const Status& status) {
    if (failure_.ok()) failure_ = status;
  }

  const CudnnApi& api_;
  std::string name_;
  Status failure_;
  std::vector<CudnnDescriptor> tensors_, settings_, operations_;
  std::vector<std::pair<int64_t, std::unique_ptr<float>>> scalars_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_GRAPH_CUDNN_H_
