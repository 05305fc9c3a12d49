#include "passes/cuda_source.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ir/base/fused_region.h"
#include "passes/cuda_expression.h"
#include "passes/row_layout.h"
#include "runtime/plan/generated.h"

namespace gptc {
namespace {

constexpr int64_t kWarp = 32, kBlock = 256, kLongestBlock = 1024;
constexpr int64_t kRowElements = 32;  // of a row that a thread takes, at most where more threads can be had
constexpr int64_t kHeldBytes = 256;   // of operands that a thread keeps in registers

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

const char* ElementName(DType dtype) {
  return dtype == DType::kF32 ? "float" : dtype == DType::kBF16 ? "bf16" : "flag";
}

class Generator {
 public:
  Generator(std::string name, const FusedRegion& region, const FusedTypes& types, std::span<const Type> operands)
      : name_(std::move(name)), region_(region), types_(types), operands_(operands) {}

  plan::GeneratedKernelT Generate(std::string_view text) {
    for (FusedForm form : types_.forms) {
      columns_ |= form == FusedForm::kColumn;
      totals_ |= form == FusedForm::kTotal;
    }
    totals_ &= types_.space.back() > 0;
    layout_ = RowLayoutOf(types_.space, operands_, columns_ || totals_);
    wide_index_ = ElementCount(types_.space) >= int64_t{1} << 31;
    count_ = VectorOf();
    kernel_.name = name_;
    Line("// (", Join(operands_, ", ", [](const Type& type) { return TypeText(type); }), ") -> (",
         Join(region_.results, ", ", [&](int value) { return TypeText(types_.values[value]); }), ")");
    Line("// ", text);
    if (columns_ || totals_) {
      Rows();
    } else {
      Elements();
    }
    kernel_.source = std::move(source_);
    return std::move(kernel_);
  }

 private:
  template <typename... Parts>
  void Line(const Parts&... parts) {
    source_.append(2 * static_cast<size_t>(depth_), ' ');
    source_ += Cat(parts..., "\n");
  }
  template <typename... Parts>
  void Open(const Parts&... parts) {
    Line(parts..., " {");
    ++depth_;
  }
  void Close() {
    --depth_;
    Line("}");
  }
  void Unroll() { source_ += "#pragma unroll\n"; }

  bool IsOperand(int value) const { return value < region_.inputs; }
  const FusedInstruction& Instruction(int value) const { return region_.code[value - region_.inputs]; }
  FusedForm FormOf(int value) const { return types_.forms[value - region_.inputs]; }
  bool IsReduction(int value) const { return !IsOperand(value) && InfoOf(Instruction(value).op).family == "reduction"; }
  // Whether a thread has one for each of its elements.
  bool IsWhole(int value) const {
    return IsOperand(value) ? layout_.walks[value].inner : FormOf(value) == FusedForm::kWhole;
  }
  bool IsBool(int value) const { return types_.values[value].dtype == DType::kBool; }
  std::vector<int> Results(FusedForm form) const {  // indices
    std::vector<int> results;
    for (size_t r = 0; r < region_.results.size(); ++r) {
      if (FormOf(region_.results[r]) == form) results.push_back(static_cast<int>(r));
    }
    return results;
  }

  // Neighbours that a thread takes: as many as rows and operands begin at multiples of.
  int64_t VectorOf() const {
    bool narrow = false;
    for (int i = 0; i < region_.inputs; ++i) narrow |= IsWhole(i) && SizeOf(operands_[i].dtype) < 4;
    for (int result : region_.results) {
      narrow |= FormOf(result) == FusedForm::kWhole && SizeOf(types_.values[result].dtype) < 4;
    }
    const int64_t most = narrow ? 8 : 4;
    if (layout_.axes.empty() && !columns_ && !totals_) return most;  // the last thread takes what is left
    int64_t count = most;
    const auto divides = [&] {
      if (layout_.width % count != 0) return false;
      for (const RowLayout::Walk& walk : layout_.walks) {
        for (int64_t stride : walk.strides) {
          if (walk.inner && stride % count != 0) return false;
        }
      }
      return true;
    };
    while (count > 1 && !divides()) count /= 2;
    return count;
  }

  std::string Name(int value) const { return IsOperand(value) ? Cat("a", value) : Cat("t", value - region_.inputs); }
  std::string Number(int64_t value) const { return Cat(value, wide_index_ ? "ull" : "u"); }
  const char* Index() const { return wide_index_ ? "unsigned long long" : "unsigned"; }

