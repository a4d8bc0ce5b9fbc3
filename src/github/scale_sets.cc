#include "github/scale_sets.h"

#include <algorithm>

#include "core/backoff.h"
#include "github/app.h"
#include "github/catalogue.h"
#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr std::size_t kMaxBody = 4U << 20U;
constexpr std::string_view kVersion = "api-version=6.0-preview";
constexpr std::int64_t kDefaultGroup = 1;
// A connection whose token tells no end is renewed after this.
constexpr std::chrono::seconds kUnknownLife{600};
constexpr Duration kRenewPause{60'000};

// Answers with tokens and keys must not lie around in freed memory.
void wipe(std::string& text) { std::fill(text.begin(), text.end(), '\0'); }

bool is_success(int status) { return status >= 200 && status < 300; }

bool is_passing(Errc code) { return code == Errc::unavailable || code == Errc::timed_out; }

std::string set_path(std::int64_t set, const std::string& rest) {
  return "_apis/runtime/runnerscalesets/" + std::to_string(set) + rest;
}

WallTime date_of(const sys::HttpResponse& response) {
  const auto found = response.headers.find("date");
  const auto date = found == response.headers.end() ? std::nullopt : parse_http_date(found->second);
  return date.value_or(sys::wall_now());
}

sys::HttpRequest base_request(const std::string& method, std::string url, Duration deadline) {
  sys::HttpRequest http;
  http.method = method;
  http.url = std::move(url);
  http.deadline = deadline;
  http.connect_deadline = std::min(http.connect_deadline, deadline);
  http.max_body = kMaxBody;
  return http;
}

// Nothing: there is no message so far.
Result<std::optional<QueueMessage>> message_of(const Result<sys::HttpResponse>& reply) {
  if (!reply) return fail(explain_loss(reply.error()));
  if (!is_success(reply->status)) {
    return fail(explain_service(reply->status, reply->headers, reply->body, "GET of a message"));
  }
  if (reply->status == 202 || reply->body.empty()) return std::optional<QueueMessage>();
  TRY_ASSIGN(QueueMessage message, decode_queue_message(reply->body));
  return std::optional<QueueMessage>(std::move(message));
}

}  // namespace

struct ScaleSets::Flight {
  Call call;
  ReplyDone done;
  std::uint32_t failures = 0;
  bool has_other_token = false;  // goes a second time, after a 401
  sys::Timer timer;
  std::unique_ptr<sys::HttpCall> http;
};

ScaleSets::ScaleSets(sys::Loop& loop, sys::HttpClient& http, Place place, Tuning tuning,
                     Register register_scope)
    : loop_(loop),
      http_(http),
      place_(std::move(place)),
      tuning_(tuning),
      register_(std::move(register_scope)) {}

ScaleSets::~ScaleSets() = default;

Error ScaleSets::named(Error error) const {
  return with_context(std::move(error), "the scale sets of " + place_.scope);
}

// ---- the way in --------------------------------------------------------------------------------

void ScaleSets::connect() {
  if (std::exchange(is_connecting_, true)) return;
  register_([this, alive = std::weak_ptr<bool>(alive_)](Result<Secret> token) {
    if (alive.expired()) return;
    if (token) return register_with(std::move(*token), 0);
    connected(&token.error());
  });
}

void ScaleSets::register_with(Secret token, std::uint32_t failures) {
  auto http = base_request("POST", place_.base + "/actions/runner-registration", tuning_.deadline);
  http.headers = {{"Accept", "application/json"}, {"Content-Type", "application/json"}};
  http.scheme = "RemoteAuth";
  http.bearer = token.copy();
  http.body = encode_registration(place_.url);
  auto kept = std::make_shared<Secret>(std::move(token));
  registration_ =
      http_.send(std::move(http), [this, kept, failures](Result<sys::HttpResponse> response) {
        on_registered(std::move(response), kept, failures);
      });
}

// A token just made is not known everywhere at once: it is tried again where it is refused, too.
void ScaleSets::on_registered(Result<sys::HttpResponse> response,
                              const std::shared_ptr<Secret>& token, std::uint32_t failures) {
  if (response && is_success(response->status)) return take(*response);
  const std::string label = "POST /actions/runner-registration";
  const Error error =
      response ? explain_service(response->status, response->headers, response->body, label)
               : explain_loss(with_context(response.error(), label));
  const bool may_pass =
      is_passing(error.code) || error.code == Errc::unauthorized || error.code == Errc::denied;
  if (!may_pass || failures >= tuning_.retries) return connected(&error);
  const Duration pause = core::backoff_delay(tuning_.retry_backoff, failures + 1, place_.scope);
  retry_ = loop_.call_at(loop_.now() + pause,
                         [this, token, failures] { register_with(token->copy(), failures + 1); });
}

