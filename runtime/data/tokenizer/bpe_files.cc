// Reading and writing the file forms of a byte-level BPE (bpe.h). Files are untrusted: every type, id and length is
// checked.
#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/bpe.h"

namespace gptc {
namespace {

using nlohmann::json;
using IdsOfText = absl::flat_hash_map<std::string, int32_t>;

StatusOr<json> ParseJson(std::string_view text, const std::string& where) {
  json value = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return InvalidArgument("'", where, "' is not valid JSON");
  return value;
}

// Fills tokens from {"text": id}; `ids` maps the files' text to ids.
Status ReadVocab(const json& vocab, const std::string& where, BpeModel* model, IdsOfText* ids) {
  if (!vocab.is_object() || vocab.empty()) {
    return InvalidArgument("'", where, "': the vocabulary must be an object of token to id");
  }
  for (const auto& [text, id] : vocab.items()) {
    const int64_t value = id.is_number_unsigned() ? id.get<int64_t>() : -1;
    if (value < 0 || value >= kLargestVocabulary) {
      return InvalidArgument("'", where, "': the id of token '", text, "' must be a whole number below ",
                             kLargestVocabulary);
    }
    if (static_cast<size_t>(value) >= model->tokens.size()) model->tokens.resize(static_cast<size_t>(value) + 1);
    std::string& token = model->tokens[static_cast<size_t>(value)];
    if (!token.empty()) return InvalidArgument("'", where, "': the id ", value, " has two tokens");
    token = BytesOfByteLevel(text).value_or(text);
    ids->emplace(text, static_cast<int32_t>(value));
  }
  return OkStatus();
}

Status AddMerge(std::string_view left, std::string_view right, const std::string& where, size_t number,
                const IdsOfText& ids, BpeModel* model) {
  const auto a = ids.find(std::string(left)), b = ids.find(std::string(right));
  if (a == ids.end() || b == ids.end()) {
    return InvalidArgument("'", where, "': merge ", number, " names '", a == ids.end() ? left : right,
                           "', which is not in the vocabulary: do the two files belong together?");
  }
  model->merges.emplace_back(a->second, b->second);
  return OkStatus();
}

// "left right", as merges are written in text.
Status AddMergeLine(std::string_view line, const std::string& where, size_t number, const IdsOfText& ids,
                    BpeModel* model) {
  const size_t space = line.find(' ');
  if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != std::string_view::npos) {
    return InvalidArgument("'", where, "': merge ", number, " must be two tokens with a space between, but is '", line,
                           "'");
  }
  return AddMerge(line.substr(0, space), line.substr(space + 1), where, number, ids, model);
}

// Where a vocabulary does not say which token ends a text, the known names are looked for.
void FindEndOfText(const IdsOfText& ids, BpeModel* model) {
  for (std::string_view name : {kEndOfText, std::string_view("<|end_of_text|>"), std::string_view("</s>")}) {
    const auto found = ids.find(std::string(name));
    if (found == ids.end()) continue;
    model->eot = found->second;
    if (!std::count(model->special.begin(), model->special.end(), found->second)) {
      model->special.push_back(found->second);
    }
    return;
  }
}

const json* Member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}
bool IsText(const json* value, std::string_view text) {
  return value != nullptr && value->is_string() && value->get_ref<const std::string&>() == text;
}
bool IsTrue(const json* value) { return value != nullptr && value->is_boolean() && value->get<bool>(); }
bool IsBlank(const json* value) { return value == nullptr || IsText(value, ""); }

// Whether the tokenizer.json splits and merges as GPT-2's does; the error says what it does instead.
Status CheckBehaviour(const json& root, const json& model, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    return InvalidArgument("'", where, "' ", what, "; only byte-level BPE with GPT-2's pattern is supported");
  };
  if (!IsText(Member(model, "type"), "BPE")) return refuse("is not of model type BPE");
  if (Member(root, "normalizer") != nullptr) return refuse("has a normalizer");
  const json* split = Member(root, "pre_tokenizer");
  if (split == nullptr || !IsText(Member(*split, "type"), "ByteLevel")) {
    return refuse("has another pre_tokenizer than ByteLevel");
  }
  if (IsTrue(Member(*split, "add_prefix_space"))) return refuse("adds a space before the text (add_prefix_space)");
  const json* use_regex = Member(*split, "use_regex");
  if (use_regex != nullptr && !IsTrue(use_regex)) return refuse("splits no text into pieces (use_regex is false)");
  if (IsTrue(Member(model, "byte_fallback"))) return refuse("uses byte_fallback");
  if (IsTrue(Member(model, "ignore_merges"))) return refuse("uses ignore_merges");
  if (!IsBlank(Member(model, "continuing_subword_prefix"))) return refuse("uses continuing_subword_prefix");
  if (!IsBlank(Member(model, "end_of_word_suffix"))) return refuse("uses end_of_word_suffix");
  return OkStatus();
}

