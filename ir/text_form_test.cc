// Round trips of the text form, and texts that are broken at random.
#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ir/builder.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verifier.h"

namespace gptc {
namespace {

// As the printer writes it; every construct is in it.
constexpr char kSample[] = R"(module sample {
  config { layers = 12, dropout = 0.1, bias = true, tied = false, activation = "gelu_tanh", scale = 1.0, tiny = 1e-05, most = inf, least = -inf, none = nan, note = "a \"b\" \\ \n\x00é // no comment" }
  dim B, T, decode_B = 1, context = 1024
  param wte: f32[50304, 768] rows 50257 @0 init normal(0.02) decay names { hf "transformer.wte.weight", llmc "qkvw" transposed part 3, hf "lm_head.weight" tied }
  param h0.w: f32[768, 2304] init zeros
  param h0.b: f32[2304] init ones
  state m.wte: f32[50304, 768] optimizer of wte
  state grad.wte: f32[50304, 768] gradient of wte @154533888
  state half.w: bf16[768, 2304] derived of h0.w
  state keys: f32[decode_B, context, 768] cache init ones
  state scalars: f64[11] scalars

  graph train(tokens: i32[B, T] @64, targets: i32[B, T]) {
    %x0: f32[B, T, 768] @4096 = embedding wte, tokens at models/gpt2.cc:58
    %d: f32[B, T, 768] = dropout %x0, scalars {key = 7, rate = 0.1} at "C:\\a model\\b.cc":12
    %qkv: f32[B, T, 2304] = linear %d, h0.w, h0.b
    %q: f32[B, T, 768], %k: f32[B, T, 768], %v: f32[B, T, 768] @128 = split %qkv {axis = 2, parts = 3}
    %s: f32[B, T, T] = matmul %q, %k {transpose_b = true}
    %c: f32 = constant {value = 0.125}
    %c2: i32[2, T] = constant {shape = [2, T], type = i32, value = 3.0}
    %0: f32[B, T, T] = mul %s, %c
    %1: f32[B, T, T] = softmax %0 {causal = true}
    %y: f32[B, T, 768] = matmul %1, %v
    %y.r: f32[B, T, 12, 64] = reshape %y {shape = [B, T, 12, 64]}
    %y.t: f32[B, 12, T, 64] = transpose %y.r {permutation = [0, 2, 1, 3]}
    %sum: f32 = sum %y.t {axes = [0, 1, 2, 3]}
    %kept: f32[1, 1, 1] = sum %y {axes = [0, 1, 2], keep = true}
    %less: bool = compare %sum, %c {direction = "lt"}
    %half: bf16 = cast %sum {to = bf16}
    %g: f32[50304, 768] = embedding_backward tokens, %x0, grad.wte {rows = 50304}
    return loss = %sum, tokens = tokens, half = %half
    store grad.wte = %g, m.wte = wte
  }

  graph empty() {
  }

  graph micro_step.first(wte: f32[2] @0) {
    %wte: f32[2] = neg wte
    return wte = %wte
  }
}
)";

const std::string& Sample() {
  static const std::string text = kSample;
  return text;
}

