// The products of NVIDIA GPUs: cuBLASLt, found at run time (library.h).
//
// cuBLASLt thinks in columns: a row-major y = a·b is its yᵀ = bᵀ·aᵀ, so that its A is our b and its B our a, and what
// it calls rows of D are our columns. Epilogues follow: its bias runs along our columns, its BGRADA sums our b.
#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ir/base/library.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/elementwise_data.cuh"
#include "runtime/cuda/gemm.h"
#include "runtime/cuda/gemm_timings.h"

namespace gptc {
namespace {

using Epilogue = GemmProblem::Epilogue;

// The functions that are used, by pointer.
struct Library {
  decltype(&cublasLtCreate) Create;
  decltype(&cublasLtDestroy) Destroy;
  decltype(&cublasLtGetVersion) GetVersion;
  decltype(&cublasLtGetStatusString) GetStatusString;
  decltype(&cublasLtMatmulDescCreate) MatmulDescCreate;
  decltype(&cublasLtMatmulDescDestroy) MatmulDescDestroy;
  decltype(&cublasLtMatmulDescSetAttribute) MatmulDescSetAttribute;
  decltype(&cublasLtMatrixLayoutCreate) MatrixLayoutCreate;
  decltype(&cublasLtMatrixLayoutDestroy) MatrixLayoutDestroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) MatrixLayoutSetAttribute;
  decltype(&cublasLtMatmulPreferenceCreate) MatmulPreferenceCreate;
  decltype(&cublasLtMatmulPreferenceDestroy) MatmulPreferenceDestroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) MatmulPreferenceSetAttribute;
  decltype(&cublasLtMatmulAlgoGetHeuristic) MatmulAlgoGetHeuristic;
  decltype(&cublasLtMatmulAlgoCheck) MatmulAlgoCheck;
  decltype(&cublasLtMatmulAlgoCapGetAttribute) MatmulAlgoCapGetAttribute;
  decltype(&cublasLtMatmulAlgoConfigSetAttribute) MatmulAlgoConfigSetAttribute;
  decltype(&cublasLtMatmul) Matmul;

  static StatusOr<Library> Load() {
    ASSIGN_OR_RETURN(void* handle, OpenLibrary("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so"}));
    Library library;
    std::vector<std::string> missing;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
      if (function == nullptr) missing.emplace_back(name);
    };
#define GPTC_FIND(name) find(library.name, "cublasLt" #name)
    GPTC_FIND(Create);
    GPTC_FIND(Destroy);
    GPTC_FIND(GetVersion);
    GPTC_FIND(GetStatusString);
    GPTC_FIND(MatmulDescCreate);
    GPTC_FIND(MatmulDescDestroy);
    GPTC_FIND(MatmulDescSetAttribute);
    GPTC_FIND(MatrixLayoutCreate);
    GPTC_FIND(MatrixLayoutDestroy);
    GPTC_FIND(MatrixLayoutSetAttribute);
    GPTC_FIND(MatmulPreferenceCreate);
    GPTC_FIND(MatmulPreferenceDestroy);
    GPTC_FIND(MatmulPreferenceSetAttribute);
    GPTC_FIND(MatmulAlgoGetHeuristic);
    GPTC_FIND(MatmulAlgoCheck);
    GPTC_FIND(MatmulAlgoCapGetAttribute);
    GPTC_FIND(MatmulAlgoConfigSetAttribute);
    GPTC_FIND(Matmul);
#undef GPTC_FIND
    if (missing.empty()) return library;
    return FailedPrecondition("cuBLASLt on this machine is too old: it has no ", Join(missing, ", "));
  }
};