Status ReadAddedTokens(const json& added, const std::string& where, BpeModel* model, IdsOfText* ids) {
  if (!added.is_array()) return InvalidArgument("'", where, "': added_tokens must be an array");
  for (const json& token : added) {
    const json* id = Member(token, "id");
    const json* content = Member(token, "content");
    const int64_t value = id != nullptr && id->is_number_unsigned() ? id->get<int64_t>() : -1;
    if (value < 0 || value >= kLargestVocabulary || content == nullptr || !content->is_string()) {
      return InvalidArgument("'", where, "': each of added_tokens must have a content and an id below ",
                             kLargestVocabulary);
    }
    const std::string& text = content->get_ref<const std::string&>();
    if (static_cast<size_t>(value) >= model->tokens.size()) model->tokens.resize(static_cast<size_t>(value) + 1);
    model->tokens[static_cast<size_t>(value)] = text;
    model->special.push_back(static_cast<int32_t>(value));
    ids->insert_or_assign(text, static_cast<int32_t>(value));
  }
  return OkStatus();
}

// The ids left when `bytes` is merged with the tokens below `limit` only.
std::vector<int32_t> MergeBelow(std::string_view bytes, int32_t limit, const IdsOfText& ids,
                                const std::vector<std::string>& tokens) {
  std::vector<int32_t> parts;
  for (char c : bytes) parts.push_back(ids.at(std::string(1, c)));
  while (parts.size() > 1) {
    int32_t best = limit;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ids.find(tokens[static_cast<size_t>(parts[i])] + tokens[static_cast<size_t>(parts[i + 1])]);
      if (found != ids.end() && found->second < best) {
        best = found->second;
        at = i;
      }
    }
    if (best == limit) break;
    parts[at] = best;
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  return parts;
}

std::string Quoted(std::string_view text) { return json(text).dump(-1, ' ', false, json::error_handler_t::replace); }

bool IsSpecial(const BpeModel& model, size_t id) {
  return std::binary_search(model.special.begin(), model.special.end(), static_cast<int32_t>(id));
}

// A token as GPT-2's files write it; special tokens are written as they are.
std::string FileText(const BpeModel& model, size_t id) {
  return IsSpecial(model, id) ? model.tokens[id] : ByteLevelText(model.tokens[id]);
}

std::string VocabObject(const BpeModel& model) {
  std::string out = "{";
  for (size_t id = 0; id < model.tokens.size(); ++id) {
    if (model.tokens[id].empty()) continue;
    if (out.size() > 1) out.append(", ");
    out.append(Quoted(FileText(model, id)));
    out.append(Cat(": ", id));
  }
  return out + "}";
}

}  // namespace

StatusOr<BpeModel> ParseTokenizerJson(std::string_view text, const std::string& where) {
  ASSIGN_OR_RETURN(const json root, ParseJson(text, where));
  const json* model_json = Member(root, "model");
  if (model_json == nullptr) return InvalidArgument("'", where, "' has no \"model\": it is no tokenizer.json");
  RETURN_IF_ERROR(CheckBehaviour(root, *model_json, where));
  const json* vocab = Member(*model_json, "vocab");
  const json* merges = Member(*model_json, "merges");
  if (vocab == nullptr || merges == nullptr || !merges->is_array()) {
    return InvalidArgument("'", where, "': the model must have a vocab and a list of merges");
  }
  BpeModel model;
  IdsOfText ids;
  RETURN_IF_ERROR(ReadVocab(*vocab, where, &model, &ids));
  for (size_t i = 0; i < merges->size(); ++i) {
    const json& merge = (*merges)[i];
    if (merge.is_string()) {
      RETURN_IF_ERROR(AddMergeLine(merge.get_ref<const std::string&>(), where, i + 1, ids, &model));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      RETURN_IF_ERROR(AddMerge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), where,
                               i + 1, ids, &model));
    } else {
      return InvalidArgument("'", where, "': merge ", i + 1, " must be \"a b\" or [\"a\", \"b\"]");
    }
  }
  if (const json* added = Member(root, "added_tokens")) {
    RETURN_IF_ERROR(ReadAddedTokens(*added, where, &model, &ids));
  }
  FindEndOfText(ids, &model);
  return model;
}