Module MustParse(const std::string& text) {
  StatusOr<Module> module = ParseModule(text, "test.graph");
  EXPECT_TRUE(module.ok()) << Message(module.status());
  return module.ok() ? *std::move(module) : Module();
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST(TextForm, PrintsBackByteForByte) {
  Module module = MustParse(Sample());
  EXPECT_EQ(PrintModule(module), Sample());
  Status verified = Verify(module);
  EXPECT_TRUE(verified.ok()) << Message(verified);
  EXPECT_EQ(module.source, Sample());
  EXPECT_EQ(module.source_name, "test.graph");
}

TEST(TextForm, TheDocumentedExamplePrintsAsItStands) {
  std::ifstream file(GPTC_SOURCE_DIR "/docs/text_form.md");
  std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  size_t begin = page.find("module tiny {");
  ASSERT_NE(begin, std::string::npos);
  std::string example = page.substr(begin, page.find("```", begin) - begin);
  EXPECT_EQ(PrintModule(MustParse(example)), example);
}

TEST(TextForm, WhiteSpaceAndCommentsMeanNothing) {
  std::string untidy;
  int i = 0;
  for (const std::string& line : LinesOf(Sample())) {
    untidy += i++ % 3 != 0 ? line + "   // a comment with \" and }\n\n" : "\t" + line + "  \r\n";
  }
  EXPECT_EQ(PrintModule(MustParse(untidy)), Sample());
  // Every word on a line of its own, except within strings and locations.
  std::string one_line;
  for (char c : Sample()) one_line += c == '\n' ? ' ' : c;
  EXPECT_EQ(PrintModule(MustParse(one_line)), Sample());
  std::string split =
      "module//x\nm{graph//\ng(\na\n:\nf32\n[\n2\n,\n3\n]\n@\n64\n)\n{\n%y\n:f32[2,3]=gelu\na\n{\ntanh\n=\nfalse}at\na/"
      "b.cc\n:\n3\nreturn\ny=%y}}";
  EXPECT_EQ(PrintModule(MustParse(split)),
            "module m {\n\n  graph g(a: f32[2, 3] @64) {\n    %y: f32[2, 3] = gelu a {tanh = false} at a/b.cc:3\n    "
            "return y = %y\n  }\n}\n");
}

TEST(TextForm, ReadsWhatItSays) {
  Module module = MustParse(Sample());
  EXPECT_EQ(std::get<double>(*module.FindConfig("scale")), 1.0);
  EXPECT_EQ(std::get<int64_t>(*module.FindConfig("layers")), 12);
  EXPECT_EQ(std::get<std::string>(*module.FindConfig("note")), std::string("a \"b\" \\ \n\0é // no comment", 26));
  const State& wte = module.states[0];
  EXPECT_EQ(wte.logical_rows, 50257);
  EXPECT_EQ(wte.offset, 0);
  EXPECT_EQ(wte.init, (InitRule{InitRule::Kind::kNormal, 0.02}));
  EXPECT_TRUE(wte.decay);
  EXPECT_EQ(wte.names[1], (ExternalName{"llmc", "qkvw", true, 3, false}));
  EXPECT_EQ(wte.names[2], (ExternalName{"hf", "lm_head.weight", false, -1, true}));
  EXPECT_EQ(module.states[4].kind, StateKind::kGradient);
  EXPECT_EQ(module.states[4].of, "wte");
  EXPECT_EQ(module.dimensions[0].value, -1);
  EXPECT_EQ(module.dimensions[3].value, 1024);
  const Graph& graph = module.graphs[0];
  EXPECT_EQ(graph.type(graph.ops[0].results[0]), (Type{DType::kF32, {SymbolDim(0), SymbolDim(1), 768}}));
  EXPECT_EQ(graph.info(graph.ops[0].results[0]).offset, 4096);
  EXPECT_EQ(graph.ops[0].location.file, "models/gpt2.cc");
  EXPECT_EQ(graph.ops[0].location.line, 58);
  EXPECT_FALSE(graph.ops[0].location.implicit);
  EXPECT_EQ(graph.ops[1].location.file, "C:\\a model\\b.cc");
  EXPECT_EQ(graph.ops[2].location.Text(), "test.graph:16");
  EXPECT_TRUE(graph.ops[2].location.implicit);
  EXPECT_FALSE(graph.ops[4].attributes.Bool("transpose_a")) << "defaults are filled in";
  // An input hides a state of its name.
  EXPECT_EQ(module.graphs[2].info(module.graphs[2].ops[0].inputs[0]).kind, ValueInfo::Kind::kInput);
}

TEST(TextForm, ShortWaysOfWriting) {
  Module module = MustParse(R"(module m {
    state s: f32[] init ones @64 scalars
    param p: f32[4] decay rows 3 init zeros
    graph g(a: f32[2, 3]) {
      %t = transpose a {permutation = [1, 0]}
      %y @64 = matmul a, a {transpose_b}
      %w = constant {shape = [3], value = 1}
      %l, %mean, %rstd: f32[2] = layer_norm a, %w {epsilon = 1}
    } })");
  EXPECT_EQ(PrintModule(module), R"(module m {
  state s: f32 scalars @64 init ones
  param p: f32[4] rows 3 init zeros decay

  graph g(a: f32[2, 3]) {
    %t: f32[3, 2] = transpose a {permutation = [1, 0]}
    %y: f32[2, 2] @64 = matmul a, a {transpose_b = true}
    %w: f32[3] = constant {shape = [3], value = 1.0}
    %l: f32[2, 3], %mean: f32[2], %rstd: f32[2] = layer_norm a, %w {epsilon = 1.0}
  }
}
)");
}

TEST(TextForm, BuilderModulesRoundTrip) {
  Module module;
  module.name = "built";
  module.dimensions = {{"B"}};
  GraphBuilder g(module, "train");
  g.Declare({.name = "w", .type = {DType::kF32, {8, 4}}, .init = {InitRule::Kind::kNormal, 1.0 / 3}});
  Tensor x = g.Input("x", DType::kF32, {SymbolDim(0), 8});
  Tensor y = g.Linear(x, g.State("w"));
  auto norm = g.LayerNorm(y, g.Constant(1, DType::kF32, {4}), {}, 1e-5);
  g.Return("loss", g.SumAll(g.Gelu(norm.y, false) * 0.1));
  g.StoreState("w", g.State("w"));
  ASSERT_TRUE(g.Finish().ok()) << Message(g.Finish());
  Status verified = Verify(module);
  EXPECT_TRUE(verified.ok()) << Message(verified);
  std::string text = PrintModule(module);
  EXPECT_EQ(PrintModule(MustParse(text)), text);
  EXPECT_NE(text.find("at ir/text_form_test.cc:"), std::string::npos) << text;
}