  CudaValue ValueOf(int value) const {
    if (!IsOperand(value) && FormOf(value) == FusedForm::kScalar)
      return {FloatLiteral(Instruction(value).attributes.Double("value")), false};
    return {Name(value), IsBool(value)};
  }
  void Define(int value) {
    std::vector<CudaValue> operands;
    for (int operand : Instruction(value).operands) operands.push_back(ValueOf(operand));
    Line(IsBool(value) ? "const bool " : "const float ", Name(value), " = ",
         CudaExpression(Instruction(value), operands, IsBool(value)), ";");
  }

  // What must be computed for `roots`, of whole values alone.
  std::set<int> WholeNeeds(const std::vector<int>& roots) const {
    std::set<int> needs;
    std::vector<int> open = roots;
    while (!open.empty()) {
      const int value = open.back();
      open.pop_back();
      if (!IsWhole(value) || !needs.insert(value).second || IsOperand(value)) continue;
      const std::vector<int>& operands = Instruction(value).operands;
      open.insert(open.end(), operands.begin(), operands.end());
    }
    return needs;
  }

  // "in0 + row * 768", and the element of it that a column is.
  std::string RowAddress(int operand) const {
    const RowLayout::Walk& walk = layout_.walks[operand];
    std::string address = Cat("in", operand);
    int64_t dense = walk.inner ? layout_.width : 1;
    bool is_dense = true;
    for (size_t axis = layout_.axes.size(); axis-- > 0;) {
      is_dense &= walk.strides[axis] == dense;
      dense *= layout_.axes[axis];
    }
    if (is_dense && !layout_.axes.empty()) {
      const int64_t stride = walk.strides.back();
      return address + (stride == 1 ? " + row" : Cat(" + row * ", Number(stride)));
    }
    int64_t below = 1;  // rows from one of the axis to the next
    for (size_t axis = layout_.axes.size(); axis-- > 0;) {
      if (walk.strides[axis] != 0) {
        address += " + row";
        if (below != 1) address += Cat(" / ", Number(below));
        if (axis > 0) address += Cat(" % ", Number(layout_.axes[axis]));
        if (walk.strides[axis] != 1) address += Cat(" * ", Number(walk.strides[axis]));
      }
      below *= layout_.axes[axis];
    }
    return address;
  }

  void Signature(std::string_view suffix, int64_t threads) {
    std::vector<std::string> parameters;
    for (int i = 0; i < region_.inputs; ++i)
      parameters.push_back(Cat("const ", ElementName(operands_[i].dtype), "* in", i));
    for (size_t r = 0; r < region_.results.size(); ++r)
      parameters.push_back(Cat(ElementName(types_.values[region_.results[r]].dtype), "* out", r));
    if (kernel_.scratch_bytes > 0) parameters.push_back("float* partials");
    Open("extern \"C\" __global__ void __launch_bounds__(", threads, ") ", name_, suffix, "(", Join(parameters, ", "),
         ")");
  }
  void AddLaunch(std::string_view suffix, int64_t columns, int64_t rows, int64_t threads) {
    auto launch = std::make_unique<plan::GeneratedLaunchT>();
    launch->function = Cat(name_, suffix);
    launch->columns = static_cast<uint32_t>(columns);
    launch->rows = static_cast<uint32_t>(rows);
    launch->threads = static_cast<uint32_t>(threads);
    kernel_.launches.push_back(std::move(launch));
  }

  // Operands that have one element a row, or one for all.
  void LoadColumns() {
    for (int i = 0; i < region_.inputs; ++i) {
      if (IsWhole(i)) continue;
      const std::string address = RowAddress(i);
      Line("const ", IsBool(i) ? "bool a" : "float a", i, " = Value(*(", address, "));");
    }
  }
  // The whole values of `needs`, of one of the thread's elements.
  void ComputeElement(const std::set<int>& needs, std::string_view chunk) {
    for (int value : needs) {
      if (IsOperand(value)) {
        Line("const ", IsBool(value) ? "bool a" : "float a", value, " = Value(x", value, chunk, ".at[k]);");
      } else {
        Define(value);
      }
    }
  }
  void DeclareResults(const std::vector<int>& results) {
    for (int r : results) Line(IsBool(region_.results[r]) ? "bool" : "float", " y", r, "[", count_, "];");
  }
  void PutResults(const std::vector<int>& results) {
    for (int r : results) {
      const int value = region_.results[r];
      Line("y", r, "[k] = ", Name(value), ";");
    }
  }