StatusOr<BpeModel> ParseVocabAndMerges(std::string_view vocab_json, const std::string& vocab_where,
                                       std::string_view merges_text, const std::string& merges_where) {
  ASSIGN_OR_RETURN(const json vocab, ParseJson(vocab_json, vocab_where));
  BpeModel model;
  IdsOfText ids;
  RETURN_IF_ERROR(ReadVocab(vocab, vocab_where, &model, &ids));
  size_t number = 0;
  for (size_t at = 0; at < merges_text.size();) {
    const size_t end = std::min(merges_text.find('\n', at), merges_text.size());
    std::string_view line = merges_text.substr(at, end - at);
    const bool is_header = at == 0 && line.starts_with("#version");
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || is_header) continue;
    RETURN_IF_ERROR(AddMergeLine(line, merges_where, ++number, ids, &model));
  }
  FindEndOfText(ids, &model);
  return model;
}

StatusOr<BpeModel> ParseLlmcTokenizer(std::string_view bytes, const std::string& where) {
  constexpr size_t kHeader = 1024;
  int32_t header[4];
  if (bytes.size() < kHeader) {
    return DataLoss("'", where, "' has ", bytes.size(), " bytes, too few for the header of 1,024 of llm.c's tokenizer");
  }
  std::memcpy(header, bytes.data(), sizeof header);
  const auto [magic, version, count, eot] = header;
  if (magic != kLlmcTokenizerMagic || (version != 1 && version != 2)) {
    return InvalidArgument("'", where, "' is no llm.c tokenizer of version 1 or 2 (magic ", magic, ", version ",
                           version, ")");
  }
  if (count < 1 || count > kLargestVocabulary) {
    return InvalidArgument("'", where, "': a vocabulary of ", count, " tokens is out of range");
  }
  BpeModel model;
  IdsOfText ids;
  size_t at = kHeader;
  for (int32_t id = 0; id < count; ++id) {
    const size_t size = at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0;
    if (at >= bytes.size() || bytes.size() - at - 1 < size) {
      return DataLoss("'", where, "' ends within token ", id, " of ", count, ": it is cut short");
    }
    model.tokens.emplace_back(bytes.substr(at + 1, size));
    ids.emplace(model.tokens.back(), id);
    at += 1 + size;
  }
  if (at != bytes.size()) return DataLoss("'", where, "' has ", bytes.size() - at, " bytes after its last token");
  for (int b = 0; b < 256; ++b) {
    if (!ids.contains(std::string(1, static_cast<char>(b)))) {
      return InvalidArgument("'", where, "' has no token for the byte ", b);
    }
  }
  if (version == 2) {
    if (eot < 0 || eot >= count) return InvalidArgument("'", where, "': the end-of-text id ", eot, " is out of range");
    model.eot = eot;
    model.special = {eot};
  } else {
    FindEndOfText(ids, &model);
  }
  for (int32_t id = 0; id < count; ++id) {
    const std::string& token = model.tokens[static_cast<size_t>(id)];
    if (token.size() < 2 || id == model.eot || ids.at(token) != id) continue;
    const std::vector<int32_t> parts = MergeBelow(token, id, ids, model.tokens);
    if (parts.size() == 2) model.merges.emplace_back(parts[0], parts[1]);
  }
  return model;
}

std::string VocabJson(const BpeModel& model) { return VocabObject(model) + "\n"; }

std::string MergesText(const BpeModel& model) {
  std::string out = "#version: 0.2\n";
  for (const auto& [left, right] : model.merges) {
    out.append(FileText(model, static_cast<size_t>(left)));
    out.push_back(' ');
    out.append(FileText(model, static_cast<size_t>(right)));
    out.push_back('\n');
  }
  return out;
}

std::string TokenizerJson(const BpeModel& model) {
  std::string added;
  for (int32_t id : model.special) {
    added.append(Cat(added.empty() ? "" : ", ", "{\"id\": ", id,
                     ", \"content\": ", Quoted(model.tokens[static_cast<size_t>(id)]),
                     ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                     "\"special\": true}"));
  }
  std::string merges;
  for (const auto& [left, right] : model.merges) {
    merges.append(Cat(merges.empty() ? "" : ", ", "[", Quoted(FileText(model, static_cast<size_t>(left))), ", ",
                      Quoted(FileText(model, static_cast<size_t>(right))), "]"));
  }
  constexpr std::string_view kByteLevel =
      "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}";
  return Cat("{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [", added,
             "], \"normalizer\": null, \"pre_tokenizer\": ", kByteLevel,
             ", \"post_processor\": null, \"decoder\": ", kByteLevel,
             ", \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
             "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", \"fuse_unk\": false, "
             "\"byte_fallback\": false, \"ignore_merges\": false, \"vocab\": ",
             VocabObject(model), ", \"merges\": [", merges, "]}}\n");
}

}  // namespace gptc
