#include "daemon/mirror_wire.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/names.h"
#include "daemon/network.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr double kMostCount = 9'007'199'254'740'992;  // 2^53
constexpr std::size_t kMaxWords = 300;

std::string address(const core::Config& config, unsigned port) {
  return core::host_names(config).uplink_host.to_text() + ":" + std::to_string(port);
}

Result<std::uint64_t> count_of(const json& vars, const char* kind, const char* name) {
  const json::json_pointer place(std::string("/registry/proxy/") + kind + "/" + name);
  if (vars.contains(place) && vars[place].is_number_unsigned()) {
    return vars[place].get<std::uint64_t>();
  }
  return fail(Errc::invalid, "docker-registry's numbers lack " + place.to_string());
}

Result<std::uint64_t> sample_value(std::string_view line) {
  const std::string_view text = line.substr(std::min(line.size(), line.rfind(' ') + 1));
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_count = error == std::errc() && end == text.data() + text.size() &&
                        std::isfinite(value) && value >= 0 && value <= kMostCount;
  if (is_count) return static_cast<std::uint64_t>(value);
  return fail(Errc::invalid, "docker-registry's metrics hold a bad number: " + printable(line, 80));
}

struct Served {
  std::uint64_t blobs = 0;  // requests of VMs that were answered with a blob, or with its size
  std::uint64_t bytes = 0;
};

Result<Served> parse_served(std::string_view metrics) {
  constexpr std::string_view kRequests = "registry_http_requests_total{code=\"";
  constexpr std::string_view kBytes = "registry_http_response_size_bytes_sum{handler=\"";
  Served served;
  for (const std::string_view line : split(metrics, '\n')) {
    const bool is_request = line.starts_with(kRequests) && line.size() > kRequests.size();
    const char code = is_request ? line[kRequests.size()] : '\0';
    const bool is_blob = line.find("handler=\"blob\"") != std::string_view::npos;
    if ((code == '2' || code == '3') && is_blob) {
      TRY_ASSIGN(const std::uint64_t count, sample_value(line));
      served.blobs += count;
    }
    const std::string_view rest = line.starts_with(kBytes) ? line.substr(kBytes.size()) : "";
    if (rest.starts_with("blob\"") || rest.starts_with("manifest\"")) {
      TRY_ASSIGN(const std::uint64_t bytes, sample_value(line));
      served.bytes += bytes;
    }
  }
  return served;
}

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

Result<MirrorLogin> parse_mirror_login(std::string_view text) {
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  const std::size_t colon = line.find(':');
  const auto is_plain = [](std::string_view part) {
    return !part.empty() && part.size() <= 4096 &&
           std::ranges::all_of(part, [](char c) { return c > ' ' && c < '\x7f'; });
  };
  const bool good = colon != std::string_view::npos && is_plain(line.substr(0, colon)) &&
                    is_plain(line.substr(colon + 1));
  if (!good) return fail(Errc::invalid, "its first line is not user:password, in visible ASCII");
  return MirrorLogin{std::string(line.substr(0, colon)),
                     Secret(std::string(line.substr(colon + 1)))};
}

Secret mirror_configuration(const core::Config& config, const MirrorLogin& login) {
  json all;
  all["version"] = "0.1";
  all["log"] = {{"level", "error"}, {"accesslog", {{"disabled", true}}}};
  all["storage"]["filesystem"]["rootdirectory"] = core::mirror_names(config).directory;
  // For its own removal of what nobody asked for in a week; requests from VMs delete nothing.
  all["storage"]["delete"]["enabled"] = true;
  // Pulls that broke off.
  all["storage"]["maintenance"]["uploadpurging"] = {
      {"enabled", true}, {"age", "24h"}, {"interval", "6h"}, {"dryrun", false}};
  all["http"] = {{"addr", address(config, kMirrorPort)},
                 {"debug",
                  {{"addr", address(config, kMirrorDebugPort)},
                   {"prometheus", {{"enabled", true}, {"path", "/metrics"}}}}}};
  all["health"]["storagedriver"]["enabled"] = false;
  all["proxy"] = {{"remoteurl", config.registry_mirror.upstream}};
  if (!login.user.empty()) {
    all["proxy"]["username"] = login.user;
    all["proxy"]["password"] = login.password.expose();
  }
  return Secret(all.dump());
}

MirrorCounts operator+(const MirrorCounts& a, const MirrorCounts& b) {
  return {a.manifest_hits + b.manifest_hits, a.manifest_misses + b.manifest_misses,
          a.blob_hits + b.blob_hits, a.blob_misses + b.blob_misses,
          a.served_bytes + b.served_bytes};
}

MirrorCounts at_least(const MirrorCounts& a, const MirrorCounts& b) {
  return {std::max(a.manifest_hits, b.manifest_hits),
          std::max(a.manifest_misses, b.manifest_misses), std::max(a.blob_hits, b.blob_hits),
          std::max(a.blob_misses, b.blob_misses), std::max(a.served_bytes, b.served_bytes)};
}

// Every manifest that is served counts as a request, and as a miss as well when it was fetched. Of
// blobs only those it copied are counted: one time for an answer out of the store, two times for
// a blob that was fetched, once into the store and once for the VM that waits.
Result<MirrorCounts> parse_mirror_counts(std::string_view vars, std::string_view metrics) {
  const json parsed = json::parse(vars, nullptr, false);
  if (!parsed.is_object()) return fail(Errc::invalid, "docker-registry's numbers are no object");
  TRY_ASSIGN(const std::uint64_t manifests, count_of(parsed, "manifests", "Requests"));
  TRY_ASSIGN(const std::uint64_t fetched, count_of(parsed, "manifests", "Misses"));
  TRY_ASSIGN(const std::uint64_t copies, count_of(parsed, "blobs", "Requests"));
  TRY_ASSIGN(const Served served, parse_served(metrics));
  MirrorCounts counts;
  counts.manifest_misses = std::min(fetched, manifests);
  counts.manifest_hits = manifests - counts.manifest_misses;
  counts.blob_misses = std::min(less(copies, served.blobs), served.blobs);
  counts.blob_hits = served.blobs - counts.blob_misses;
  counts.served_bytes = served.bytes;
  return counts;
}

std::string last_words(std::string_view text) {
  std::string_view last;
  for (const std::string_view line : split(text, '\n')) {
    for (const std::string_view word : {"panic: ", "fatal error: "}) {
      if (line.starts_with(word)) return printable(line.substr(word.size()), kMaxWords);
    }
    if (!line.empty()) last = line;
  }
  return printable(last, kMaxWords);
}

}  // namespace mvr::daemon
