#include "guest/mirror.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "guest/files.h"

namespace mvr::guest {
namespace {

using nlohmann::ordered_json;

constexpr const char* kDockerDirectory = "/etc/docker";
constexpr const char* kDockerSettings = "/etc/docker/daemon.json";
constexpr const char* kBuildkitDirectory = "/etc/buildkit";
constexpr const char* kBuildkitSettings = "/etc/buildkit/buildkitd.toml";
constexpr std::size_t kMaxSettings = 256U << 10U;
constexpr int kMaxDepth = 16;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Writing deeply nested JSON takes as deep a stack.
ordered_json parse(std::string_view text) {
  bool good = true;
  const auto watch = [&](int depth, ordered_json::parse_event_t event, ordered_json& /*value*/) {
    const bool opens = event == ordered_json::parse_event_t::object_start ||
                       event == ordered_json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) good = false;
    return good;
  };
  auto value = ordered_json::parse(text.begin(), text.end(), watch, false);
  return good ? value : ordered_json();
}

bool is_list_of_text(const ordered_json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const auto& item) { return item.is_string(); });
}

Result<void> put_first(ordered_json& settings, const char* key, const std::string& text) {
  ordered_json& list = settings[key];
  if (list.is_null()) list = ordered_json::array();
  if (!is_list_of_text(list)) {
    return fail(Errc::invalid, std::string(key) + " is not a list of text");
  }
  if (std::find(list.begin(), list.end(), ordered_json(text)) == list.end()) {
    list.insert(list.begin(), text);
  }
  return {};
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

Result<void> wire_docker(const std::string& mirror) {
  std::string text;
  if (exists(kDockerSettings)) {
    TRY_ASSIGN(text, read_file(kDockerSettings, kMaxSettings));
  }
  TRY_ASSIGN(const std::string merged, with_mirror(text, mirror));
  TRY(make_directory(kDockerDirectory));
  return replace_file(kDockerSettings, merged);
}

Result<void> make_own_directory(const std::string& path, const User& user) {
  if (exists(path)) return {};
  TRY(make_directory(path, 0700));
  if (::lchown(path.c_str(), user.uid, user.gid) == 0) return {};
  return fail_errno(errno, "chown " + path);
}

}  // namespace

Result<std::string> with_mirror(std::string_view text, const std::string& mirror) {
  ordered_json settings = is_blank(text) ? ordered_json::object() : parse(text);
  if (!settings.is_object()) return fail(Errc::invalid, "it is not an object of JSON");
  const std::string url = "http://" + mirror;
  TRY(put_first(settings, "registry-mirrors", url));
  // With the scheme: the BuildKit inside dockerd drops that of a mirror, and asks by HTTPS unless
  // this list says HTTP (docker/buildx issue 1642). dockerd takes it off again.
  TRY(put_first(settings, "insecure-registries", url));
  return settings.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string buildkit_settings(const std::string& mirror) {
  return "[registry.\"docker.io\"]\n  mirrors = [\"" + mirror + "\"]\n[registry.\"" + mirror +
         "\"]\n  http = true\n";
}

Result<void> wire_mirror(const std::string& mirror) {
  if (mirror.empty()) return {};
  TRY(context(wire_docker(mirror),
              std::string("no registry mirror for Docker: ") + kDockerSettings));
  if (exists(kBuildkitSettings)) return {};
  TRY(make_directory(kBuildkitDirectory));
  return write_file(kBuildkitSettings, buildkit_settings(mirror));
}

// https://docs.docker.com/build/builders/drivers/docker-container: what `buildx create` takes
// unless it is given another file.
Result<void> wire_buildx(const std::string& mirror, const User& user) {
  if (mirror.empty() || user.home.empty() || !exists(user.home)) return {};
  const std::string directory = user.home + "/.docker/buildx";
  const std::string path = directory + "/buildkitd.default.toml";
  if (exists(path)) return {};
  TRY(make_own_directory(user.home + "/.docker", user));
  TRY(make_own_directory(directory, user));
  TRY(write_file(path, buildkit_settings(mirror)));
  if (::lchown(path.c_str(), user.uid, user.gid) == 0) return {};
  return fail_errno(errno, "chown " + path);
}

}  // namespace mvr::guest
