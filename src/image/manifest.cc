#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <chrono>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/store.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr std::array kKeys = {"schema",    "name",    "id",      "digest",     "size",
                              "allocated", "created", "builder", "source",     "architecture",
                              "env",       "user",    "workdir", "entrypoint", "command",
                              "labels",    "key",     "bases"};

Result<std::string> text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return fail(Errc::invalid, std::string("\"") + key + "\" must be a string");
  }
  return found->get<std::string>();
}

Result<Bytes> bytes_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) {
    return fail(Errc::invalid, std::string("\"") + key + "\" must be a number of bytes");
  }
  return Bytes{found->get<std::uint64_t>()};
}

Result<std::vector<std::string>> texts_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  const auto is_text = [](const Json& value) { return value.is_string(); };
  if (found == object.end() || !found->is_array() ||
      !std::all_of(found->begin(), found->end(), is_text)) {
    return fail(Errc::invalid, std::string("\"") + key + "\" must be a list of strings");
  }
  return found->get<std::vector<std::string>>();
}

Result<std::map<std::string, std::string>> labels_of(const Json& object) {
  const auto found = object.find("labels");
  if (found == object.end() || !found->is_object()) {
    return fail(Errc::invalid, "\"labels\" must be an object");
  }
  std::map<std::string, std::string> labels;
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) return fail(Errc::invalid, "label \"" + key + "\" must be a string");
    labels.emplace(key, value.get<std::string>());
  }
  return labels;
}

Result<void> check_digest(const char* key, const std::string& digest) {
  constexpr std::string_view prefix = "sha256:";
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (digest.size() == prefix.size() + 64 && digest.compare(0, prefix.size(), prefix) == 0 &&
      std::all_of(digest.begin() + prefix.size(), digest.end(), is_hex)) {
    return {};
  }
  return fail(Errc::invalid,
              std::string("\"") + key + "\" must be sha256: and 64 hexadecimal digits");
}

// What only images have, and not all of them.
Result<void> read_origin(const Json& object, Manifest& manifest) {
  if (object.contains("id")) {
    TRY_ASSIGN(manifest.id, text_of(object, "id"));
    TRY(check_digest("id", manifest.id));
  }
  if (object.contains("key")) {
    TRY_ASSIGN(manifest.key, text_of(object, "key"));
  }
  if (object.contains("bases")) {
    TRY_ASSIGN(manifest.bases, texts_of(object, "bases"));
  }
  return {};
}

Result<void> check_keys(const Json& object) {
  const auto schema = object.find("schema");
  if (schema == object.end() || *schema != kSchema) {
    return fail(Errc::unsupported, "not a manifest of this version (\"schema\" must be 1)");
  }
  for (const auto& item : object.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), item.key()) == kKeys.end()) {
      return fail(Errc::invalid, "unknown key \"" + printable(item.key(), 80) + "\"");
    }
  }
  return {};
}

// What jobs and commands run with.
Result<void> read_config(const Json& object, Manifest& manifest) {
  TRY_ASSIGN(manifest.env, texts_of(object, "env"));
  TRY_ASSIGN(manifest.user, text_of(object, "user"));
  TRY_ASSIGN(manifest.workdir, text_of(object, "workdir"));
  TRY_ASSIGN(manifest.entrypoint, texts_of(object, "entrypoint"));
  TRY_ASSIGN(manifest.command, texts_of(object, "command"));
  TRY_ASSIGN(manifest.labels, labels_of(object));
  return {};
}

}  // namespace

std::string manifest_json(const Manifest& manifest) {
  Json object;
  object["schema"] = kSchema;
  object["name"] = manifest.name;
  if (!manifest.id.empty()) object["id"] = manifest.id;
  object["digest"] = manifest.digest;
  object["size"] = manifest.size.value;
  object["allocated"] = manifest.allocated.value;
  object["created"] = manifest.created;
  object["builder"] = manifest.builder;
  object["source"] = manifest.source;
  object["architecture"] = manifest.architecture;
  object["env"] = manifest.env;
  object["user"] = manifest.user;
  object["workdir"] = manifest.workdir;
  object["entrypoint"] = manifest.entrypoint;
  object["command"] = manifest.command;
  object["labels"] = Json::object();
  for (const auto& [key, value] : manifest.labels) object["labels"][key] = value;
  if (!manifest.key.empty()) object["key"] = manifest.key;
  if (!manifest.bases.empty()) object["bases"] = manifest.bases;
  // A path need not be UTF-8; JSON must be.
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Manifest> parse_manifest(const std::string& json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return fail(Errc::invalid, "not a JSON object");
  TRY(check_keys(object));
  Manifest manifest;
  TRY_ASSIGN(manifest.name, text_of(object, "name"));
  TRY_ASSIGN(manifest.digest, text_of(object, "digest"));
  TRY(check_digest("digest", manifest.digest));
  TRY_ASSIGN(manifest.size, bytes_of(object, "size"));
  TRY_ASSIGN(manifest.allocated, bytes_of(object, "allocated"));
  TRY_ASSIGN(manifest.created, text_of(object, "created"));
  TRY(context(parse_iso8601(manifest.created), "\"created\""));
  TRY_ASSIGN(manifest.builder, text_of(object, "builder"));
  TRY_ASSIGN(manifest.source, text_of(object, "source"));
  TRY_ASSIGN(manifest.architecture, text_of(object, "architecture"));
  TRY(read_config(object, manifest));
  TRY(read_origin(object, manifest));
  return manifest;
}

std::string image_id(const Manifest& manifest) {
  Json object;
  object["schema"] = kSchema;
  object["digest"] = manifest.digest;
  object["size"] = manifest.size.value;
  object["architecture"] = manifest.architecture;
  object["env"] = manifest.env;
  object["user"] = manifest.user;
  object["workdir"] = manifest.workdir;
  object["entrypoint"] = manifest.entrypoint;
  object["command"] = manifest.command;
  object["labels"] = manifest.labels;  // in the order of their names
  return "sha256:" + sys::sha256_text(object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Manifest describe_drive(const Ext4Report& written) {
  Manifest manifest;
  manifest.size = written.size;
  manifest.allocated = written.allocated;
  manifest.digest = written.digest;
  manifest.created =
      format_iso8601(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
  return manifest;
}

std::string host_architecture() {
  struct utsname names {};
  if (::uname(&names) != 0) return "unknown";
  std::string machine = static_cast<const char*>(names.machine);
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

}  // namespace mvr::image
