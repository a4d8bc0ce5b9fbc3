// What Docker Hub still lets this host pull. Asked by a HEAD request, which costs no pull:
// https://docs.docker.com/docker-hub/usage/pulls/#view-hourly-pull-rate-and-limit
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "daemon/mirror_wire.h"
#include "sys/http.h"

namespace mvr::daemon {

struct HubQuota {
  std::uint64_t limit = 0;  // pulls in `window`
  std::uint64_t remaining = 0;
  Duration window{};
  friend bool operator==(const HubQuota&, const HubQuota&) = default;
};
// Out of the headers of an answer; empty when Docker Hub names no limit, as for paying accounts.
std::optional<HubQuota> parse_hub_quota(const std::map<std::string, std::string>& headers);

struct HubPlaces {
  std::string tokens = "https://auth.docker.io";
  std::string registry = "https://registry-1.docker.io";
};

// Asks when told to; one question at a time.
class HubQuotaWatch {
 public:
  using Callback = std::function<void(Result<std::optional<HubQuota>>)>;
  // `client` outlives it.
  HubQuotaWatch(sys::HttpClient& client, MirrorLogin login, HubPlaces places = {});

  // Calls back once, unless this watch goes first or asks again.
  void ask(Callback callback);

 private:
  void take_token(const Result<sys::HttpResponse>& response);
  void take_limits(const Result<sys::HttpResponse>& response);

  sys::HttpClient& client_;
  MirrorLogin login_;
  HubPlaces places_;
  Callback callback_;
  std::unique_ptr<sys::HttpCall> call_;
};

}  // namespace mvr::daemon
