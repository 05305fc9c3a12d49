#include "frontends/gptc/memory_picture.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "ir/base/op_table.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTimelineRows = 24, kHolders = 12;
constexpr int kBarWidth = 48;

struct KindLook {
  const char* name;
  const char* in_bar;  // what a bar of text is filled with
  const char* colour;
};
// By HolderKind; colours that people who do not see red and green apart still tell apart (Okabe and Ito 2008).
constexpr std::array<KindLook, kHolderKinds> kLooks = {{{"inputs", "·", "#999999"},
                                                        {"logits", "#", "#d55e00"},
                                                        {"kept for the backward", "█", "#0072b2"},
                                                        {"forward, short-lived", "░", "#56b4e9"},
                                                        {"backward", "▒", "#e69f00"}}};

const KindLook& LookOf(HolderKind kind) { return kLooks[static_cast<size_t>(kind)]; }

// Where the backward begins: at the loss, or its first op; past the end where there is none.
int64_t BackwardBegin(const plan::EntryT& entry) {
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    if (InfoOf(*OpNamed(entry.steps[i]->kernel)).family == "loss" || entry.steps[i]->kernel.ends_with("_backward"))
      return static_cast<int64_t>(i);
  }
  return static_cast<int64_t>(entry.steps.size());
}

// Columns that a tensor of logits has: the vocabulary, as it is and as the plan pads it.
std::vector<int64_t> VocabularySizes(const plan::PlanT& plan) {
  const int64_t vocab = ConfigInt(plan, "vocab", -1);
  std::vector<int64_t> sizes = {vocab};
  for (const auto& state : plan.states) {
    if (state->logical_rows == vocab && !state->shape.empty()) sizes.push_back(state->shape[0]);
  }
  return sizes;
}

std::string WriterOf(const EntryMemory& memory, const ArenaBlock& block) {
  if (block.writer < 0) {
    for (const auto& port : memory.entry->inputs) {
      if (port->buffer == block.buffer) return Cat("input ", port->name);
    }
    return "input";
  }
  const plan::StepT& step = *memory.entry->steps[block.writer];
  return step.location.empty() ? step.kernel : Cat(step.kernel, "  ", step.location);
}

std::string TypeOfBlock(const EntryMemory& memory, const ArenaBlock& block) {
  return TypeText(TypeOf(*memory.entry->buffers[block.buffer]));
}

HolderKind KindOf(const EntryMemory& memory, const ArenaBlock& block) {
  for (size_t i = 0; i < memory.blocks.size(); ++i) {
    if (memory.blocks[i].buffer == block.buffer) return memory.kinds[i];
  }
  return HolderKind::kForward;
}

std::array<int64_t, kHolderKinds> BytesByKind(const EntryMemory& memory, int64_t step) {
  std::array<int64_t, kHolderKinds> bytes{};
  for (const ArenaBlock& block : BlocksAt(memory.blocks, step))
    bytes[static_cast<size_t>(KindOf(memory, block))] += block.bytes;
  return bytes;
}

std::vector<ArenaBlock> HoldersAtPeak(const EntryMemory& memory) {
  std::vector<ArenaBlock> holders = BlocksAt(memory.blocks, memory.peak_step);
  std::stable_sort(holders.begin(), holders.end(),
                   [](const ArenaBlock& a, const ArenaBlock& b) { return a.bytes > b.bytes; });
  return holders;
}

// One bar, its parts in the order of the kinds; every part is rounded so that the whole has the right length.
std::string Bar(const std::array<int64_t, kHolderKinds>& bytes, int64_t most) {
  std::string bar;
  int64_t sum = 0, drawn = 0;
  for (size_t kind = 0; kind < bytes.size(); ++kind) {
    sum += bytes[kind];
    const int64_t until = static_cast<int64_t>(static_cast<double>(sum) * kBarWidth / static_cast<double>(most) + 0.5);
    for (; drawn < until; ++drawn) bar += kLooks[kind].in_bar;
  }
  return bar;
}

}  // namespace