cudaDataType_t TypeOfCuda(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return CUDA_R_64F;
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kF16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t EpilogueOf(const GemmProblem& problem) {
  switch (problem.epilogue) {
    case Epilogue::kNone:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kReluBias:
      return problem.bias != nullptr ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Epilogue::kGeluBias:
      return problem.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case Epilogue::kGeluBiasSaved:
      return problem.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::kDGelu:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::kDGeluBiasGrad:
      return CUBLASLT_EPILOGUE_DGELU_BGRAD;
    case Epilogue::kBiasGradB:
      return CUBLASLT_EPILOGUE_BGRADA;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

// A product made ready: descriptors, an algorithm, addresses.
struct Product {
  const Library* library;
  cublasLtHandle_t handle;
  cudaStream_t stream;
  GemmProblem problem;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  ScratchPool* scratch = nullptr;
  const void* wide_bias = nullptr;  // f32, where cuBLASLt wants it in y's narrower type; null: as it is

  ~Product() {
    if (operation != nullptr) library->MatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {a, b, y}) {
      if (layout != nullptr) library->MatrixLayoutDestroy(layout);
    }
  }

  // Of cuBLASLt's workspace, and where the narrow bias lies behind it. It wants multiples of 256.
  static constexpr size_t kAlignment = 256;
  static std::byte* Aligned(void* memory) {
    return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory) + kAlignment - 1) & ~(kAlignment - 1));
  }
  size_t BiasOffset() const { return (workspace + kAlignment - 1) & ~(kAlignment - 1); }
  size_t ScratchBytes() const {
    return kAlignment + BiasOffset() + (wide_bias != nullptr ? 2 * static_cast<size_t>(problem.n) : 0);
  }

  cublasStatus_t Run(void* scratch_memory) const {
    std::byte* const memory = Aligned(scratch_memory);
    if (wide_bias != nullptr) {
      void* const narrow = memory + BiasOffset();
      cuda::ApplyCast(stream, DType::kF32, problem.y.dtype, wide_bias, narrow, problem.n);
      library->MatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &narrow, sizeof narrow);
    }
    const double one64 = 1, zero64 = 0;
    const float one = 1, zero = 0;
    const bool wide = problem.y.dtype == DType::kF64;
    const void* alpha = wide ? static_cast<const void*>(&one64) : &one;
    const void* beta = problem.c != nullptr ? alpha : wide ? static_cast<const void*>(&zero64) : &zero;
    return library->Matmul(handle, operation, alpha, problem.b.data, a, problem.a.data, b, beta,
                           problem.c != nullptr ? problem.c : problem.y.data, y, problem.y.data, y, &algorithm, memory,
                           workspace, stream);
  }
};

class CublasLt : public Gemm {
 public:
  static StatusOr<std::unique_ptr<Gemm>> Create(cudaStream_t stream, int sm) {
    auto engine = std::make_unique<CublasLt>();
    ASSIGN_OR_RETURN(engine->library_, Library::Load());
    engine->stream_ = stream;
    if (const cublasStatus_t status = engine->library_.Create(&engine->handle_); status != CUBLAS_STATUS_SUCCESS) {
      return Failure("cuBLASLt cannot start: ", engine->library_.GetStatusString(status));
    }
    engine->timings_ = GemmTimings::Open(Cat("cublaslt-", engine->library_.GetVersion(), "-sm", sm));
    return engine;
  }
  ~CublasLt() override {
    if (handle_ != nullptr) library_.Destroy(handle_);
  }

  StatusOr<BoundKernel> Bind(const GemmProblem& problem, ScratchPool& scratch) override {
    std::vector<cublasLtMatmulHeuristicResult_t> found;
    ASSIGN_OR_RETURN(std::shared_ptr<Product> product, DescribeAny(problem, 1, found));
    product->algorithm = found[0].algo;
    product->workspace = found[0].workspaceSize;
    if (std::string timed = timings_.Find(problem.Name()); timed.size() == sizeof(cublasLtMatmulAlgo_t)) {
      cublasLtMatmulAlgo_t algorithm;
      std::memcpy(&algorithm, timed.data(), sizeof algorithm);
      if (const auto checked = Checked(*product, algorithm); checked.has_value()) {
        product->algorithm = algorithm;
        product->workspace = checked->workspaceSize;
      }
    }
    product->scratch = &scratch;
    scratch.Request(product->ScratchBytes());
    bound_.emplace(problem.Name(), problem);
    return BoundKernel([this, product] {
      const cublasStatus_t status = product->Run(product->scratch->data());
      if (status != CUBLAS_STATUS_SUCCESS && failure_.ok()) failure_ = Failed("running it", status, product->problem);
    });
  }

  StatusOr<BoundKernel> BindFastest(const std::string& name, std::vector<GemmWay> ways, ScratchPool& scratch) override {
    StatusOr<BoundKernel> bound = BindFirst(ways, timings_.FindWay(name), scratch);
    if (bound.ok()) choices_.emplace(name, std::move(ways));
    return bound;
  }