TEST(TextForm, DoublesAndStringsComeBack) {
  std::mt19937_64 random(1);
  Module module;
  module.name = "m";
  for (int i = 0; i < 2000; ++i) {
    double value = std::bit_cast<double>(random());
    module.config.emplace_back(Cat("d", i), value);
    std::string bytes;
    for (int j = 0; j < 12; ++j) bytes.push_back(static_cast<char>(random()));
    module.config.emplace_back(Cat("s", i), bytes);
  }
  for (double value : {0.0, -0.0, 1e16, 123456789012345680.0, 5e-324, std::numeric_limits<double>::max()}) {
    module.config.emplace_back(Cat("e", module.config.size()), value);
  }
  std::string text = PrintModule(module);
  Module back = MustParse(text);
  EXPECT_EQ(PrintModule(back), text);
  ASSERT_EQ(back.config.size(), module.config.size());
  for (size_t i = 0; i < module.config.size(); ++i) {
    const auto* value = std::get_if<double>(&module.config[i].second);
    if (value != nullptr && std::isnan(*value)) continue;
    EXPECT_EQ(back.config[i], module.config[i]);
    if (value == nullptr) continue;
    EXPECT_EQ(std::signbit(std::get<double>(back.config[i].second)), std::signbit(*value));
  }
}

TEST(TextForm, PrintsGraphsAndOpsAlone) {
  Module module = MustParse(Sample());
  std::string whole = Sample();
  std::string text = PrintGraph(module, module.graphs[0]);
  EXPECT_NE(whole.find(text), std::string::npos) << text;
  EXPECT_EQ(PrintOp(module, module.graphs[0], module.graphs[0].ops[1]),
            "%d: f32[B, T, 768] = dropout %x0, scalars {key = 7, rate = 0.1}");
}

TEST(TextForm, PrintsBrokenModulesWithoutACrash) {
  Module module = MustParse(Sample());
  Graph& graph = module.graphs[0];
  graph.ops[0].inputs = {Value{99999}, Value{}};
  graph.ops[0].attributes.Set("unheard", std::vector<int64_t>{-77});
  graph.ops[1].op = static_cast<Op>(999);
  graph.info(graph.ops[2].results[0]).type = {static_cast<DType>(77), {-1000, 3}};
  graph.stores[0].state = 1234;
  graph.outputs[0].value = Value{-5};
  std::string text = PrintModule(module);
  EXPECT_NE(text.find("embedding <no value 99999>, <no value -1> {unheard = [-77]}"), std::string::npos) << text;
  EXPECT_FALSE(Verify(module).ok());
}

// Whatever reads must verify, print, and read back to the same.
void CheckText(const std::string& text, int& parsed) {
  StatusOr<Module> module = ParseModule(text, "fuzz.graph");
  if (!module.ok()) {
    ASSERT_EQ(ExitCode(module.status()), 3);
    ASSERT_EQ(Message(module.status()).substr(0, 11), "fuzz.graph:");
    ASSERT_LT(Message(module.status()).size(), 4000);
    return;
  }
  ++parsed;
  Status verified = Verify(*module);
  ASSERT_TRUE(verified.ok()) << Message(verified) << "\n" << text;
  std::string printed = PrintModule(*module);
  StatusOr<Module> again = ParseModule(printed, "printed.graph");
  ASSERT_TRUE(again.ok()) << Message(again.status()) << "\n" << text;
  ASSERT_EQ(PrintModule(*again), printed);
}