void ScaleSets::take(sys::HttpResponse& response) {
  auto made = decode_admin_connection(response.body, may_be_plain());
  wipe(response.body);
  if (!made) {
    const Error error = std::move(made).error();
    return connected(&error);
  }
  const WallTime date = date_of(response);
  const WallTime expires = jwt_expiry(made->token.expose()).value_or(date + kUnknownLife);
  refresh_at_ = refresh_time(loop_.now(), date, expires);
  expires_at_ = loop_.now() + std::max(Duration{0}, expires - date);
  connection_ = std::move(*made);
  connected_at_ = loop_.now();
  connected(nullptr);
}

// What waited goes, or learns why it cannot. A connection that cannot be renewed is used for as
// long as it lasts.
void ScaleSets::connected(const Error* error) {
  is_connecting_ = false;
  std::optional<Error> why;
  if (error != nullptr && connection_ && loop_.now() < expires_at_) {
    refresh_at_ = std::min(expires_at_, loop_.now() + kRenewPause);
  } else if (error != nullptr) {
    why = named(*error);
  }
  const std::vector<std::uint64_t> waiting = std::exchange(waiting_, {});
  const std::weak_ptr<bool> alive = alive_;
  for (const std::uint64_t id : waiting) {
    if (alive.expired()) return;
    if (!flights_.contains(id)) continue;
    if (!why) {
      launch(id);
    } else {
      finish(id, fail(*why));
    }
  }
}

// ---- one request -------------------------------------------------------------------------------

void ScaleSets::send(Call call, ReplyDone done) {
  const std::uint64_t id = next_id_++;
  auto flight = std::make_unique<Flight>();
  flight->call = std::move(call);
  flight->done = std::move(done);
  flights_[id] = std::move(flight);
  launch(id);
}

void ScaleSets::launch(std::uint64_t id) {
  Flight& flight = *flights_.at(id);
  const Call& call = flight.call;
  const bool needs_connection = call.token.empty() || call.url.empty();
  if (needs_connection && (!connection_ || loop_.now() >= refresh_at_)) {
    waiting_.push_back(id);
    return connect();
  }
  std::string url = call.url;
  if (url.empty()) {
    const char* joint = call.path.find('?') == std::string::npos ? "?" : "&";
    url = connection_->url + call.path + joint + std::string(kVersion);
  }
  auto http = base_request(call.method, std::move(url), tuning_.deadline);
  http.headers["Accept"] = "application/json; " + std::string(kVersion);
  if (!call.body.empty()) http.headers["Content-Type"] = "application/json";
  http.bearer = call.token.empty() ? connection_->token.copy() : call.token.copy();
  http.body = call.body;
  flight.http = http_.send(std::move(http), [this, id](Result<sys::HttpResponse> response) {
    on_response(id, std::move(response));
  });
}

bool ScaleSets::try_again(std::uint64_t id) {
  Flight& flight = *flights_.at(id);
  if (flight.call.method != "GET" || flight.failures >= tuning_.retries) return false;
  const Duration pause =
      core::backoff_delay(tuning_.retry_backoff, ++flight.failures, flight.call.label);
  flight.timer = loop_.call_at(loop_.now() + pause, [this, id] { launch(id); });
  return true;
}

void ScaleSets::on_response(std::uint64_t id, Result<sys::HttpResponse> response) {
  Flight& flight = *flights_.at(id);
  const std::string& label = flight.call.label;
  if (!response) {
    if (is_passing(response.error().code) && try_again(id)) return;
    return finish(id, fail(named(explain_loss(with_context(response.error(), label)))));
  }
  if (is_success(response->status)) return finish(id, std::move(response));
  Error error = explain_service(response->status, response->headers, response->body, label);
  const bool is_ours = flight.call.token.empty();  // the service's token, which we can renew
  if (error.code == Errc::unauthorized && is_ours && !std::exchange(flight.has_other_token, true)) {
    connection_.reset();
    return launch(id);
  }
  if (error.code == Errc::unavailable && try_again(id)) return;
  // Not the service's own word for what is missing: it may have moved.
  const bool is_lost = response->status == 404 && !is_fault(response->body);
  if (is_lost && is_ours && loop_.now() - connected_at_ > kRenewPause) connection_.reset();
  finish(id, fail(named(std::move(error))));
}

