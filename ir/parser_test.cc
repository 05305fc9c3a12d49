// Every error of the parser with its exact text, caret and suggestion.
#include "ir/parser.h"

#include <string>

#include "gtest/gtest.h"
#include "ir/diagnostic.h"

namespace gptc {
namespace {

struct Case {
  const char* text;
  const char* error;
};

std::string ErrorOf(const std::string& text) {
  StatusOr<Module> module = ParseModule(text, "m.graph");
  if (module.ok()) return "no error";
  EXPECT_EQ(module.status().code(), absl::StatusCode::kInvalidArgument);
  return Message(module.status());
}

// The texts stand in a graph, from line 5 on.
constexpr Case kInGraph[] = {
    {"    %q: f32[B, 12, T, 64] = reshape x {shape = [B, 12, T, 64]}\n    %k: f32[B, 12, T, 32] = slice %q {axis = 3, "
     "size = [32], start = 0}\n    %s: f32[B, 12, T, T] = matmul %q, %k { transpose_b }\n",
     "m.graph:7:5: error: matmul: inner dimensions differ: %q is [B, 12, T, 64], %k is [B, 12, T, 32]\n"
     "    7 |     %s: f32[B, 12, T, T] = matmul %q, %k { transpose_b }\n"
     "      |     ^~"},
    {"    %s: f32[B, T, 768] = matmull x, x\n",
     "m.graph:5:26: error: unknown op 'matmull'\n"
     "    5 |     %s: f32[B, T, 768] = matmull x, x\n"
     "      |                          ^~~~~~~ did you mean 'matmul'?"},
    {"    %s: f32[B, T, 768] = gelu x {tahn = true}\n",
     "m.graph:5:34: error: gelu has no attribute 'tahn'\n"
     "    5 |     %s: f32[B, T, 768] = gelu x {tahn = true}\n"
     "      |                                  ^~~~ did you mean 'tanh'?"},
    {"    %s: f32[B, T, 768] = gelu x {tanh = 3}\n",
     "m.graph:5:41: error: expected true or false for gelu's tanh, found '3'\n"
     "    5 |     %s: f32[B, T, 768] = gelu x {tanh = 3}\n"
     "      |                                         ^"},
    {"    %s: f32[B, T, 768] = neg y\n",
     "m.graph:5:30: error: unknown input or state 'y'\n"
     "    5 |     %s: f32[B, T, 768] = neg y\n"
     "      |                              ^"},
    {"    %s: f32[B, T, 768] = neg %x\n",
     "m.graph:5:30: error: unknown value '%x'\n"
     "    5 |     %s: f32[B, T, 768] = neg %x\n"
     "      |                              ^~ did you mean 'x'? inputs and states have no '%'"},
    {"    %s: f32[B, T, 768] = neg %t\n    %t: f32[B, T, 768] = neg x\n",
     "m.graph:5:30: error: %t is used before it is defined\n"
     "    5 |     %s: f32[B, T, 768] = neg %t\n"
     "      |                              ^~ it is defined on line 6"},
    {"    %s: f32[B, T, 768] = neg x\n    %s: f32[B, T, 768] = neg x\n",
     "m.graph:6:5: error: %s is defined twice\n"
     "    6 |     %s: f32[B, T, 768] = neg x\n"
     "      |     ^~ every value has a name of its own"},
    {"    %s: f32[B, T, 768] = neg s\n",
     "m.graph:5:30: error: unknown input or state 's'\n"
     "    5 |     %s: f32[B, T, 768] = neg s\n"
     "      |                              ^"},
    {"    %s: f32[B, T, 768] = neg x\n    %u: f32[B, T, 768] = neg s\n",
     "m.graph:6:30: error: unknown input or state 's'\n"
     "    6 |     %u: f32[B, T, 768] = neg s\n"
     "      |                              ^ did you mean '%s'?"},
    {"    %s: f32[B, T, 767] = neg x\n",
     "m.graph:5:9: error: neg gives f32[B, T, 768] for %s, found f32[B, T, 767]\n"
     "    5 |     %s: f32[B, T, 767] = neg x\n"
     "      |         ^~~~~~~~~~~~~~ expected f32[B, T, 768]"},
    {"    %s: f32[B, T, Q] = neg x\n",
     "m.graph:5:19: error: unknown dimension 'Q'\n"
     "    5 |     %s: f32[B, T, Q] = neg x\n"
     "      |                   ^ the module's are B, T"},
    {"    %s: f31[B, T] = neg x\n",
     "m.graph:5:9: error: unknown element type 'f31'\n"
     "    5 |     %s: f31[B, T] = neg x\n"
     "      |         ^~~ did you mean 'f32'?"},
    {"    %s: f32[B, T, 768], %t: f32 = neg x\n",
     "m.graph:5:5: error: neg gives 1 result, found 2\n"
     "    5 |     %s: f32[B, T, 768], %t: f32 = neg x\n"
     "      |     ^~~~~~~~~~~~~~~~~~~~~~~~~~~"},
    {"    %s: f32[B, T, 768] = layer_norm x, wte {epsilon = 1e-5}\n",
     "m.graph:5:5: error: layer_norm: weight must have the shape [768]: wte is [50257, 768]\n"
     "    5 |     %s: f32[B, T, 768] = layer_norm x, wte {epsilon = 1e-5}\n"
     "      |     ^~"},
    {"    %s: f32[B, T, 768] = add x\n",
     "m.graph:5:26: error: add takes 2 operands, found 1\n"
     "    5 |     %s: f32[B, T, 768] = add x\n"
     "      |                          ^~~~~ they are a, b"},
    {"    %s: f32[B, T, 768] = add x, x, x\n",
     "m.graph:5:26: error: add takes 2 operands, found 3\n"
     "    5 |     %s: f32[B, T, 768] = add x, x, x\n"
     "      |                          ^~~~~~~~~~~ they are a, b"},
    {"    %s: f32[B, T, 768] = neg\n",
     "m.graph:6:3: error: expected the operands of neg (1), found '}'\n"
     "    6 |   }\n"
     "      |   ^"},
    {"    %s: f32[-1] = neg x\n",
     "m.graph:5:13: error: a dimension is at least 0, found -1\n"
     "    5 |     %s: f32[-1] = neg x\n"
     "      |             ^~"},
    {"    %s: f32[1,1,1,1,1,1,1,1,1] = neg x\n",
     "m.graph:5:29: error: more than 8 dimensions\n"
     "    5 |     %s: f32[1,1,1,1,1,1,1,1,1] = neg x\n"
     "      |                             ^"},
    {"    %s: f32[1099511627776, 1099511627776] = neg x\n",
     "m.graph:5:12: error: this shape is too large: its bytes exceed 2^62\n"
     "    5 |     %s: f32[1099511627776, 1099511627776] = neg x\n"
     "      |            ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"},
    {"    %s: f32[99999999999999999999] = neg x\n",
     "m.graph:5:13: error: this number does not fit 64 bits\n"
     "    5 |     %s: f32[99999999999999999999] = neg x\n"
     "      |             ^~~~~~~~~~~~~~~~~~~~"},
    {"    %s: f32[2000000000000] = neg x\n",
     "m.graph:5:13: error: a dimension is at most 1099511627776, found 2000000000000\n"
     "    5 |     %s: f32[2000000000000] = neg x\n"
     "      |             ^~~~~~~~~~~~~"},
    {"    %s: f32[B, T, 768] @63 = neg x\n",
     "m.graph:5:25: error: an offset is a multiple of 64, found 63\n"
     "    5 |     %s: f32[B, T, 768] @63 = neg x\n"
     "      |                         ^~"},
    {"    %s: f32[B, T, 768] @-64 = neg x\n",
     "m.graph:5:25: error: an offset is at least 0, found -64\n"
     "    5 |     %s: f32[B, T, 768] @-64 = neg x\n"
     "      |                         ^~~"},
    {"    %s: f32[B, T, 768] = neg x at\n",
     "m.graph:6:3: error: expected a file after 'at', found '}'\n"
     "    6 |   }\n"
     "      |   ^ at models/gpt2.cc:58"},
    {"    %s: f32[B, T, 768] = neg x at a.cc\n",
     "m.graph:6:3: error: expected ':' and a line after the file, found '}'\n"
     "    6 |   }\n"
     "      |   ^"},
    {"    %s: f32[B, T, 768] = neg x at a.cc:0\n",
     "m.graph:5:40: error: a line is at least 1, found 0\n"
     "    5 |     %s: f32[B, T, 768] = neg x at a.cc:0\n"
     "      |                                        ^"},
    {"    s: f32[B, T, 768] = neg x\n",
     "m.graph:5:5: error: expected an op, return, store or '}', found 's'\n"
     "    5 |     s: f32[B, T, 768] = neg x\n"
     "      |     ^ an op starts with its result: %y: f32[4] = neg %x"},
    {"    %s f32[B, T, 768] = neg x\n",
     "m.graph:5:8: error: expected ':' and a type after the result's name, found 'f32'\n"
     "    5 |     %s f32[B, T, 768] = neg x\n"
     "      |        ^~~"},
    {"    %s: f32[B, T, 768] neg x\n",
     "m.graph:5:24: error: expected '=' and an op after the results, found 'neg'\n"
     "    5 |     %s: f32[B, T, 768] neg x\n"
     "      |                        ^~~"},
    {"    return loss = %x\n",
     "m.graph:5:19: error: unknown value '%x'\n"
     "    5 |     return loss = %x\n"
     "      |                   ^~ did you mean 'x'? inputs and states have no '%'"},
    {"    return loss = x, loss = x\n",
     "m.graph:5:22: error: a second output 'loss'\n"
     "    5 |     return loss = x, loss = x\n"
     "      |                      ^~~~"},
    {"    return loss = x return a = x\n",
     "m.graph:5:21: error: expected '}', found 'return'\n"
     "    5 |     return loss = x return a = x\n"
     "      |                     ^~~~~~ a graph is its ops, one return, one store, in this order"},
    {"    return loss = x\n    %s: f32 = neg x\n",
     "m.graph:6:5: error: expected '}', found '%s'\n"
     "    6 |     %s: f32 = neg x\n"
     "      |     ^~ a graph is its ops, one return, one store, in this order"},
    {"    store wte = x\n",
     "m.graph:5:17: error: the state wte is f32[50257, 768], x is f32[B, T, 768]\n"
     "    5 |     store wte = x\n"
     "      |                 ^"},
    {"    store wt = x\n",
     "m.graph:5:11: error: unknown state 'wt'\n"
     "    5 |     store wt = x\n"
     "      |           ^~ did you mean 'wte'?"},
    {"    store wte = wte, wte = wte\n",
     "m.graph:5:22: error: a second store to 'wte'\n"
     "    5 |     store wte = wte, wte = wte\n"
     "      |                      ^~~"},
    {"    %s: f32[B, T, 768] = embedding wte, tokens {x = \"abc\n",
     "m.graph:5:49: error: embedding has no attribute 'x'\n"
     "    5 |     %s: f32[B, T, 768] = embedding wte, tokens {x = \"abc\n"
     "      |                                                 ^ it takes none"},
    {"    %s: f32[B, T, 768] = neg x #\n",
     "m.graph:5:32: error: this character means nothing here\n"
     "    5 |     %s: f32[B, T, 768] = neg x #\n"
     "      |                                ^"},
    {"    %s: bool[B, T, 768] = compare x, x {direction = \"a\\nb\"}\n",
     "m.graph:5:5: error: compare: direction must be one of eq, ne, lt, le, gt, ge, not 'a?b'\n"
     "    5 |     %s: bool[B, T, 768] = compare x, x {direction = \"a\\nb\"}\n"
     "      |     ^~"},
    {"    %s: f32 = constant {value = 1e999}\n",
     "m.graph:5:33: error: this number is out of a double's range\n"
     "    5 |     %s: f32 = constant {value = 1e999}\n"
     "      |                                 ^~~~~"},
    {"    %s: f32 = constant {value = 1, value = 2}\n",
     "m.graph:5:36: error: a second attribute 'value'\n"
     "    5 |     %s: f32 = constant {value = 1, value = 2}\n"
     "      |                                    ^~~~~"},
    {"    %s: f32 = constant\n",
     "m.graph:5:15: error: constant needs the attribute value (f64)\n"
     "    5 |     %s: f32 = constant\n"
     "      |               ^~~~~~~~"},
    {"    %s: i32[B, T, 768] = cast x {to = f31}\n",
     "m.graph:5:39: error: expected an element type for cast's to, found 'f31'\n"
     "    5 |     %s: i32[B, T, 768] = cast x {to = f31}\n"
     "      |                                       ^~~"},
    {"    %s: f32 = sum x {axes = [0, 1.5]}\n",
     "m.graph:5:33: error: expected an integer, found '1.5'\n"
     "    5 |     %s: f32 = sum x {axes = [0, 1.5]}\n"
     "      |                                 ^~~"},
    {"    %s: f32 = sum x {axes = 3}\n",
     "m.graph:5:29: error: expected a list of integers for sum's axes, found '3'\n"
     "    5 |     %s: f32 = sum x {axes = 3}\n"
     "      |                             ^"},
};

// Whole texts.
constexpr Case kModules[] = {
    {"module m { config { a = \"abc\n\" } }",
     "m.graph:1:25: error: this string is not closed on its line\n"
     "    1 | module m { config { a = \"abc\n"
     "      |                         ^~~~"},
    {"module m { config { a = \"a\011b\001\" } }",
     "m.graph:1:25: error: a control character in a string: write it as \\xHH\n"
     "    1 | module m { config { a = \"a b?\" } }\n"
     "      |                         ^~~~~"},
    {"module m { config { a = \"\\x0g\" } }",
     "m.graph:1:25: error: \\x takes two hexadecimal digits\n"
     "    1 | module m { config { a = \"\\x0g\" } }\n"
     "      |                         ^~~"},
    {"module m { graph g(x: f32[4]) { %y: f32[2], %z: f32[2], %w: f32[2] = split x {axis = 0, parts = 2} } }",
     "m.graph:1:33: error: split gives 2 results, found 3\n"
     "    1 | module m { graph g(x: f32[4]) { %y: f32[2], %z: f32[2], %w: f32[2] = split x {axis = 0, parts = 2} } }\n"
     "      |                                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"},
    {"module m { graph g(x: f32[4]) { %y: f32[4] = neg x, x } }",
     "m.graph:1:46: error: neg takes 1 operand, found 2\n"
     "    1 | module m { graph g(x: f32[4]) { %y: f32[4] = neg x, x } }\n"
     "      |                                              ^~~~~~~~ it is x"},
    {"module m { graph g(x: f32[4]) { % = neg x } }",
     "m.graph:1:33: error: a value's name must follow the '%'\n"
     "    1 | module m { graph g(x: f32[4]) { % = neg x } }\n"
     "      |                                 ^"},
    {"module m { config { a = -- } }",
     "m.graph:1:25: error: this is not a number\n"
     "    1 | module m { config { a = -- } }\n"
     "      |                         ^"},
    {"",
     "m.graph:1:1: error: expected 'module' and its name, found the end of the text\n"
     "    1 |\n"
     "      | ^"},
    {"modul m {}",
     "m.graph:1:1: error: expected 'module' and its name, found 'modul'\n"
     "    1 | modul m {}\n"
     "      | ^~~~~"},
    {"module m {",
     "m.graph:1:11: error: expected config, dim, param, state, graph or '}', found the end of the text\n"
     "    1 | module m {\n"
     "      |           ^"},
    {"module m {} x",
     "m.graph:1:13: error: expected the end of the text after the module, found 'x'\n"
     "    1 | module m {} x\n"
     "      |             ^"},
    {"module m { confg { } }",
     "m.graph:1:12: error: expected config, dim, param, state, graph or '}', found 'confg'\n"
     "    1 | module m { confg { } }\n"
     "      |            ^~~~~ did you mean 'config'?"},
    {"module m { config { a = } }",
     "m.graph:1:25: error: expected a number, a string, true or false, found '}'\n"
     "    1 | module m { config { a = } }\n"
     "      |                         ^"},
    {"module m { config { a = 1, a = 2 } }",
     "m.graph:1:28: error: a second configuration key 'a'\n"
     "    1 | module m { config { a = 1, a = 2 } }\n"
     "      |                            ^"},
    {"module m { dim B, B }",
     "m.graph:1:19: error: a second dimension 'B'\n"
     "    1 | module m { dim B, B }\n"
     "      |                   ^"},
    {"module m { dim B = 0 }",
     "m.graph:1:20: error: the size of a dimension is at least 1, found 0\n"
     "    1 | module m { dim B = 0 }\n"
     "      |                    ^"},
    {"module m { param w: f32 init normal(nan) }",
     "m.graph:1:37: error: a standard deviation is finite and not negative\n"
     "    1 | module m { param w: f32 init normal(nan) }\n"
     "      |                                     ^~~"},
    {"module m { param w: f32 initt zeros }",
     "m.graph:1:25: error: expected more about w, or the next item, found 'initt'\n"
     "    1 | module m { param w: f32 initt zeros }\n"
     "      |                         ^~~~~ did you mean 'init'?"},
    {"module m { param w: f32[4] rows 5 }",
     "m.graph:1:33: error: the number of logical rows is at most 4, found 5\n"
     "    1 | module m { param w: f32[4] rows 5 }\n"
     "      |                                 ^"},
    {"module m { state w: f32 }",
     "m.graph:1:18: error: the state w has no kind\n"
     "    1 | module m { state w: f32 }\n"
     "      |                  ^ after its type: optimizer, gradient, derived, cache, scalars"},
    {"module m { state w: f32 optimizer of x }",
     "m.graph:1:38: error: unknown parameter 'x'\n"
     "    1 | module m { state w: f32 optimizer of x }\n"
     "      |                                      ^"},
    {"module m { state w: f32 optimizer cache }",
     "m.graph:1:35: error: a second kind of state\n"
     "    1 | module m { state w: f32 optimizer cache }\n"
     "      |                                   ^~~~~"},
    {"module m { param w: f32 decay decay }",
     "m.graph:1:31: error: a second 'decay' of w\n"
     "    1 | module m { param w: f32 decay decay }\n"
     "      |                               ^~~~~"},
    {"module m { param w: f32 names { hf x } }",
     "m.graph:1:36: error: expected the name in hf, a string, found 'x'\n"
     "    1 | module m { param w: f32 names { hf x } }\n"
     "      |                                    ^"},
    {"module m { param w: f32 names { hf \"x\" transpose } }",
     "m.graph:1:40: error: expected transposed, part or tied once each, ',' or '}', found 'transpose'\n"
     "    1 | module m { param w: f32 names { hf \"x\" transpose } }\n"
     "      |                                        ^~~~~~~~~ did you mean 'transposed'?"},
    {"module m { param w: f32 param w: f32 }",
     "m.graph:1:31: error: a second state 'w'\n"
     "    1 | module m { param w: f32 param w: f32 }\n"
     "      |                               ^"},
    {"module m { graph g() {} graph g() {} }",
     "m.graph:1:31: error: a second graph 'g'\n"
     "    1 | module m { graph g() {} graph g() {} }\n"
     "      |                               ^"},
    {"module m { graph g(a: f32, a: f32) {} }",
     "m.graph:1:28: error: a second input 'a'\n"
     "    1 | module m { graph g(a: f32, a: f32) {} }\n"
     "      |                            ^"},
    {"module m { state a: f32 cache state b: f32 derived of a }",
     "m.graph:1:55: error: a is no parameter\n"
     "    1 | module m { state a: f32 cache state b: f32 derived of a }\n"
     "      |                                                       ^ a state belongs to a parameter"},
    {"module m { config { a = 12x } }",
     "m.graph:1:25: error: this is not a number\n"
     "    1 | module m { config { a = 12x } }\n"
     "      |                         ^~~"},
    {"module m { config { a = \"\\q\" } }",
     "m.graph:1:25: error: an unknown escape: there are \\\" \\\\ \\n \\t \\r and \\xHH\n"
     "    1 | module m { config { a = \"\\q\" } }\n"
     "      |                         ^~"},
    {"module m { param w: f32 init uniform }",
     "m.graph:1:30: error: expected zeros, ones or normal(standard deviation), found 'uniform'\n"
     "    1 | module m { param w: f32 init uniform }\n"
     "      |                              ^~~~~~~"},
    {"\177ELF\002",
     "m.graph:1:1: error: this character means nothing here\n"
     "    1 | ?ELF?\n"
     "      | ^"},
};

TEST(Parser, ErrorsInAGraph) {
  const std::string head =
      "module m {\n  dim B, T\n  param wte: f32[50257, 768] init zeros\n"
      "  graph g(tokens: i32[B, T], x: f32[B, T, 768]) {\n";
  for (const Case& c : kInGraph) EXPECT_EQ(ErrorOf(head + c.text + "  }\n}\n"), c.error) << c.text;
}

TEST(Parser, ErrorsInAModule) {
  for (const Case& c : kModules) EXPECT_EQ(ErrorOf(c.text), c.error) << c.text;
}

TEST(Parser, AZeroByteIsNoText) {
  EXPECT_EQ(ErrorOf(std::string("module m {\0}", 12)),
            "m.graph:1:11: error: a zero byte: this is not a text\n    1 | module m {?}\n      |           ^");
}

TEST(Parser, LongNamesAreRefused) {
  std::string error = ErrorOf("module " + std::string(300, 'a') + " {}");
  EXPECT_EQ(error, "m.graph:1:8: error: this name is too long (255 characters at most)\n    1 | module " +
                       std::string(103, 'a') + "...\n      |        ^" + std::string(102, '~'));
}

TEST(Diagnostic, LongLinesAreCutAroundTheCaret) {
  std::string line = std::string(400, 'a') + "X" + std::string(400, 'b');
  EXPECT_EQ(Message(ErrorAt(line, "f", 400, 401, "wrong", "here")),
            "f:1:401: error: wrong\n    1 | ..." + std::string(49, 'a') + "aX" + std::string(59, 'b') +
                "...\n      | " + std::string(53, ' ') + "^ here");
}

TEST(Diagnostic, ColumnsCountCharacters) {
  std::string text = "ok\n é日\xff\tX\xe2\x80\xae rest\r\nnext";
  size_t x = text.find('X');
  EXPECT_EQ(PositionOf(text, x).line, 2);
  EXPECT_EQ(PositionOf(text, x).column, 6);
  EXPECT_EQ(Message(ErrorAt(text, "f", x, x + 4, "a\nb")), "f:2:6: error: a?b\n    2 |  é日? X? rest\n      |      ^~");
}

TEST(Diagnostic, PlacesAtAndPastTheEnd) {
  EXPECT_EQ(Message(ErrorAt("a\n", "f", 2, 2, "m")), "f:2:1: error: m\n    2 |\n      | ^");
  EXPECT_EQ(Message(ErrorAt("a", "f", 99, 100, "m")), "f:1:2: error: m\n    1 | a\n      |  ^");
  EXPECT_EQ(Message(ErrorAt("", "f", 0, 0, "m")), "f:1:1: error: m\n    1 |\n      | ^");
  std::string many(123456, '\n');
  EXPECT_EQ(Message(ErrorAt(many + "x", "f", many.size(), many.size() + 1, "m")),
            "f:123457:1: error: m\n123457 | x\n       | ^");
}

TEST(Diagnostic, PrintableLength) {
  EXPECT_EQ(PrintableLength("a", 0), 1);
  EXPECT_EQ(PrintableLength("é", 0), 2);
  EXPECT_EQ(PrintableLength("日", 0), 3);
  EXPECT_EQ(PrintableLength("🙂", 0), 4);
  for (const char* bad :
       {"\n", "\x7f", "\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x80\xae", "\xef\xbb\xbf"}) {
    EXPECT_EQ(PrintableLength(bad, 0), 0) << bad;
  }
}

}  // namespace
}  // namespace gptc
