#include "github/transport.h"

#include <algorithm>
#include <deque>
#include <list>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/text.h"
#include "core/backoff.h"
#include "github/catalogue.h"
#include "github/clock.h"
#include "github/pace.h"
#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr int kMaxRedirects = 3;
constexpr std::size_t kMaxBody = 16U << 20U;
// GitHub allows 900 points a minute and counts 1 for a read, 5 for a change: stay at half of that,
// 50 at once and 400 a minute.
constexpr int kReadPoints = 1;
constexpr int kChangePoints = 5;
constexpr int kBurstPoints = 50;
// GitHub asks for a second between changes when there are many.
constexpr int kBurstChanges = 5;
// Back-off when GitHub limits us and does not say for how long.
constexpr core::BackoffPolicy kLimitBackoff{Duration{120'000}, Duration{900'000}};
constexpr Duration kLimitJitter{5'000};

struct Entry {
  ApiRequest request;
  Transport::Done done;
  Instant ready_at{};  // not before, after a failure
  Instant sent{};
  WallTime sent_wall{};
  std::uint32_t failures = 0;
  int redirects = 0;
  bool has_other_token = false;  // goes a second time, after a 401

  [[nodiscard]] bool is_read() const { return request.method == "GET"; }
  // Looks for jobs: it can wait when others cannot.
  [[nodiscard]] bool is_poll() const {
    const Endpoint endpoint = request.about.endpoint;
    return endpoint == Endpoint::list_runs || endpoint == Endpoint::list_jobs ||
           endpoint == Endpoint::list_repositories;
  }
};

Outcome outcome_of(int status) {
  if (status == 304) return Outcome::unchanged;
  if (status >= 200 && status < 400) return Outcome::done;
  return status >= 500 ? Outcome::failed : Outcome::refused;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 307 || status == 308;
}

sys::HttpRequest http_request(const ApiRequest& request, const Secret& token, Duration deadline) {
  sys::HttpRequest http;
  http.method = request.method;
  http.url = request.url;
  http.headers = {{"Accept", "application/vnd.github+json"},
                  {"X-GitHub-Api-Version", "2022-11-28"}};
  if (!request.etag.empty()) http.headers["If-None-Match"] = request.etag;
  if (!request.body.empty()) http.headers["Content-Type"] = "application/json";
  http.bearer = token.copy();
  http.body = request.body;
  http.deadline = deadline;
  http.connect_deadline = std::min(http.connect_deadline, deadline);
  http.max_body = kMaxBody;
  http.max_redirects = 0;  // followed here, where the origin is checked
  return http;
}

Clocks clocks_of(const sys::HttpResponse& response, WallTime sent) {
  const WallTime now = sys::wall_now();
  const auto date = parse_http_date(sys::header_of(response.headers, "date"));
  if (!date) return Clocks{now, Duration{0}};
  return Clocks{*date, clock_offset(*date, sent, now)};
}

}  // namespace

struct Transport::State {
  State(sys::Loop& the_loop, TokenSource& the_source, const Tuning& the_tuning)
      : loop(the_loop),
        source(the_source),
        tuning(the_tuning),
        quota(the_tuning.quota_share),
        points(tuning.point_gap, kBurstPoints),
        changes(tuning.change_gap, kBurstChanges) {}

  void wake(Instant when);
  void turn();
  void refuse_long_waits(Instant now);
  void refuse(Entry& entry, Instant now, const std::string& why, Instant until);
  [[nodiscard]] Instant ready_at(const Entry& entry, Instant now) const;
  std::list<Entry>::iterator choose(Instant now, Instant& first);
  void note(const Entry& entry, const sys::HttpResponse& response, const Clocks& clocks);
  void start(std::list<Entry>::iterator next, const Secret& token, Instant now);
  void obtain_token();
  void on_token(const Result<void>& obtained);
  void finish(Entry entry, Result<ApiReply> result);
  void on_response(Result<sys::HttpResponse> response);
  void on_lost(Entry entry, const Error& error);
  void on_redirect(Entry entry, const sys::HttpResponse& response);
  void on_refusal(Entry entry, const sys::HttpResponse& response, const Clocks& clocks);
  bool try_again(Entry& entry);
  void limit(Entry& entry, std::optional<Duration> wait);