  Status TakeFailure() override { return std::exchange(failure_, OkStatus()); }

  Status Tune(const std::function<void(const ProductTiming&)>& report) override {
    // The products of the ways that were not taken are to be timed as well.
    for (const auto& [name, ways] : choices_) {
      for (const GemmWay& way : ways) {
        ScratchPool unused;
        const Status status = way.bind(unused).status();
        if (!status.ok() && !absl::IsUnimplemented(status)) return status;
      }
    }
    for (const auto& [name, problem] : bound_) {
      ASSIGN_OR_RETURN(const ProductTiming timing, TuneOne(name, problem));
      if (report) report(timing);
    }
    for (const auto& [name, ways] : choices_) {
      ASSIGN_OR_RETURN(const ProductTiming timing, TuneWays(name, ways));
      if (report) report(timing);
    }
    return timings_.Save();
  }

 private:
  Status Failed(std::string_view what, cublasStatus_t status, const GemmProblem& problem) const {
    const std::string text = Cat(problem.Name(), ": ", what, ": ", library_.GetStatusString(status));
    return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE
               ? absl::UnimplementedError(text)
               : Failure("cuBLASLt: ", text);
  }

  StatusOr<std::shared_ptr<Product>> Describe(const GemmProblem& p) const {
    auto product = std::make_shared<Product>();
    product->library = &library_;
    product->handle = handle_;
    product->stream = stream_;
    product->problem = p;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    const auto keep = [&](cublasStatus_t next) {
      if (status == CUBLAS_STATUS_SUCCESS) status = next;
    };
    const bool wide = p.y.dtype == DType::kF64;
    keep(library_.MatmulDescCreate(&product->operation, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                   wide ? CUDA_R_64F : CUDA_R_32F));
    if (status != CUBLAS_STATUS_SUCCESS) return Failed("describing the product", status, p);
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
      keep(library_.MatmulDescSetAttribute(product->operation, attribute, &value, sizeof value));
    };
    const cublasOperation_t first = p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, first);
    set(CUBLASLT_MATMUL_DESC_TRANSB, second);
    const cublasLtEpilogue_t epilogue = EpilogueOf(p);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (p.bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOfCuda(p.bias_dtype));
    }
    if (p.aux != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.aux);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.aux_leading);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, TypeOfCuda(p.y.dtype));
    }
    const auto layout = [&](cublasLtMatrixLayout_t& to, const GemmMatrix& matrix, int64_t rows, int64_t columns) {
      if (matrix.transposed) std::swap(rows, columns);
      keep(library_.MatrixLayoutCreate(&to, TypeOfCuda(matrix.dtype), static_cast<uint64_t>(rows),
                                       static_cast<uint64_t>(columns), matrix.leading));
      if (to == nullptr || p.batch == 1) return;
      const auto batch = static_cast<int32_t>(p.batch);
      keep(library_.MatrixLayoutSetAttribute(to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch));
      keep(library_.MatrixLayoutSetAttribute(to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &matrix.batch_stride,
                                             sizeof matrix.batch_stride));
    };
    layout(product->a, p.b, p.n, p.k);
    layout(product->b, p.a, p.k, p.m);
    layout(product->y, p.y, p.n, p.m);
    if (status != CUBLAS_STATUS_SUCCESS) return Failed("describing the product", status, p);
    return product;
  }

  // Described, with its algorithms. Where there are none because the bias is wider than y, for a bias of y's type.
  StatusOr<std::shared_ptr<Product>> DescribeAny(const GemmProblem& problem, int most,
                                                 std::vector<cublasLtMatmulHeuristicResult_t>& found) const {
    ASSIGN_OR_RETURN(std::shared_ptr<Product> product, Describe(problem));
    StatusOr<std::vector<cublasLtMatmulHeuristicResult_t>> algorithms = Algorithms(*product, most);
    const bool reads_bias = problem.epilogue == Epilogue::kBias || problem.epilogue == Epilogue::kReluBias ||
                            problem.epilogue == Epilogue::kGeluBias || problem.epilogue == Epilogue::kGeluBiasSaved;
    if (absl::IsUnimplemented(algorithms.status()) && reads_bias && problem.bias != nullptr &&
        problem.bias_dtype != problem.y.dtype) {
      GemmProblem narrow = problem;
      narrow.bias_dtype = problem.y.dtype;
      ASSIGN_OR_RETURN(product, Describe(narrow));
      product->wide_bias = problem.bias;
      algorithms = Algorithms(*product, most);
    }
    ASSIGN_OR_RETURN(found, std::move(algorithms));
    return product;
  }

  // At least one, the most promising first.
  StatusOr<std::vector<cublasLtMatmulHeuristicResult_t>> Algorithms(const Product& product, int most) const {
    cublasLtMatmulPreference_t preference = nullptr;
    cublasStatus_t status = library_.MatmulPreferenceCreate(&preference);
    if (status != CUBLAS_STATUS_SUCCESS) return Failed("asking for an algorithm", status, product.problem);
    const size_t workspace = kGemmWorkspaceBytes;
    library_.MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                          sizeof workspace);
    // Parts of a sum meet in f32, in an order that is theirs.
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    library_.MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                          sizeof reductions);
    // What addresses are multiples of: offsets in the plan are of 64, a matrix inside another's rows may be of less.
    const auto align = [&](cublasLtMatmulPreferenceAttributes_t attribute, const void* address) {
      uint32_t bytes = 256;
      while (bytes > 1 && reinterpret_cast<uintptr_t>(address) % bytes != 0) bytes /= 2;
      library_.MatmulPreferenceSetAttribute(preference, attribute, &bytes, sizeof bytes);
    };
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, product.problem.b.data);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, product.problem.a.data);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
          product.problem.c != nullptr ? product.problem.c : product.problem.y.data);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, product.problem.y.data);
    std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(most));
    int count = 0;
    status = library_.MatmulAlgoGetHeuristic(handle_, product.operation, product.a, product.b, product.y, product.y,
                                             preference, most, found.data(), &count);
    library_.MatmulPreferenceDestroy(preference);
    if (status == CUBLAS_STATUS_SUCCESS && count == 0) status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status != CUBLAS_STATUS_SUCCESS) return Failed("no algorithm", status, product.problem);
    found.resize(static_cast<size_t>(count));
    return found;
  }

  // The algorithm where the library has it for the product, with the workspace that it takes.
  std::optional<cublasLtMatmulHeuristicResult_t> Checked(const Product& product,
                                                         const cublasLtMatmulAlgo_t& algorithm) const {
    cublasLtMatmulHeuristicResult_t checked{};
    checked.algo = algorithm;
    if (library_.MatmulAlgoCheck(handle_, product.operation, product.a, product.b, product.y, product.y, &algorithm,
                                 &checked) != CUBLAS_STATUS_SUCCESS ||
        checked.workspaceSize > kGemmWorkspaceBytes) {
      return std::nullopt;
    }
    checked.algo = algorithm;
    return checked;
  }
  std::vector<cublasLtMatmulHeuristicResult_t> Candidates(
      const Product& product, const std::vector<cublasLtMatmulHeuristicResult_t>& suggested) const;
  StatusOr<ProductTiming> TuneOne(const std::string& name, const GemmProblem& problem);
  StatusOr<ProductTiming> TuneWays(const std::string& name, const std::vector<GemmWay>& ways);

  Library library_{};
  cudaStream_t stream_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  GemmTimings timings_;
  Status failure_;  // the first of a product that ran, until somebody takes it
  // What Tune() times.
  std::map<std::string, GemmProblem> bound_;
  std::map<std::string, std::vector<GemmWay>> choices_;
};

