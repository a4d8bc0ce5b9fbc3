// One request to GitHub at a time, at a pace GitHub tolerates, with redirects, retries and rate
// limits dealt with.
//
// A request answered with 401 goes once more, with another token, where the source has one: what is
// not authorised was not carried out, whatever it was. While a token is obtained, requests wait.
//
// Order: first come, first served among the requests that may go now, those that look for jobs
// after all others. A request that waits (for
// its retry, or the pace of changing requests) does not hold up the others.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/units.h"
#include "github/client.h"
#include "github/errors.h"
#include "github/quota.h"
#include "github/token_source.h"
#include "sys/http.h"
#include "sys/loop.h"

namespace mvr::github {

struct ApiRequest {
  std::string method = "GET";
  std::string url;
  std::string body;  // JSON
  std::string etag;  // verbatim, for If-None-Match
  CallInfo about;
};

// A 2xx answer, or 304 when the request had an etag.
struct ApiReply {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  Instant sent{};   // when the (last) attempt left
  WallTime date{};  // GitHub's clock, ours when the answer had no Date
};

// How requests were answered; lost: not at all.
enum class Outcome { done, unchanged, refused, failed, lost };
std::string_view outcome_name(Outcome outcome);
using RequestCounts = std::map<std::pair<Endpoint, Outcome>, std::uint64_t>;

class Transport {
 public:
  using Done = std::function<void(Result<ApiReply>)>;
  // Gets the clock_offset() of every answer that has a Date. May do nothing to this object.
  using OnClock = std::function<void(Duration offset)>;

  // `source` outlives this object.
  static Result<std::unique_ptr<Transport>> create(sys::Loop& loop, TokenSource& source,
                                                   Tuning tuning, OnClock on_clock = {});
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Calls back exactly once, from the loop; the callback may destroy this object. GET is tried
  // again on 5xx, time-outs and network errors; other methods never, since a lost answer does not
  // say whether the request was carried out.
  void send(ApiRequest request, Done done);
  // The source has a token of somebody else now: the limits of the former say nothing about it.
  void forget_limits();
  [[nodiscard]] Instant not_before() const;
  // The same for requests that look for jobs, which have only a share of the limit.
  [[nodiscard]] Instant poll_not_before() const;
  void set_quota_share(double share);
  [[nodiscard]] const Quota& quota() const;
  [[nodiscard]] const RequestCounts& counts() const;
  // See stretch_for(); from the last answer that told.
  [[nodiscard]] unsigned stretch() const;
  // X-OAuth-Scopes of the last answer that had it: the scopes of a classic token.
  [[nodiscard]] const std::optional<std::string>& oauth_scopes() const;

 private:
  Transport();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mvr::github