  sys::Loop& loop;
  TokenSource& source;
  Tuning tuning;
  OnClock on_clock;
  Quota quota;
  RequestCounts counts;
  Pace points;
  Pace changes;
  std::unique_ptr<sys::HttpClient> http;
  std::list<Entry> pending;
  std::deque<std::pair<Done, Result<ApiReply>>> finished;
  std::optional<Entry> active;
  Instant not_before{};
  std::uint32_t limits_in_a_row = 0;  // without a word on how long to wait
  unsigned stretch = 1;
  std::optional<std::string> oauth_scopes;
  bool is_obtaining = false;
  std::optional<Instant> wakes_at;
  // Last, so that nothing calls back into members that are gone.
  sys::Timer timer;
  std::unique_ptr<sys::HttpCall> call;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

void Transport::State::wake(Instant when) {
  if (wakes_at && *wakes_at <= when) return;
  wakes_at = when;
  timer = loop.call_at(when, [this] {
    wakes_at.reset();
    turn();
  });
}

// Either hands out one result or starts one request. Handing out comes last in a turn: the
// callback may destroy everything here.
void Transport::State::turn() {
  const Instant now = loop.now();
  refuse_long_waits(now);
  if (!finished.empty()) {
    auto [done, result] = std::move(finished.front());
    finished.pop_front();
    wake(now);
    done(std::move(result));
    return;
  }
  if (active || is_obtaining || pending.empty()) return;
  Instant first = Instant::max();
  const auto next = choose(now, first);
  if (next == pending.end()) return wake(first);
  const Secret* token = source.token(now);
  if (token == nullptr) return obtain_token();
  start(next, *token, now);
}

void Transport::State::obtain_token() {
  is_obtaining = true;
  source.obtain([this, is_alive = std::weak_ptr<bool>(alive)](const Result<void>& obtained) {
    if (!is_alive.expired()) on_token(obtained);
  });
}

// Without a token nothing that waits can go: all of it learns why.
void Transport::State::on_token(const Result<void>& obtained) {
  is_obtaining = false;
  wake(loop.now());
  if (obtained) return;
  for (Entry& entry : pending) finished.emplace_back(std::move(entry.done), fail(obtained.error()));
  pending.clear();
}

// The first of those that may go now, one that looks for jobs only when there is no other.
std::list<Entry>::iterator Transport::State::choose(Instant now, Instant& first) {
  auto next = pending.end();
  for (auto entry = pending.begin(); entry != pending.end(); ++entry) {
    const Instant ready = ready_at(*entry, now);
    first = std::min(first, ready);
    if (ready > now || (entry->is_poll() && next != pending.end())) continue;
    next = entry;
    if (!entry->is_poll()) break;
  }
  return next;
}

// Nobody is helped by a request that hangs for an hour: its owner is told when to come again.
void Transport::State::refuse_long_waits(Instant now) {
  const bool is_limited = not_before - now > tuning.longest_wait;
  const Instant polls_at = quota.ready_at(now);
  const bool has_no_share = polls_at - now > tuning.longest_wait;
  if (!is_limited && !has_no_share) return;
  std::list<Entry> kept;
  for (Entry& entry : std::exchange(pending, {})) {
    if (is_limited) {
      refuse(entry, now, "GitHub limits our requests", not_before);
    } else if (entry.is_poll()) {
      refuse(entry, now,
             "looking for jobs has used up its share of GitHub's hourly limit "
             "(github.quota_share)",
             polls_at);
    } else {
      kept.push_back(std::move(entry));
    }
  }
  pending = std::move(kept);
}

void Transport::State::refuse(Entry& entry, Instant now, const std::string& why, Instant until) {
  Error error{Errc::rate_limited, entry.request.about.label + ": not sent, " + why +
                                      "; next try in " + format_duration(until - now)};
  finished.emplace_back(std::move(entry.done), fail(std::move(error)));
}

Instant Transport::State::ready_at(const Entry& entry, Instant now) const {
  Instant ready = std::max({entry.ready_at, not_before, points.ready_at()});
  if (!entry.is_read()) ready = std::max(ready, changes.ready_at());
  if (entry.is_poll()) ready = std::max(ready, quota.ready_at(now));
  return ready;
}

void Transport::State::start(std::list<Entry>::iterator next, const Secret& token, Instant now) {
  MVR_ASSERT(!active);
  active = std::move(*next);
  pending.erase(next);
  active->sent = now;
  active->sent_wall = sys::wall_now();
  points.spend(now, active->is_read() ? kReadPoints : kChangePoints);
  if (!active->is_read()) changes.spend(now, 1);
  call =
      http->send(http_request(active->request, token, tuning.deadline),
                 [this](Result<sys::HttpResponse> response) { on_response(std::move(response)); });
}

void Transport::State::finish(Entry entry, Result<ApiReply> result) {
  finished.emplace_back(std::move(entry.done), std::move(result));
}

void Transport::State::on_response(Result<sys::HttpResponse> response) {
  MVR_ASSERT(active);
  Entry entry = std::move(*active);
  active.reset();
  wake(loop.now());
  if (!response) {
    ++counts[{entry.request.about.endpoint, Outcome::lost}];
    on_lost(std::move(entry), response.error());
    return;
  }
  const Clocks clocks = clocks_of(*response, entry.sent_wall);
  note(entry, *response, clocks);
  if (on_clock) on_clock(clocks.offset);
  const bool is_unchanged = response->status == 304 && !entry.request.etag.empty();
  if (is_unchanged || (response->status >= 200 && response->status < 300)) {
    limits_in_a_row = 0;
    ApiReply reply;
    reply.status = response->status;
    reply.date = clocks.github;
    reply.sent = entry.sent;
    reply.headers = std::move(response->headers);
    reply.body = std::move(response->body);
    finish(std::move(entry), std::move(reply));
  } else if (is_redirect(response->status)) {
    on_redirect(std::move(entry), *response);
  } else {
    on_refusal(std::move(entry), *response, clocks);
  }
}

// Changes count against budgets of their own, which say nothing about polling.
void Transport::State::note(const Entry& entry, const sys::HttpResponse& response,
                            const Clocks& clocks) {
  ++counts[{entry.request.about.endpoint, outcome_of(response.status)}];
  const auto scopes = response.headers.find("x-oauth-scopes");
  if (scopes != response.headers.end()) oauth_scopes = scopes->second;
  if (!entry.is_read()) return;
  const Instant now = loop.now();
  if (const auto budget = budget_of(response.headers)) {
    stretch = stretch_for(*budget);
    const auto wait = until_reset(response.headers, clocks.github);
    if (wait) quota.learn(*budget, now + *wait);
  }
  if (entry.is_poll() && response.status != 304) quota.charge(now);
}

// True: queued again, at the front among those that wait as long.
bool Transport::State::try_again(Entry& entry) {
  if (!entry.is_read() || entry.failures >= tuning.retries) return false;
  ++entry.failures;
  entry.ready_at =
      loop.now() + core::backoff_delay(tuning.retry_backoff, entry.failures, entry.request.url);
  pending.push_front(std::move(entry));
  return true;
}

void Transport::State::on_lost(Entry entry, const Error& error) {
  const bool is_passing = error.code == Errc::timed_out || error.code == Errc::unavailable;
  if (is_passing && try_again(entry)) return;
  Error known = explain_loss(with_context(error, entry.request.about.label));
  finish(std::move(entry), fail(std::move(known)));
}

// Renamed repositories answer with the address by id, on the same host. Any other host must not
// see the token, and has nothing to tell us.
void Transport::State::on_redirect(Entry entry, const sys::HttpResponse& response) {
  const std::string& label = entry.request.about.label;
  const bool keeps_method = entry.is_read() || response.status == 307 || response.status == 308;
  auto target = same_origin_url(entry.request.url, sys::header_of(response.headers, "location"));
  if (!target) {
    Error error = with_context(target.error(), label);
    error.remedy = known_answer("redirect").remedy;
    finish(std::move(entry), fail(std::move(error)));
  } else if (!keeps_method || entry.redirects >= kMaxRedirects) {
    const std::string about = label + ": HTTP " + std::to_string(response.status);
    Error error = known_error(known_answer("redirect"), about);
    finish(std::move(entry), fail(std::move(error)));
  } else {
    ++entry.redirects;
    entry.request.url = std::move(*target);
    pending.push_front(std::move(entry));
  }
}

void Transport::State::on_refusal(Entry entry, const sys::HttpResponse& response,
                                  const Clocks& clocks) {
  Refusal refusal = explain_refusal(response, entry.request.about, source.authority(), clocks);
  if (refusal.error.code == Errc::unauthorized) {
    const bool has_other = source.drop();
    if (has_other && !std::exchange(entry.has_other_token, true)) {
      return pending.push_front(std::move(entry));
    }
  }
  if (refusal.error.code == Errc::unavailable && try_again(entry)) return;
  if (refusal.error.code == Errc::rate_limited) limit(entry, refusal.wait);
  finish(std::move(entry), fail(std::move(refusal.error)));
}

void Transport::State::limit(Entry& entry, std::optional<Duration> wait) {
  if (!wait) wait = core::backoff_delay(kLimitBackoff, ++limits_in_a_row, entry.request.url);
  // Spread, so that the hosts that share a token do not all come back in the same moment.
  const Duration most = std::min(kLimitJitter, *wait / 10);
  const auto spread = stable_hash(entry.request.about.label + entry.request.body) %
                      (static_cast<std::uint64_t>(most.count()) + 1);
  const Duration jitter{static_cast<Duration::rep>(spread)};
  not_before = std::max(not_before, loop.now() + *wait + jitter);
}

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::done:
      return "done";
    case Outcome::unchanged:
      return "unchanged";
    case Outcome::refused:
      return "refused";
    case Outcome::failed:
      return "failed";
    case Outcome::lost:
      return "lost";
  }
  return "";
}