EntryMemory MemoryOf(const plan::PlanT& plan, const plan::EntryT& entry) {
  EntryMemory memory{&entry, ArenaBlocks(entry), {}, LiveBytes(entry)};
  const int64_t backward = BackwardBegin(entry);
  const std::vector<int64_t> vocabulary = VocabularySizes(plan);
  for (const ArenaBlock& block : memory.blocks) {
    const Shape& shape = entry.buffers[block.buffer]->shape;
    const bool logits =
        shape.size() > 1 && std::find(vocabulary.begin(), vocabulary.end(), shape.back()) != vocabulary.end();
    memory.kinds.push_back(block.writer < 0          ? HolderKind::kPort
                           : logits                  ? HolderKind::kLogits
                           : block.begin >= backward ? HolderKind::kBackward
                           : block.end > backward    ? HolderKind::kKept
                                                     : HolderKind::kForward);
  }
  if (!memory.live.empty()) {
    const auto peak = std::max_element(memory.live.begin(), memory.live.end());
    memory.peak_step = peak - memory.live.begin();
    memory.peak_bytes = *peak;
  }
  return memory;
}

std::string MemoryText(const EntryMemory& memory) {
  const std::vector<int64_t>& live = memory.live;
  if (memory.peak_bytes == 0) return Cat("\n", memory.entry->name, " holds nothing in the arena\n");
  std::string text =
      Cat("\nArena over ", memory.entry->name, " (", live.size(), " steps; each row shows its largest)\n");
  const size_t rows = std::min(live.size(), kTimelineRows);
  for (size_t row = 0; row < rows; ++row) {
    const auto begin = live.begin() + static_cast<int64_t>(row * live.size() / rows);
    const auto end = live.begin() + static_cast<int64_t>((row + 1) * live.size() / rows);
    const int64_t at = std::max_element(begin, end) - live.begin();
    const plan::StepT& step = *memory.entry->steps[at];
    text += absl::StrFormat("%6d %10s  %s %s%s\n", at, HumanBytes(live[at]),
                            Bar(BytesByKind(memory, at), memory.peak_bytes), step.kernel,
                            at == memory.peak_step ? "  <- the peak" : "");
  }
  text += "       ";
  const std::array<int64_t, kHolderKinds> at_peak = BytesByKind(memory, memory.peak_step);
  for (size_t kind = 0; kind < kLooks.size(); ++kind) text += Cat("  ", kLooks[kind].in_bar, " ", kLooks[kind].name);
  const plan::StepT& step = *memory.entry->steps[memory.peak_step];
  text += Cat("\n\nAt the peak, ", HumanBytes(memory.peak_bytes), " in step ", memory.peak_step, ", ", step.kernel,
              step.location.empty() ? "" : Cat(" from ", step.location), "\n");
  for (size_t kind = 0; kind < kLooks.size(); ++kind) {
    if (at_peak[kind] > 0) text += absl::StrFormat("%10s  %s\n", HumanBytes(at_peak[kind]), kLooks[kind].name);
  }
  // Layers hold the same: one line for what has one type and one writer.
  struct Group {
    std::string type, writer;
    int64_t bytes = 0, count = 0;
  };
  std::vector<Group> groups;
  for (const ArenaBlock& block : HoldersAtPeak(memory)) {
    const std::string type = TypeOfBlock(memory, block), writer = WriterOf(memory, block);
    auto at = std::find_if(groups.begin(), groups.end(),
                           [&](const Group& group) { return group.type == type && group.writer == writer; });
    if (at == groups.end()) at = groups.insert(groups.end(), {type, writer});
    at->bytes += block.bytes;
    ++at->count;
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.bytes > b.bytes; });
  text += "\n";
  for (size_t i = 0; i < groups.size() && i < kHolders; ++i) {
    const Group& group = groups[i];
    text += absl::StrFormat("%10s  %6s %-24s %s\n", HumanBytes(group.bytes),
                            group.count > 1 ? Cat(group.count, " ×") : std::string(), group.type, group.writer);
  }
  if (groups.size() > kHolders) {
    int64_t rest = 0, values = 0;
    for (size_t i = kHolders; i < groups.size(); ++i) {
      rest += groups[i].bytes;
      values += groups[i].count;
    }
    text += absl::StrFormat("%10s  in %d more\n", HumanBytes(rest), values);
  }
  return text;
}