  void Elements() {
    const int64_t elements = ElementCount(types_.space), threads = CeilDiv(elements, count_);
    const bool flat = layout_.axes.empty(), some = flat && elements % count_ != 0;
    Signature("", kBlock);
    Line("const ", Index(), " i = (blockIdx.x * ", Number(kBlock), " + threadIdx.x) * ", Number(count_), ";");
    Line("if (i >= ", Number(elements), ") return;");
    if (some)
      Line("const int count = i + ", count_, " <= ", Number(elements), " ? ", count_, " : static_cast<int>(",
           Number(elements), " - i);");
    if (!flat) {
      const int64_t width = std::max<int64_t>(1, layout_.width);
      Line("const ", Index(), " row = i / ", Number(width), ", column = i % ", Number(width), ";");
    }
    LoadColumns();
    const std::vector<int> results = Results(FusedForm::kWhole);
    std::vector<int> roots;
    for (int r : results) roots.push_back(region_.results[r]);
    const std::set<int> needs = WholeNeeds(roots);
    for (int value : needs) {
      if (!IsOperand(value)) continue;
      Line("const Pack<", ElementName(operands_[value].dtype), ", ", count_, "> x", value, " = Load",
           some ? "Some<" : "<", count_, ">(", flat ? Cat("in", value, " + i") : Cat(RowAddress(value), " + column"),
           some ? ", count" : "", ");");
    }
    DeclareResults(results);
    Unroll();
    Open("for (int k = 0; k < ", count_, "; ++k)");
    ComputeElement(needs, "");
    PutResults(results);
    Close();
    for (int r : results)
      Line("Store", some ? "Some<" : "<", count_, ">(out", r, " + i, y", r, some ? ", count" : "", ");");
    Close();
    AddLaunch("", CeilDiv(threads, kBlock), 1, kBlock);
  }

  // Rows, by groups of threads. What is computed of a row, level by level: a reduction's level is one above the highest
  // of what it reduces, everything else is at the highest of its operands.
  void Rows() {
    const FusedParts parts = FusedPartsOf(types_);
    kernel_.scratch_bytes = parts.bytes;
    const int64_t width = layout_.width;
    if (totals_ && parts.count == 0) return JoinTotals(Totals(), parts);  // no rows
    if (columns_) {
      for (int64_t more : {int64_t{128}, int64_t{256}, int64_t{512}, kLongestBlock}) {
        if (CeilDiv(width, group_ * count_) * count_ > kRowElements) group_ = more;
      }
      chunks_ = std::max<int64_t>(1, CeilDiv(width, group_ * count_));
    }
    const int64_t groups = group_ == kWarp ? kBlock / kWarp : 1, threads = group_ * groups;
    const int64_t tile = group_ * count_ * chunks_;  // columns of a block
    const int64_t tiles = columns_ ? 1 : CeilDiv(width, tile);
    exact_ = width == tile * tiles;

    Signature("", threads);
    if (group_ == kWarp) {
      Line("const unsigned group = threadIdx.x / 32, lane = threadIdx.x % 32;");
    } else {
      Line("const unsigned lane = threadIdx.x;");
    }
    first_ = Cat("lane * ", count_);
    if (tiles > 1) first_ = Cat("blockIdx.y * ", tile, " + ", first_);
    const std::vector<int> totals = Totals();
    for (int value : totals) Line("float s", value - region_.inputs, "[", chunks_, "][", count_, "] = {};");
    const std::string group = group_ == kWarp ? " + group" : "";
    if (totals_) {
      Line("const ", Index(), " end = Least((blockIdx.x + 1) * ", Number(parts.rows), ", ", Number(layout_.rows), ");");
      Open("for (", Index(), " row = blockIdx.x * ", Number(parts.rows), group, "; row < end; row += ", groups, ")");
    } else {
      Line("const ", Index(), " row = blockIdx.x * ", Number(groups), group, ";");
      Line("if (row >= ", Number(layout_.rows), ") return;");
    }
    Row(totals);
    if (totals_) Close();
    for (size_t i = 0; i < totals.size(); ++i) {
      const std::string part = i == 0 ? "blockIdx.x" : Cat("(", i * static_cast<size_t>(parts.count), " + blockIdx.x)");
      Line("AddGroups<", group_, ", ", groups, ">(s", totals[i] - region_.inputs, ", ",
           tiles > 1 ? Cat("blockIdx.y * ", tile) : "0", ", ", width, ", partials + static_cast<size_t>",
           i == 0 ? "(blockIdx.x)" : part, " * ", width, ");");
    }
    Close();
    AddLaunch("", totals_ ? parts.count : CeilDiv(layout_.rows, groups), tiles, threads);
    if (totals_) JoinTotals(totals, parts);
  }

