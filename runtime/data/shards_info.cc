// shards.json, and the names of shards.
#include <cstdio>

#include "nlohmann/json.hpp"
#include "runtime/data/shard_format.h"
#include "runtime/data/shards.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

// A whole number that is not negative, or -1.
int64_t Count(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return -1;
  const uint64_t value = found->get<uint64_t>();
  return value > (uint64_t{1} << 62) ? -1 : static_cast<int64_t>(value);
}
std::string Text(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string SplitOfName(std::string_view name, std::string_view extension) {
  if (!name.ends_with(extension)) return "";
  name.remove_suffix(extension.size());
  const size_t last = name.find_last_not_of("0123456789");
  if (last != std::string_view::npos && last + 1 < name.size() && name[last] == '_') name = name.substr(0, last);
  const size_t underscore = name.rfind('_');
  return underscore == std::string_view::npos ? "" : std::string(name.substr(underscore + 1));
}

std::string HashText(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::string ShardsJson(const ShardsInfo& info) {
  Json root = {{"format", "gptc-shards"}, {"version", 1}};
  root["tokenizer"] = {{"kind", info.tokenizer_kind}, {"hash", info.tokenizer_hash}};
  root["vocab_size"] = info.vocab_size;
  root["eot"] = info.eot ? Json(*info.eot) : Json(nullptr);
  Json splits = Json::object();
  for (const auto& [name, split] : info.splits) {
    Json files = Json::array();
    for (const auto& file : split.files) {
      files.push_back({{"name", file.name}, {"tokens", file.tokens}, {"xxh3", file.xxh3}});
    }
    splits[name] = {{"tokens", split.tokens}, {"text_bytes", split.text_bytes}, {"files", files}};
  }
  root["splits"] = splits;
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

StatusOr<ShardsInfo> ParseShardsJson(std::string_view text, const std::string& where) {
  const auto bad = [&](std::string_view what) { return DataLoss("'", where, "' is damaged: ", what); };
  const Json root = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object()) return bad("it is no JSON object");
  if (Text(root, "format") != "gptc-shards") return bad("its format is not gptc-shards");
  if (Count(root, "version") != 1) return InvalidArgument("'", where, "' is of another version than 1: make it anew");
  ShardsInfo info;
  info.vocab_size = Count(root, "vocab_size");
  if (info.vocab_size < 1) return bad("vocab_size must be a positive number");
  if (const int64_t eot = Count(root, "eot"); eot >= 0) info.eot = eot;
  if (const auto tokenizer = root.find("tokenizer"); tokenizer != root.end() && tokenizer->is_object()) {
    info.tokenizer_kind = Text(*tokenizer, "kind");
    info.tokenizer_hash = Text(*tokenizer, "hash");
  }
  const auto splits = root.find("splits");
  if (splits == root.end() || !splits->is_object()) return bad("splits must be an object");
  for (const auto& [name, value] : splits->items()) {
    ShardsInfo::Split& split = info.splits[name];
    if (!value.is_object()) return bad("a split must be an object");
    split.tokens = Count(value, "tokens");
    split.text_bytes = Count(value, "text_bytes");
    const auto files = value.find("files");
    if (split.tokens < 0 || split.text_bytes < 0 || files == value.end() || !files->is_array()) {
      return bad(Cat("the split ", name, " must have tokens, text_bytes and files"));
    }
    for (const Json& entry : *files) {
      if (!entry.is_object()) return bad("a file must be an object");
      ShardsInfo::File file{Text(entry, "name"), Count(entry, "tokens"), Text(entry, "xxh3")};
      if (file.name.empty() || file.name.find('/') != std::string::npos || file.tokens < 0) {
        return bad("a file must have a name without folders and a number of tokens");
      }
      split.files.push_back(std::move(file));
    }
  }
  return info;
}

}  // namespace gptc