Json MemoryJson(const EntryMemory& memory) {
  Json json = {{"entry", memory.entry->name},
               {"peak_step", memory.peak_step},
               {"peak_bytes", memory.peak_bytes},
               {"live_bytes", memory.live}};
  json["holders"] = Json::array();
  for (const ArenaBlock& block : HoldersAtPeak(memory)) {
    const plan::StepT* writer = block.writer < 0 ? nullptr : memory.entry->steps[block.writer].get();
    json["holders"].push_back({{"kind", LookOf(KindOf(memory, block)).name},
                               {"type", TypeOfBlock(memory, block)},
                               {"kernel", writer == nullptr ? Json(nullptr) : Json(writer->kernel)},
                               {"location", writer == nullptr ? Json(nullptr) : Json(writer->location)},
                               {"offset", block.offset},
                               {"bytes", block.bytes},
                               {"begin", block.begin},
                               {"end", block.end}});
  }
  return json;
}

namespace {

constexpr double kWidth = 1280, kHeight = 760, kLeft = 84, kRight = 28, kTop = 96, kBottom = 76;

std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

// A round number of which `most` holds less than eight; `thousand` is 1000, or 1024 for bytes.
int64_t TickFor(int64_t most, int64_t thousand) {
  for (int64_t unit = 1;; unit *= thousand) {
    for (int64_t times : {1, 2, 5, 10, 20, 50, 100, 200, 500}) {
      if (most / (times * unit) < 8) return times * unit;
    }
  }
}

class MemoryDrawing {
 public:
  MemoryDrawing(const plan::PlanT& plan, const EntryMemory& memory)
      : plan_(plan), memory_(memory), steps_(std::max<size_t>(1, memory.live.size())) {
    top_bytes_ = std::max<int64_t>({1, memory.entry->arena_bytes, memory.peak_bytes});
  }

  std::string Draw() {
    out_ = absl::StrFormat(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
        kWidth, kHeight, kWidth, kHeight);
    Title();
    Axes();
    for (size_t i = 0; i < memory_.blocks.size(); ++i) Block(memory_.blocks[i], LookOf(memory_.kinds[i]));
    LiveLine();
    Peak();
    Legend();
    return out_ + "</svg>\n";
  }

 private:
  double X(double step) const { return kLeft + step / static_cast<double>(steps_) * (kWidth - kLeft - kRight); }
  double Y(int64_t bytes) const {
    return kHeight - kBottom -
           static_cast<double>(bytes) / static_cast<double>(top_bytes_) * (kHeight - kTop - kBottom);
  }

  void Text(double x, double y, std::string_view text, std::string_view style = "") {
    out_ += absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\"%s>%s</text>\n", x, y, std::string(style), Escaped(text));
  }

  void Title() {
    Text(kLeft, 30,
         Cat(plan_.model, " · ", memory_.entry->name, " · ",
             Join(plan_.dimensions, ", ", [](const auto& d) { return Cat(d->name, " = ", d->value); })),
         " font-size=\"18\" font-weight=\"bold\"");
    Text(kLeft, 52,
         Cat("arena ", HumanBytes(memory_.entry->arena_bytes), ", at least ",
             HumanBytes(memory_.entry->arena_lower_bound), " for what lives at once · states ",
             HumanBytes(plan_.state_bytes), " (not drawn) · ", plan_.target, ", ", plan_.precision));
  }

  void Axes() {
    const int64_t tick = TickFor(top_bytes_, 1024);
    for (int64_t at = 0; at <= top_bytes_; at += tick) {
      out_ += absl::StrFormat("<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", kLeft,
                              kWidth - kRight, Y(at), Y(at));
      Text(kLeft - 8, Y(at) + 4, at == 0 ? std::string("0") : HumanBytes(at), " text-anchor=\"end\"");
    }
    const int64_t step_tick = TickFor(static_cast<int64_t>(steps_), 1000);
    for (int64_t at = 0; at < static_cast<int64_t>(steps_); at += step_tick)
      Text(X(static_cast<double>(at)), kHeight - kBottom + 18, Cat(at), " text-anchor=\"middle\"");
    Text(kLeft, kHeight - kBottom + 36, "step, in order of execution; height: offset in the arena",
         " fill=\"#555555\"");
  }

