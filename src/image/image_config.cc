#include "image/image_config.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mvr::image {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxItems = 4096;
constexpr std::size_t kMaxText = 128U << 10U;
constexpr std::size_t kMaxTotal = 512U << 10U;

class Decoder {
 public:
  explicit Decoder(const Json& config) : config_(config) {}

  Result<std::string> text(const char* key) {
    const Json* value = member(key);
    if (value == nullptr) return std::string();
    return checked(*value, key);
  }

  Result<std::vector<std::string>> texts(const char* key) {
    std::vector<std::string> list;
    const Json* value = member(key);
    if (value == nullptr) return list;
    if (!value->is_array() || value->size() > kMaxItems) return wrong(key);
    for (const Json& item : *value) {
      TRY_ASSIGN(std::string one, checked(item, key));
      list.push_back(std::move(one));
    }
    return list;
  }

  Result<std::map<std::string, std::string>> map(const char* key) {
    std::map<std::string, std::string> found;
    const Json* value = member(key);
    if (value == nullptr) return found;
    if (!value->is_object() || value->size() > kMaxItems) return wrong(key);
    for (const auto& [name, item] : value->items()) {
      TRY_ASSIGN(std::string one, checked(item, key));
      total_ += name.size();
      found.emplace(name, std::move(one));
    }
    return found;
  }

 private:
  static tl::unexpected<Error> wrong(const char* key) {
    return fail(Errc::protocol, std::string("image config: ") + key + " has an unexpected value");
  }

  const Json* member(const char* key) const {
    const auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
  }

  Result<std::string> checked(const Json& value, const char* key) {
    if (!value.is_string()) return wrong(key);
    auto text = value.get<std::string>();
    total_ += text.size();
    if (text.size() > kMaxText || total_ > kMaxTotal) {
      return fail(Errc::too_large, std::string("image config: ") + key + " is too long");
    }
    if (text.find('\0') != std::string::npos) return wrong(key);
    return text;
  }

  const Json& config_;
  std::size_t total_ = 0;
};

// The two places of the config: docker and podman answer with a list of one image, buildah with
// an object that has the OCI config in it.
struct Found {
  const Json* architecture = nullptr;
  const Json* config = nullptr;
};
Found locate(const Json& document) {
  const bool is_list = document.is_array() && document.size() == 1 && document[0].is_object();
  const Json* image = is_list ? &document[0] : nullptr;
  const char* architecture = "Architecture";
  const char* config = "Config";
  if (document.is_object() && document.contains("OCIv1") && document["OCIv1"].is_object()) {
    image = &document["OCIv1"];
    architecture = "architecture";
    config = "config";
  }
  Found found;
  if (image == nullptr) return found;
  if (image->contains(architecture)) found.architecture = &(*image)[architecture];
  if (image->contains(config)) found.config = &(*image)[config];
  return found;
}

}  // namespace

Result<ImageConfig> parse_inspect(const std::string& json) {
  const Json document = Json::parse(json, nullptr, false);
  const Found found = locate(document);
  if (found.architecture == nullptr || !found.architecture->is_string()) {
    return fail(Errc::protocol, "image config: not what the builder's inspect should print");
  }
  ImageConfig result;
  result.architecture = found.architecture->get<std::string>();
  if (found.config == nullptr || found.config->is_null()) return result;
  if (!found.config->is_object()) return fail(Errc::protocol, "image config: not an object");
  Decoder decoder(*found.config);
  TRY_ASSIGN(result.env, decoder.texts("Env"));
  for (const std::string& entry : result.env) {
    if (entry.find('=') == std::string::npos || entry.front() == '=') {
      return fail(Errc::invalid,
                  "image config: ENV entry \"" + printable(entry, 80) + "\" is not NAME=VALUE");
    }
  }
  TRY_ASSIGN(result.user, decoder.text("User"));
  TRY_ASSIGN(result.workdir, decoder.text("WorkingDir"));
  TRY_ASSIGN(result.entrypoint, decoder.texts("Entrypoint"));
  TRY_ASSIGN(result.command, decoder.texts("Cmd"));
  TRY_ASSIGN(result.labels, decoder.map("Labels"));
  return result;
}

}  // namespace mvr::image