Transport::Transport() = default;
Transport::~Transport() = default;

Result<std::unique_ptr<Transport>> Transport::create(sys::Loop& loop, TokenSource& source,
                                                     Tuning tuning, OnClock on_clock) {
  std::unique_ptr<Transport> made(new Transport());
  made->state_ = std::make_unique<State>(loop, source, tuning);
  made->state_->on_clock = std::move(on_clock);
  TRY_ASSIGN(made->state_->http, sys::HttpClient::create(loop, "mvrunner/" MVR_VERSION));
  return made;
}

void Transport::send(ApiRequest request, Done done) {
  Entry entry;
  entry.request = std::move(request);
  entry.done = std::move(done);
  state_->pending.push_back(std::move(entry));
  state_->wake(state_->loop.now());
}

void Transport::set_quota_share(double share) {
  state_->tuning.quota_share = share;
  state_->quota.set_share(share);
}

void Transport::forget_limits() {
  state_->quota = Quota(state_->tuning.quota_share);
  state_->not_before = {};
  state_->limits_in_a_row = 0;
  state_->stretch = 1;
  state_->oauth_scopes.reset();
  state_->wake(state_->loop.now());
}

Instant Transport::not_before() const { return state_->not_before; }
Instant Transport::poll_not_before() const {
  return std::max(state_->not_before, state_->quota.ready_at(state_->loop.now()));
}
const Quota& Transport::quota() const { return state_->quota; }
const RequestCounts& Transport::counts() const { return state_->counts; }
unsigned Transport::stretch() const { return state_->stretch; }
const std::optional<std::string>& Transport::oauth_scopes() const { return state_->oauth_scopes; }

}  // namespace mvr::github