// Times by events on a stream.
class StopWatch {
 public:
  explicit StopWatch(cudaStream_t stream) : stream_(stream) {
    cudaEventCreate(&begin_);
    cudaEventCreate(&end_);
  }
  ~StopWatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

  // Of what `work` enqueues; -1 where it or the device fails.
  float Milliseconds(const std::function<bool()>& work) {
    cudaEventRecord(begin_, stream_);
    if (!work()) return -1;
    cudaEventRecord(end_, stream_);
    float ms = 0;
    if (cudaEventSynchronize(end_) != cudaSuccess || cudaEventElapsedTime(&ms, begin_, end_) != cudaSuccess) return -1;
    return ms;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

constexpr int kWarmRuns = 2, kTimedRuns = 9;

double MedianSeconds(std::vector<float>& ms) {
  std::nth_element(ms.begin(), ms.begin() + kTimedRuns / 2, ms.end());
  return ms[kTimedRuns / 2] * 1e-3;
}

// What cuBLASLt suggests, for the product and for the same with another addend, and their neighbours: its suggestions
// are eight or fewer, and one with another tile, cluster of blocks or division of the sum is often faster.
std::vector<cublasLtMatmulHeuristicResult_t> CublasLt::Candidates(
    const Product& product, const std::vector<cublasLtMatmulHeuristicResult_t>& suggested) const {
  std::vector<cublasLtMatmulHeuristicResult_t> candidates = suggested;
  std::set<std::string> seen;
  const auto is_new = [&](const cublasLtMatmulAlgo_t& algorithm) {
    return seen.emplace(reinterpret_cast<const char*>(&algorithm), sizeof algorithm).second;
  };
  for (const auto& candidate : suggested) is_new(candidate.algo);
  const auto add = [&](const cublasLtMatmulAlgo_t& algorithm) {
    if (!is_new(algorithm)) return;
    if (const auto checked = Checked(product, algorithm); checked.has_value()) candidates.push_back(*checked);
  };

  GemmProblem sibling = product.problem;
  sibling.c = sibling.c == nullptr ? sibling.y.data : nullptr;
  std::vector<cublasLtMatmulHeuristicResult_t> bases = suggested, of_sibling;
  if (DescribeAny(sibling, static_cast<int>(suggested.size()), of_sibling).ok()) {
    for (const auto& each : of_sibling) add(each.algo);
    bases.insert(bases.end(), of_sibling.begin(), of_sibling.end());
  }
  for (const auto& base : bases) {
    const auto with = [&](cublasLtMatmulAlgo_t algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute, auto value) {
      library_.MatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof value);
      return algorithm;
    };
    uint32_t tiles[CUBLASLT_MATMUL_TILE_END] = {};
    size_t tile_bytes = 0;
    library_.MatmulAlgoCapGetAttribute(&base.algo, CUBLASLT_ALGO_CAP_TILE_IDS, tiles, sizeof tiles, &tile_bytes);
    for (size_t t = 0; t < tile_bytes / sizeof *tiles; ++t) {
      for (const uint16_t cluster :
           {CUBLASLT_CLUSTER_SHAPE_1x1x1, CUBLASLT_CLUSTER_SHAPE_2x1x1, CUBLASLT_CLUSTER_SHAPE_1x2x1,
            CUBLASLT_CLUSTER_SHAPE_2x2x1, CUBLASLT_CLUSTER_SHAPE_4x1x1, CUBLASLT_CLUSTER_SHAPE_1x4x1}) {
        add(with(with(base.algo, CUBLASLT_ALGO_CONFIG_TILE_ID, tiles[t]), CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID,
                 cluster));
      }
    }
    for (const uint32_t swizzling : {0, 1}) add(with(base.algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, swizzling));
    for (const int32_t parts : {1, 2, 3, 4, 6, 8}) {
      const uint32_t reduction = parts == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
      add(with(with(base.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, parts), CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
               reduction));
    }
  }
  return candidates;
}

// All candidates once, on the problem's own memory, and then the best of them, the median of nine runs in turns. An
// output that is also read (c) only grows by that; a step that follows writes everything anew.
StatusOr<ProductTiming> CublasLt::TuneOne(const std::string& name, const GemmProblem& problem) {
  constexpr int kSuggested = 24;
  constexpr size_t kFinalists = 8;
  constexpr double kFirstSeconds = 0.5;  // for all of the first runs
  std::vector<cublasLtMatmulHeuristicResult_t> found;
  ASSIGN_OR_RETURN(const std::shared_ptr<Product> product, DescribeAny(problem, kSuggested, found));
  void* workspace = nullptr;
  if (cudaMalloc(&workspace, 2 * kGemmWorkspaceBytes) != cudaSuccess) return OutOfMemory("tuning needs a workspace");
  StopWatch watch(stream_);
  const auto run = [&](const cublasLtMatmulHeuristicResult_t& candidate) {
    product->algorithm = candidate.algo;
    product->workspace = candidate.workspaceSize;
    return watch.Milliseconds([&] { return product->Run(workspace) == CUBLAS_STATUS_SUCCESS; });
  };

  struct Timed {
    cublasLtMatmulHeuristicResult_t candidate;
    float first = 0;
    std::vector<float> times;
  };
  ProductTiming timing{.name = name, .flops = 2.0 * problem.m * problem.n * problem.k * problem.batch};
  std::vector<Timed> timed;
  double spent = 0;
  for (const auto& candidate : Candidates(*product, found)) {
    if (spent > kFirstSeconds) break;
    const float cold = run(candidate), warm = cold < 0 ? cold : run(candidate);
    if (warm < 0) continue;
    spent += (cold + warm) * 1e-3;
    timed.push_back({candidate, warm, {}});
    ++timing.algorithms;
  }
  if (timed.empty()) {
    cudaFree(workspace);
    return Failure("cuBLASLt: ", name, ": none of its algorithms ran");
  }
  // The library's own choice stays, for comparison.
  std::sort(timed.begin() + 1, timed.end(), [](const Timed& a, const Timed& b) { return a.first < b.first; });
  timed.resize(std::min(timed.size(), kFinalists + 1));
  for (int turn = 0; turn < kWarmRuns + kTimedRuns; ++turn) {
    for (Timed& each : timed) {
      const float ms = run(each.candidate);
      if (ms >= 0 && turn >= kWarmRuns) each.times.push_back(ms);
    }
  }
  cudaFree(workspace);
  std::erase_if(timed, [](const Timed& each) { return each.times.size() < kTimedRuns; });
  if (timed.empty()) return Failure("cuBLASLt: ", name, ": none of its algorithms ran");
  const cublasLtMatmulAlgo_t* best = nullptr;
  for (Timed& each : timed) {
    const double seconds = MedianSeconds(each.times);
    if (best == nullptr) timing.default_seconds = seconds;
    if (best != nullptr && seconds >= timing.best_seconds) continue;
    timing.best_seconds = seconds;
    best = &each.candidate.algo;
  }
  timings_.Set(name, std::string_view(reinterpret_cast<const char*>(best), sizeof *best));
  return timing;
}

// Every way that there is, with the algorithms that were found before, in turns: a clock that sinks is then nobody's
// disadvantage.
StatusOr<ProductTiming> CublasLt::TuneWays(const std::string& name, const std::vector<GemmWay>& ways) {
  struct Way {
    std::string name;
    BoundKernel kernel;
    std::vector<float> times;
  };
  ScratchPool scratch;
  std::vector<Way> timed;
  for (const GemmWay& way : ways) {
    StatusOr<BoundKernel> kernel = way.bind(scratch);
    if (absl::IsUnimplemented(kernel.status())) continue;
    RETURN_IF_ERROR(kernel.status());
    timed.push_back({way.name, *std::move(kernel), {}});
  }
  void* memory = nullptr;
  if (cudaMalloc(&memory, scratch.bytes()) != cudaSuccess) return OutOfMemory("tuning needs a workspace");
  scratch.set_data(memory);
  StopWatch watch(stream_);
  for (int run = 0; run < kWarmRuns + kTimedRuns; ++run) {
    for (Way& way : timed) {
      const float ms = watch.Milliseconds([&] {
        way.kernel();
        return TakeFailure().ok();
      });
      if (ms >= 0 && run >= kWarmRuns) way.times.push_back(ms);
    }
  }
  cudaFree(memory);
  ProductTiming timing{.name = name};
  for (Way& way : timed) {
    if (way.times.size() == kTimedRuns) timing.ways.push_back({way.name, MedianSeconds(way.times)});
  }
  if (timing.ways.empty()) return Failure("cuBLASLt: ", name, ": none of its ways ran");
  const auto best = std::min_element(timing.ways.begin(), timing.ways.end(),
                                     [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  timing.default_seconds = timing.ways.front().seconds;
  timing.best_seconds = best->seconds;
  timings_.SetWay(name, best->name);
  return timing;
}

}  // namespace

StatusOr<std::unique_ptr<Gemm>> MakeGemm(cudaStream_t stream, int sm) { return CublasLt::Create(stream, sm); }

}  // namespace gptc