TEST(TextForm, BrokenTextsNeverCrash) {
  const std::string sample = Sample();
  const std::vector<std::string> lines = LinesOf(sample);
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "(",
                                           ")",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           "=",
                                           "@",
                                           "%",
                                           "%0",
                                           "-1",
                                           "0",
                                           "9223372036854775807",
                                           "99999999999999999999",
                                           "1e999",
                                           "\"",
                                           "\\",
                                           "//",
                                           "at",
                                           "a:1",
                                           "return",
                                           "store",
                                           "f32",
                                           "i32[2]",
                                           "B",
                                           "T",
                                           "wte",
                                           "tokens",
                                           "nan",
                                           std::string(1, '\0'),
                                           "\xff",
                                           "\n",
                                           "param",
                                           "state",
                                           "4096",
                                           "reshape",
                                           "true"};
  std::mt19937 random(7);
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = sample;
    for (size_t edits = 1 + below(3); edits > 0 && !text.empty(); --edits) {
      size_t at = below(text.size());
      switch (below(7)) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
          break;
        case 2:
          text.erase(at, 1 + below(12));
          break;
        case 3:
          text.insert(at, pieces[below(pieces.size())]);
          break;
        case 4:
          text.resize(at);
          break;
        case 5: {  // a line twice, somewhere
          size_t line_begin = text.rfind('\n', at);
          if (line_begin != std::string::npos) text.insert(line_begin + 1, lines[below(lines.size())] + "\n");
          break;
        }
        default: {  // a number or a name in place of another
          size_t end = at;
          while (end < text.size() && isalnum(static_cast<unsigned char>(text[end]))) ++end;
          text.replace(at, end - at, pieces[below(pieces.size())]);
        }
      }
    }
    ASSERT_NO_FATAL_FAILURE(CheckText(text, parsed));
  }
  EXPECT_GT(parsed, 500) << "the mutations are too harsh to say anything about what reads";
}

TEST(TextForm, NoiseNeverCrashes) {
  std::mt19937 random(3);
  int parsed = 0;
  std::string noise;
  for (int i = 0; i < 10 << 20; ++i) noise.push_back(static_cast<char>(random()));
  CheckText(noise, parsed);
  for (const char* repeated :
       {"{", "[", "(", "module m { ", "\"", "//", "%", "\n", "module m { graph g() { %a = constant {", "dim a, "}) {
    std::string text;
    while (text.size() < 2 << 20) text += repeated;
    CheckText(text, parsed);
    CheckText("module m { graph g(x: f32[" + text, parsed);
    CheckText("module m { graph g(x: f32) { %y: f32 = neg x at " + text, parsed);
  }
  EXPECT_EQ(parsed, 0);
  EXPECT_FALSE(ParseModule(std::string(kMaxTextBytes + 1, ' '), "big").ok());
}

TEST(TextForm, LongModules) {
  std::string text = "module m {\n\n  graph g(x0: f32[4]) {\n    %x1: f32[4] = neg x0\n";
  constexpr int kOps = 20000;
  for (int i = 2; i <= kOps; ++i)
    text += Cat("    %x", i, ": f32[4] = add %x", i - 1, ", %x", i / 2, " at a.cc:", i, "\n");
  text += "    return y = %x20000\n  }\n}\n";
  Module module = MustParse(text);
  EXPECT_EQ(module.graphs[0].ops.size(), kOps);
  EXPECT_TRUE(Verify(module).ok());
  EXPECT_EQ(PrintModule(module), text);
}

TEST(TextForm, ResultsMayLieInAStatesMemory) {
  const std::string text = R"(module m {
  state s: f32[4] cache @0

  graph f(x: f32[2] @0) {
    %a: f32[4] @s = exp s
    %b: f32[2] @s, %c: f32[2] @64 = split %a {axis = 0, parts = 2}
    return c = %c
    store s = %a
  }
}
)";
  Module module = MustParse(text);
  EXPECT_EQ(PrintModule(module), text);
  const Graph& graph = module.graphs[0];
  EXPECT_EQ(graph.info(graph.ops[0].results[0]).in_state, 0);
  EXPECT_EQ(graph.info(graph.ops[0].results[0]).offset, -1);
  EXPECT_EQ(graph.info(graph.ops[1].results[1]).in_state, -1);
  // The state's own value has neither.
  EXPECT_EQ(graph.info(graph.FindState(0)).offset, -1);
}

TEST(TextForm, PlacesInStatesAreChecked) {
  auto error = [](std::string_view op) {
    return Message(
        ParseModule(Cat("module m {\n  state s: f32[4] cache\n  graph f(x: f32[8]) {\n    ", op, "\n  }\n}\n"),
                    "m.graph")
            .status());
  };
  EXPECT_EQ(error("%a: f32[8] @t = exp x"),
            "m.graph:4:17: error: unknown state 't'\n    4 |     %a: f32[8] @t = exp x\n      |                 ^");
  EXPECT_EQ(error("%a: f32[8] @s = exp x"),
            "m.graph:4:16: error: %a is larger than the state s\n    4 |     %a: f32[8] @s = exp x\n      |            "
            "    ^ f32[8] does not fit into f32[4]");
  EXPECT_EQ(error("%a @s = exp s"), "");
  EXPECT_NE(error("%a @s @64 = exp s"), "");
}

}  // namespace
}  // namespace gptc