  // Values of the form kTotal that are returned.
  std::vector<int> Totals() const {
    std::set<int> totals;
    for (int r : Results(FusedForm::kTotal)) totals.insert(region_.results[r]);
    return {totals.begin(), totals.end()};
  }

  void Row(const std::vector<int>& totals) {
    const std::vector<int> results = Results(FusedForm::kWhole);
    std::vector<int> level(types_.values.size());
    int highest = 0;
    for (size_t i = 0; i < region_.code.size(); ++i) {
      const int value = region_.ValueOf(i);
      for (int operand : region_.code[i].operands) level[value] = std::max(level[value], level[operand]);
      if (IsReduction(value) && FormOf(value) == FusedForm::kColumn) ++level[value];
      highest = std::max(highest, level[value]);
    }
    // The loops over the row: the reductions of each level, then the results.
    std::vector<std::vector<int>> roots(highest + 1);
    std::vector<std::vector<int>> reductions(highest + 1);
    for (size_t i = 0; i < region_.code.size(); ++i) {
      const int value = region_.ValueOf(i);
      if (!IsReduction(value) || FormOf(value) != FusedForm::kColumn) continue;
      reductions[level[value] - 1].push_back(value);
      roots[level[value] - 1].push_back(region_.code[i].operands[0]);
    }
    for (int r : results) roots[highest].push_back(region_.results[r]);
    for (int value : totals) roots[highest].push_back(Instruction(value).operands[0]);

    LoadColumns();
    std::set<int> operands;
    int64_t bytes = 0;
    for (const std::vector<int>& each : roots) {
      for (int value : WholeNeeds(each)) {
        if (IsOperand(value) && operands.insert(value).second)
          bytes += chunks_ * count_ * SizeOf(operands_[value].dtype);
      }
    }
    held_ = bytes <= kHeldBytes && (chunks_ > 1 || highest > 0);
    if (held_) Hold(operands);
    for (int l = 0; l <= highest; ++l) {
      const bool last = l == highest;
      ColumnsOf(l, level);
      // What is only spread over the row needs no loop to be reduced, but a loop all the same.
      if (roots[l].empty()) continue;
      for (int value : reductions[l]) {
        const bool max = Instruction(value).op == Op::kReduceMax;
        Line("float r", value - region_.inputs, " = ", max ? FloatLiteral(-INFINITY) : "0.0f", ";");
      }
      OpenChunks(last && !totals.empty());
      const std::set<int> needs = WholeNeeds(roots[l]);
      if (!held_) {
        for (int value : needs) {
          if (IsOperand(value))
            Line("const Pack<", ElementName(operands_[value].dtype), ", ", count_, "> x", value, " = Load<", count_,
                 ">(", RowAddress(value), " + column);");
        }
      }
      if (last) DeclareResults(results);
      Unroll();
      Open("for (int k = 0; k < ", count_, "; ++k)");
      ComputeElement(needs, held_ ? "[c]" : "");
      for (int value : reductions[l]) {
        const std::string sum = Cat("r", value - region_.inputs), x = AsFloat(ValueOf(Instruction(value).operands[0]));
        if (Instruction(value).op == Op::kReduceMax) {
          Line(sum, " = Max(", sum, ", ", x, ");");
        } else {
          Line(sum, " += ", x, ";");
        }
      }
      if (last) {
        PutResults(results);
        for (int value : totals)
          Line("s", value - region_.inputs, "[c][k] += ", AsFloat(ValueOf(Instruction(value).operands[0])), ";");
      }
      Close();
      if (last) {
        for (int r : results)
          Line("Store<", count_, ">(out", r, " + row * ", Number(layout_.width), " + column, y", r, ");");
      }
      CloseChunks();
      for (int value : reductions[l]) {
        const Op op = Instruction(value).op;
        const std::string sum =
            Cat(op == Op::kReduceMax ? "GroupMax<" : "GroupSum<", group_, ">(r", value - region_.inputs, ")");
        Line("const float ", Name(value), " = ", sum,
             op == Op::kMean ? Cat(" / ", FloatLiteral(static_cast<double>(layout_.width))) : "", ";");
      }
    }
    StoreColumns();
  }