// Last in its caller: the callback may destroy this object.
void ScaleSets::finish(std::uint64_t id, Result<sys::HttpResponse> result) {
  const auto found = flights_.find(id);
  const ReplyDone done = std::move(found->second->done);
  flights_.erase(found);
  done(std::move(result));
}

// ---- sets --------------------------------------------------------------------------------------

void ScaleSets::reach(Done<bool> done) {
  Call call;
  call.path = "_apis/runtime/runnergroups/";
  call.label = "list runner groups";
  send(std::move(call), [done = std::move(done)](const Result<sys::HttpResponse>& reply) {
    if (!reply) return done(fail(reply.error()));
    done(true);
  });
}

void ScaleSets::ensure(const SetWish& wish, Done<std::int64_t> done) {
  find_group(wish, [this, wish, done = std::move(done)](Result<std::int64_t> group) {
    if (!group) return done(fail(std::move(group.error())));
    find_set(wish, *group, done);
  });
}

void ScaleSets::find_group(const SetWish& wish, Done<std::int64_t> done) {
  // Answers from the loop like the others do: what follows is a request anyway.
  if (wish.group.empty()) return done(kDefaultGroup);
  Call call;
  call.path = "_apis/runtime/runnergroups/?groupName=" + encode_segment(wish.group);
  call.label = "look up the runner group \"" + wish.group + "\"";
  send(std::move(call), [this, wish, done = std::move(done)](Result<sys::HttpResponse> reply) {
    if (!reply) return done(fail(std::move(reply.error())));
    auto id = decode_group_id(reply->body, wish.group);
    if (!id) return done(fail(named(std::move(id.error()))));
    if (*id) return done(**id);
    done(fail(named(Error{Errc::not_found, "there is no runner group \"" + wish.group + "\"",
                          "check runner_group of the scope"})));
  });
}

void ScaleSets::find_set(const SetWish& wish, std::int64_t group, Done<std::int64_t> done) {
  Call call;
  call.path = "_apis/runtime/runnerscalesets?runnerGroupId=" + std::to_string(group) +
              "&name=" + encode_segment(wish.name);
  call.label = "look up the scale set \"" + wish.name + "\"";
  send(std::move(call),
       [this, wish, group, done = std::move(done)](Result<sys::HttpResponse> reply) {
         if (!reply) return done(fail(std::move(reply.error())));
         auto sets = decode_scale_sets(reply->body);
         if (!sets) return done(fail(named(std::move(sets.error()))));
         const auto same = std::ranges::find(*sets, wish.name, &ScaleSet::name);
         shape_set(wish, group, same == sets->end() ? std::nullopt : std::optional(*same), done);
       });
}

// Makes the set, or changes the one there is.
void ScaleSets::shape_set(const SetWish& wish, std::int64_t group,
                          const std::optional<ScaleSet>& found, Done<std::int64_t> done) {
  if (found && !differs(*found, wish)) {
    sets_[{wish.group, wish.name}] = found->id;
    return done(found->id);
  }
  Call call;
  call.method = found ? "PATCH" : "POST";
  call.path = found ? set_path(found->id, "") : "_apis/runtime/runnerscalesets";
  call.body = encode_scale_set(wish, group);
  call.label = (found ? "change the scale set \"" : "make the scale set \"") + wish.name + "\"";
  send(std::move(call), [this, wish, done = std::move(done)](Result<sys::HttpResponse> reply) {
    if (!reply) return done(fail(std::move(reply.error())));
    auto set = decode_scale_set(reply->body);
    if (!set) return done(fail(named(std::move(set.error()))));
    sets_[{wish.group, wish.name}] = set->id;
    done(set->id);
  });
}

// ---- sessions ----------------------------------------------------------------------------------

void ScaleSets::session_call(Call call, Done<QueueSession> done) {
  send(std::move(call), [this, done = std::move(done)](Result<sys::HttpResponse> reply) {
    if (!reply) return done(fail(std::move(reply.error())));
    auto session = decode_session(reply->body, may_be_plain());
    wipe(reply->body);
    if (!session) return done(fail(named(std::move(session.error()))));
    done(std::move(session));
  });
}

void ScaleSets::open_session(std::int64_t set, const std::string& owner, Done<QueueSession> done) {
  Call call;
  call.method = "POST";
  call.path = set_path(set, "/sessions");
  call.body = encode_session(owner);
  call.label = "open a session of scale set " + std::to_string(set);
  session_call(std::move(call), std::move(done));
}