  void Block(const ArenaBlock& block, const KindLook& look) {
    const double x = X(static_cast<double>(block.begin)), width = X(static_cast<double>(block.end + 1)) - x;
    const double y = Y(block.offset + block.bytes), height = Y(block.offset) - y;
    if (block.bytes == 0) return;
    const std::string type = TypeOfBlock(memory_, block), writer = WriterOf(memory_, block);
    out_ += absl::StrFormat(
        "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" stroke=\"white\" "
        "stroke-width=\"0.4\"><title>%s</title></rect>\n",
        x, y, width, height, look.colour,
        Escaped(Cat(type, ", ", HumanBytes(block.bytes), "\n", writer, "\nsteps ", block.begin, " to ", block.end)));
    // Names where there is room for them.
    constexpr double kSmallest = 7, kLargest = 11, kLetterOfHeight = 0.58;
    const double size = std::min(kLargest, height - 1);
    if (size < kSmallest) return;
    auto fits = [&](const std::string& label) {
      return kLetterOfHeight * size * static_cast<double>(label.size()) + 8 < width;
    };
    std::string label = Cat(HumanBytes(block.bytes), "  ", type, "  ", writer);
    if (!fits(label)) label = Cat(HumanBytes(block.bytes), "  ", type);
    if (fits(label))
      Text(x + 4, y + height / 2 + 0.36 * size, label, absl::StrFormat(" fill=\"white\" font-size=\"%.1f\"", size));
  }

  // The sum of what lives, over the same scale: where it stays below the blocks' upper edge, the arena has gaps.
  void LiveLine() {
    std::string points;
    for (size_t i = 0; i < memory_.live.size(); ++i) {
      points += absl::StrFormat("%.2f,%.2f %.2f,%.2f ", X(static_cast<double>(i)), Y(memory_.live[i]),
                                X(static_cast<double>(i + 1)), Y(memory_.live[i]));
    }
    out_ += Cat("<polyline fill=\"none\" stroke=\"black\" stroke-width=\"1.2\" points=\"", points, "\"/>\n");
  }

  void Peak() {
    if (memory_.peak_bytes == 0) return;
    const double x = X(static_cast<double>(memory_.peak_step) + 0.5);
    out_ += absl::StrFormat(
        "<line x1=\"%.2f\" x2=\"%.2f\" y1=\"%g\" y2=\"%g\" stroke=\"#cc0000\" stroke-dasharray=\"5,3\"/>\n", x, x,
        kTop - 8, kHeight - kBottom);
    const plan::StepT& step = *memory_.entry->steps[memory_.peak_step];
    const char* anchor = x > kWidth / 2 ? " fill=\"#cc0000\" text-anchor=\"end\"" : " fill=\"#cc0000\"";
    Text(x + (x > kWidth / 2 ? -6 : 6), kTop - 10,
         Cat("peak ", HumanBytes(memory_.peak_bytes), " in step ", memory_.peak_step, ", ", step.kernel, "  ",
             step.location),
         anchor);
  }

  // The kinds that occur, with what they hold at the peak.
  void Legend() {
    constexpr double kLetter = 6.6;
    const std::array<int64_t, kHolderKinds> at_peak = BytesByKind(memory_, memory_.peak_step);
    const double y = kHeight - 16;
    Text(kLeft, y, "at the peak:", " fill=\"#555555\"");
    double x = kLeft + 82;
    for (size_t kind = 0; kind < kLooks.size(); ++kind) {
      if (std::find(memory_.kinds.begin(), memory_.kinds.end(), static_cast<HolderKind>(kind)) == memory_.kinds.end())
        continue;
      out_ += absl::StrFormat("<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x, y - 10,
                              kLooks[kind].colour);
      const std::string label = Cat(kLooks[kind].name, " ", HumanBytes(at_peak[kind]));
      Text(x + 17, y, label);
      x += 34 + kLetter * static_cast<double>(label.size());
    }
    out_ += absl::StrFormat("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"black\"/>\n", x, x + 16,
                            y - 4, y - 4);
    Text(x + 21, y, "sum alive");
  }

  const plan::PlanT& plan_;
  const EntryMemory& memory_;
  size_t steps_;
  int64_t top_bytes_;
  std::string out_;
};

}  // namespace

std::string MemorySvg(const plan::PlanT& plan, const EntryMemory& memory) { return MemoryDrawing(plan, memory).Draw(); }

}  // namespace gptc