  // The columns of a level that are no reductions.
  void ColumnsOf(int l, const std::vector<int>& level) {
    for (size_t i = 0; i < region_.code.size(); ++i) {
      const int value = region_.ValueOf(i);
      if (FormOf(value) == FusedForm::kColumn && !IsReduction(value) && level[value] == l) Define(value);
    }
  }
  void StoreColumns() {
    const std::vector<int> results = Results(FusedForm::kColumn);
    if (results.empty()) return;
    // Every thread has read what may lie there.
    Line("GroupSync<", group_, ">();");
    Open("if (lane == 0)");
    for (int r : results) Line("Put(out", r, " + row, ", Name(region_.results[r]), ");");
    Close();
  }

  void Hold(const std::set<int>& operands) {
    for (int value : operands)
      Line("Pack<", ElementName(operands_[value].dtype), ", ", count_, "> x", value, "[", chunks_, "];");
    OpenChunks(true);
    for (int value : operands) Line("x", value, "[c] = Load<", count_, ">(", RowAddress(value), " + column);");
    CloseChunks();
  }
  // Over the thread's elements of a row, `count_` at a time.
  void OpenChunks(bool by_index) {
    if (chunks_ > 1 && (by_index || held_)) Unroll();
    if (chunks_ > 1) {
      Open("for (int c = 0; c < ", chunks_, "; ++c)");
    } else {
      Line("{");
      ++depth_;
      if (by_index || held_) Line("constexpr int c = 0;");
    }
    Line("const unsigned column = ", first_, chunks_ > 1 ? Cat(" + c * ", group_ * count_) : "", ";");
    if (!exact_) Open("if (column < ", layout_.width, ")");
  }
  void CloseChunks() {
    if (!exact_) Close();
    Close();
  }

  void JoinTotals(const std::vector<int>& totals, const FusedParts& parts) {
    const std::vector<int> results = Results(FusedForm::kTotal);
    Line();
    Signature("_totals", kLongestBlock);
    for (size_t i = 0; i < results.size(); ++i) {
      const auto at = std::find(totals.begin(), totals.end(), region_.results[results[i]]) - totals.begin();
      const std::string begin =
          parts.bytes > 0 ? Cat("partials", at > 0 ? Cat(" + ", at * parts.count * layout_.width) : "") : "nullptr";
      Line("if (blockIdx.y == ", i, ") JoinParts<", parts.count, ", ", layout_.width, ">(", begin, ", out", results[i],
           ");");
    }
    Close();
    AddLaunch("_totals", CeilDiv(layout_.width, 32), static_cast<int64_t>(results.size()), kLongestBlock);
  }

  const std::string name_;
  const FusedRegion& region_;
  const FusedTypes& types_;
  const std::span<const Type> operands_;

  bool columns_ = false, totals_ = false;  // whether there are any
  RowLayout layout_;
  bool wide_index_ = false;
  int64_t count_ = 1;                   // elements that a thread takes at a time
  int64_t group_ = kWarp, chunks_ = 1;  // threads of a row, and how often each of them takes elements of it
  bool exact_ = true;                   // the chunks end where the row does
  bool held_ = false;                   // whether the row's operands stay in registers
  std::string first_;                   // column of a thread's first element

  plan::GeneratedKernelT kernel_;
  std::string source_;
  int depth_ = 0;
};

}  // namespace

StatusOr<plan::GeneratedKernelT> GenerateCudaKernel(std::string_view text, std::span<const Type> operands) {
  ASSIGN_OR_RETURN(const FusedRegion region, ParseFusedRegion(text, static_cast<int>(operands.size())));
  ASSIGN_OR_RETURN(const FusedTypes types, InferFusedRegion(region, operands));
  for (const Type& type : types.values) {
    if (type.dtype != DType::kF32 && type.dtype != DType::kBF16 && type.dtype != DType::kBool)
      return absl::UnimplementedError(Cat("fused: no CUDA kernel for ", NameOf(type.dtype),
                                          "; supported: f32, bf16 and bool, also within the region"));
  }
  return Generator(GeneratedKernelName(text, operands), region, types, operands).Generate(text);
}

}  // namespace gptc