void ScaleSets::refresh_session(std::int64_t set, const std::string& session,
                                Done<QueueSession> done) {
  Call call;
  call.method = "PATCH";
  call.path = set_path(set, "/sessions/" + session);
  call.label = "refresh the session of scale set " + std::to_string(set);
  session_call(std::move(call), std::move(done));
}

void ScaleSets::close_session(std::int64_t set, const std::string& session, Done<bool> done) {
  Call call;
  call.method = "DELETE";
  call.path = set_path(set, "/sessions/" + session);
  call.label = "close the session of scale set " + std::to_string(set);
  send(std::move(call), [done = std::move(done)](const Result<sys::HttpResponse>& reply) {
    if (reply) return done(true);
    if (reply.error().code == Errc::not_found) return done(false);
    done(fail(reply.error()));
  });
}

std::unique_ptr<sys::HttpCall> ScaleSets::poll(const QueueSession& session, const Poll& poll,
                                               Done<std::optional<QueueMessage>> done) {
  auto http = base_request("GET", queue_poll_url(session.queue, poll.last), tuning_.poll_deadline);
  http.headers = {{"Accept", "application/json; " + std::string(kVersion)},
                  {"X-ScaleSetMaxCapacity", std::to_string(poll.capacity)}};
  http.bearer = session.token.copy();
  // The caller may outlive this object.
  return http_.send(std::move(http), [scope = place_.scope, done = std::move(done)](
                                         const Result<sys::HttpResponse>& reply) {
    auto answer = message_of(reply);
    done(context(std::move(answer), "the message queue of " + scope));
  });
}

void ScaleSets::acquire(std::int64_t set, const QueueSession& session,
                        const std::vector<std::int64_t>& requests, Done<bool> done) {
  Call call;
  call.method = "POST";
  call.path = set_path(set, "/acquirejobs");
  call.token = session.token.copy();
  call.body = encode_acquired(requests);
  call.label = "acquire jobs for scale set " + std::to_string(set);
  send(std::move(call), [done = std::move(done)](const Result<sys::HttpResponse>& reply) {
    if (!reply) return done(fail(reply.error()));
    done(true);
  });
}

void ScaleSets::acknowledge(const QueueSession& session, std::int64_t message, Done<bool> done) {
  Call call;
  call.method = "DELETE";
  call.url = queue_message_url(session.queue, message);
  call.token = session.token.copy();
  call.label = "delete message " + std::to_string(message) + " from the queue";
  send(std::move(call), [done = std::move(done)](const Result<sys::HttpResponse>& reply) {
    if (reply) return done(true);
    if (reply.error().code == Errc::not_found) return done(false);
    done(fail(reply.error()));
  });
}

// ---- runners -----------------------------------------------------------------------------------

void ScaleSets::generate_jit(const SetWish& wish, const std::string& runner, Done<JitConfig> done) {
  const auto known = sets_.find({wish.group, wish.name});
  if (known != sets_.end()) return post_jit(known->second, wish, runner, std::move(done));
  ensure(wish, [this, wish, runner, done = std::move(done)](Result<std::int64_t> set) {
    if (!set) return done(fail(std::move(set.error())));
    post_jit(*set, wish, runner, done);
  });
}

void ScaleSets::post_jit(std::int64_t set, const SetWish& wish, const std::string& runner,
                         Done<JitConfig> done) {
  Call call;
  call.method = "POST";
  call.path = set_path(set, "/generatejitconfig");
  call.body = encode_set_jit_request(runner);
  call.label = "register a runner of the scale set \"" + wish.name + "\"";
  send(std::move(call), [this, wish, runner,
                         done = std::move(done)](Result<sys::HttpResponse> reply) {
    if (!reply) {
      // The set may have been deleted and made anew: look it up again next time.
      sets_.erase({wish.group, wish.name});
      return done(fail(std::move(reply.error())));
    }
    auto config = decode_set_jit(reply->body);
    wipe(reply->body);
    if (config && config->runner.name != runner) {
      config = fail(Errc::protocol, "GitHub answered with the configuration of another runner");
    }
    if (!config) return done(fail(named(std::move(config.error()))));
    done(std::move(config));
  });
}

void ScaleSets::delete_runner(std::int64_t id, Done<bool> done) {
  Call call;
  call.method = "DELETE";
  call.path = "_apis/distributedtask/pools/0/agents/" + std::to_string(id);
  call.label = "delete runner " + std::to_string(id);
  send(std::move(call), [done = std::move(done)](const Result<sys::HttpResponse>& reply) {
    if (reply) return done(true);
    if (reply.error().code == Errc::not_found) return done(false);
    done(fail(reply.error()));
  });
}

}  // namespace mvr::github
