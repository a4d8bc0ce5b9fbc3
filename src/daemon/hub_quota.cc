#include "daemon/hub_quota.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mvr::daemon {
namespace {

constexpr Duration kDeadline{15'000};
constexpr std::size_t kMaxBody = 64U << 10U;
constexpr std::size_t kMaxToken = 16U << 10U;
constexpr std::uint64_t kMostSeconds = 365U * 24 * 3600;
constexpr const char* kScope = "repository:ratelimitpreview/test:pull";
constexpr const char* kManifest = "/v2/ratelimitpreview/test/manifests/latest";

struct Limit {
  std::uint64_t count = 0;
  Duration window{};
};

// "100;w=21600"
std::optional<Limit> parse_limit(const std::string& text) {
  const std::size_t semicolon = text.find(";w=");
  const auto count = parse_u64(std::string_view(text).substr(0, semicolon));
  if (!count) return std::nullopt;
  if (semicolon == std::string::npos) return Limit{*count, {}};
  const auto seconds = parse_u64(std::string_view(text).substr(semicolon + 3));
  if (!seconds || *seconds > kMostSeconds) return std::nullopt;
  return Limit{*count, Duration{static_cast<std::int64_t>(*seconds) * 1000}};
}

Result<Secret> parse_token(const std::string& body) {
  const auto answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("token") || !answer["token"].is_string()) {
    return fail(Errc::invalid, "Docker Hub's answer holds no token");
  }
  Secret token(answer["token"].get<std::string>());
  if (token.empty() || token.expose().size() > kMaxToken) {
    return fail(Errc::invalid, "Docker Hub's token is empty or too long");
  }
  return token;
}

Error refusal(const std::string& what, int status) {
  const bool is_login = status == 401 || status == 403;
  return {is_login ? Errc::denied : Errc::unavailable,
          what + " was answered with status " + std::to_string(status) +
              (is_login ? ": is the user and password of registry_mirror right?" : "")};
}

}  // namespace

std::optional<HubQuota> parse_hub_quota(const std::map<std::string, std::string>& headers) {
  const auto limit = parse_limit(sys::header_of(headers, "ratelimit-limit"));
  const auto remaining = parse_limit(sys::header_of(headers, "ratelimit-remaining"));
  if (!limit || !remaining) return std::nullopt;
  return HubQuota{limit->count, remaining->count, limit->window};
}

HubQuotaWatch::HubQuotaWatch(sys::HttpClient& client, MirrorLogin login, HubPlaces places)
    : client_(client), login_(std::move(login)), places_(std::move(places)) {}

void HubQuotaWatch::ask(Callback callback) {
  callback_ = std::move(callback);
  sys::HttpRequest request;
  request.url = places_.tokens + "/token?service=registry.docker.io&scope=" + kScope;
  request.deadline = kDeadline;
  request.max_body = kMaxBody;
  if (!login_.user.empty()) {
    const Secret pair(login_.user + ":" + std::string(login_.password.expose()));
    request.scheme = "Basic";
    request.bearer = Secret(base64_encode(pair.expose()));
  }
  call_ = client_.send(std::move(request),
                       [this](const Result<sys::HttpResponse>& response) { take_token(response); });
}

void HubQuotaWatch::take_token(const Result<sys::HttpResponse>& response) {
  if (!response) return callback_(fail(response.error()));
  if (response->status != 200) return callback_(fail(refusal("a pull token", response->status)));
  auto token = parse_token(response->body);
  if (!token) return callback_(fail(token.error()));
  sys::HttpRequest request;
  request.method = "HEAD";
  request.url = places_.registry + kManifest;
  request.deadline = kDeadline;
  request.max_body = kMaxBody;
  request.bearer = std::move(*token);
  call_ = client_.send(std::move(request),
                       [this](const Result<sys::HttpResponse>& answer) { take_limits(answer); });
}

void HubQuotaWatch::take_limits(const Result<sys::HttpResponse>& response) {
  if (!response) return callback_(fail(response.error()));
  // 429 says that nothing is left, with the same headers.
  if (response->status != 200 && response->status != 429) {
    return callback_(fail(refusal("the limits", response->status)));
  }
  callback_(parse_hub_quota(response->headers));
}

}  // namespace mvr::daemon
