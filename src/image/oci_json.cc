#include "image/oci_json.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mvr::image {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxItems = 4096;
constexpr std::size_t kMaxText = 1024;

tl::unexpected<Error> wrong(const std::string& what) {
  return fail(Errc::protocol, what + " is not as the OCI image format has it");
}

// Empty where there is no such member or it is no text.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  auto text = found->get<std::string>();
  return text.size() <= kMaxText ? text : std::string();
}

Result<OciDescriptor> descriptor_of(const Json& value, const char* what) {
  if (!value.is_object()) return wrong(what);
  OciDescriptor descriptor;
  descriptor.media_type = text_of(value, "mediaType");
  descriptor.digest = text_of(value, "digest");
  if (!is_sha256(descriptor.digest)) return wrong(std::string(what) + ": the digest");
  if (const auto platform = value.find("platform");
      platform != value.end() && platform->is_object()) {
    descriptor.os = text_of(*platform, "os");
    descriptor.architecture = text_of(*platform, "architecture");
  }
  if (const auto notes = value.find("annotations"); notes != value.end() && notes->is_object()) {
    descriptor.tag = text_of(*notes, "org.opencontainers.image.ref.name");
  }
  return descriptor;
}

Result<std::vector<OciDescriptor>> descriptors_of(const Json& list, const char* what) {
  if (!list.is_array() || list.size() > kMaxItems) return wrong(what);
  std::vector<OciDescriptor> all;
  for (const Json& item : list) {
    TRY_ASSIGN(OciDescriptor one, descriptor_of(item, what));
    all.push_back(std::move(one));
  }
  return all;
}

Result<std::vector<std::string>> texts_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() > kMaxItems) return wrong(key);
  std::vector<std::string> list;
  for (const Json& item : *found) {
    if (!item.is_string() || item.get_ref<const std::string&>().size() > kMaxText) {
      return wrong(key);
    }
    list.push_back(item.get<std::string>());
  }
  return list;
}

}  // namespace

bool is_sha256(const std::string& digest) {
  constexpr std::string_view prefix = "sha256:";
  if (digest.size() != prefix.size() + 64 || digest.compare(0, prefix.size(), prefix) != 0) {
    return false;
  }
  return std::all_of(digest.begin() + prefix.size(), digest.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<OciDocument> parse_oci_document(const std::string& json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return wrong("a manifest");
  OciDocument document;
  if (const auto list = object.find("manifests"); list != object.end()) {
    document.is_index = true;
    TRY_ASSIGN(document.manifests, descriptors_of(*list, "manifests"));
    return document;
  }
  const auto config = object.find("config");
  const auto layers = object.find("layers");
  if (config == object.end() || layers == object.end()) return wrong("a manifest");
  TRY_ASSIGN(document.config, descriptor_of(*config, "config"));
  TRY_ASSIGN(document.layers, descriptors_of(*layers, "layers"));
  return document;
}

Result<std::vector<std::string>> parse_diff_ids(const std::string& config) {
  const Json object = Json::parse(config, nullptr, false);
  if (!object.is_object()) return wrong("an image's config");
  const auto rootfs = object.find("rootfs");
  if (rootfs == object.end() || !rootfs->is_object()) return wrong("rootfs");
  TRY_ASSIGN(std::vector<std::string> ids, texts_of(*rootfs, "diff_ids"));
  if (!std::all_of(ids.begin(), ids.end(), is_sha256)) return wrong("diff_ids");
  return ids;
}

Result<DockerArchive> parse_docker_archive(const std::string& json) {
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array() || list.empty() || !list[0].is_object()) {
    return fail(Errc::protocol, "manifest.json is not what docker save writes");
  }
  if (list.size() > 1) {
    return fail({Errc::invalid, "the archive holds " + std::to_string(list.size()) + " images",
                 "save one of them alone"});
  }
  DockerArchive archive;
  archive.config = text_of(list[0], "Config");
  TRY_ASSIGN(archive.layers, texts_of(list[0], "Layers"));
  if (archive.config.empty()) return wrong("Config");
  return archive;
}

}  // namespace mvr::image
