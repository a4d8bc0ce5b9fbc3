#include "github/client.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "github/errors.h"
#include "github/listing.h"
#include "github/pages.h"
#include "github/transport.h"
#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr Duration kKeepGroup{3'600'000};
constexpr std::size_t kMostRunnerPages = 100;  // GitHub's 10,000 runners of a group

// `labels` and `more`, in order, each once whatever its case.
std::vector<std::string> join_labels(const std::vector<std::string>& labels,
                                     const std::vector<std::string>& more) {
  std::vector<std::string> all;
  std::set<std::string> seen;
  for (const auto* list : {&labels, &more}) {
    for (const std::string& label : *list) {
      if (seen.insert(ascii_lower(label)).second) all.push_back(label);
    }
  }
  return all;
}

// The answer holds a private key; it must not lie around in freed memory.
void wipe(std::string& text) { std::fill(text.begin(), text.end(), '\0'); }

Result<JitConfig> jit_of(ApiReply& reply, const std::string& name) {
  auto config = decode_jit(reply.body);
  wipe(reply.body);
  if (config && config->runner.name != name) {
    return fail(Errc::protocol, "GitHub answered with the configuration of another runner");
  }
  return config;
}

std::string token_file_of(const core::GithubSettings& settings) {
  return settings.token_file.empty() ? settings.token_env_file : settings.token_file;
}

}  // namespace

struct Client::State {
  State(sys::Loop& the_loop, std::string the_base, const core::GithubSettings& settings,
        std::unique_ptr<Transport> the_transport)
      : loop(the_loop),
        base(std::move(the_base)),
        token_file(token_file_of(settings)),
        extra_labels(settings.extra_labels),
        transport(std::move(the_transport)),
        fetcher(*transport),
        lister(loop, fetcher, base, token_file) {}

  struct Group {
    std::int64_t id = 0;
    Instant good_until{};
  };

  [[nodiscard]] CallInfo about(Endpoint endpoint, const core::Scope& scope,
                               std::string label) const {
    return CallInfo{endpoint, scope.kind, std::move(label), token_file};
  }
  void find_group(const core::Scope& scope, Done<std::int64_t> done);
  void post_jit(const core::Scope& scope, JitRequest request, Done<JitConfig> done);

  sys::Loop& loop;
  std::string base;
  std::string token_file;
  std::vector<std::string> extra_labels;
  std::map<std::pair<std::string, std::string>, Group> groups;  // by organisation and name
  // In this order: what is below uses what is above.
  std::unique_ptr<Transport> transport;
  Fetcher fetcher;
  Lister lister;
};

// Asks for the id of the scope's runner group. Only for organisations that name one.
void Client::State::find_group(const core::Scope& scope, Done<std::int64_t> done) {
  PageQuery<RunnerGroup> query;
  query.url = groups_url(base, scope.owner);
  query.about = about(Endpoint::list_groups, scope, request_label("GET", query.url));
  query.decode = decode_groups;
  fetcher.fetch<RunnerGroup>(
      std::move(query), [this, scope, done = std::move(done)](Result<Pages<RunnerGroup>> pages) {
        if (!pages) return done(fail(std::move(pages.error())));
        for (const RunnerGroup& group : pages->items) {
          if (ascii_lower(group.name) != ascii_lower(scope.runner_group)) continue;
          groups[{scope.owner, scope.runner_group}] = Group{group.id, loop.now() + kKeepGroup};
          return done(group.id);
        }
        done(fail(Errc::not_found, "the organisation " + scope.owner + " has no runner group \"" +
                                       printable(scope.runner_group, 100) +
                                       "\" that this token sees; check runner_group of the scope"));
      });
}

void Client::State::post_jit(const core::Scope& scope, JitRequest request, Done<JitConfig> done) {
  ApiRequest call;
  call.method = "POST";
  call.url = jit_url(base, scope);
  call.body = encode_jit_request(request);
  call.about = about(Endpoint::generate_jit, scope, request_label("POST", call.url));
  const std::string label = call.about.label;
  auto finish = [this, scope, label, name = std::move(request.name),
                 done = std::move(done)](Result<ApiReply> reply) {
    if (!reply) {
      // The group may have been deleted and made anew: look it up again next time.
      groups.erase({scope.owner, scope.runner_group});
      return done(fail(std::move(reply.error())));
    }
    done(context(jit_of(*reply, name), label));
  };
  transport->send(std::move(call), std::move(finish));
}

Client::Client() = default;
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::create(sys::Loop& loop,
                                               const core::GithubSettings& settings, Secret token,
                                               Tuning tuning) {
  TRY_ASSIGN(std::string base, api_base(settings.url));
  TRY_ASSIGN(auto transport, Transport::create(loop, std::move(token), tuning));
  std::unique_ptr<Client> made(new Client());
  made->state_ = std::make_unique<State>(loop, std::move(base), settings, std::move(transport));
  return made;
}

bool Client::renew(const core::GithubSettings& settings, Secret token) {
  state_->token_file = token_file_of(settings);
  state_->lister.set_token_file(state_->token_file);
  state_->extra_labels = settings.extra_labels;
  return state_->transport->set_token(std::move(token));
}

void Client::generate_jit(const core::Scope& scope, const std::string& runner_name,
                          const std::vector<std::string>& labels, Done<JitConfig> done) {
  JitRequest request;
  request.name = runner_name;
  request.labels = join_labels(labels, state_->extra_labels);
  const bool is_default = scope.kind == core::ScopeKind::repository || scope.runner_group.empty();
  if (is_default) return state_->post_jit(scope, std::move(request), std::move(done));
  const auto known = state_->groups.find({scope.owner, scope.runner_group});
  if (known != state_->groups.end() && state_->loop.now() < known->second.good_until) {
    request.group = known->second.id;
    return state_->post_jit(scope, std::move(request), std::move(done));
  }
  state_->find_group(scope, [state = state_.get(), scope, request = std::move(request),
                             done = std::move(done)](Result<std::int64_t> group) mutable {
    if (!group) return done(fail(std::move(group.error())));
    request.group = *group;
    state->post_jit(scope, std::move(request), std::move(done));
  });
}

void Client::list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done) {
  PageQuery<RunnerRecord> query;
  query.url = runners_url(state_->base, scope);
  query.about = state_->about(Endpoint::list_runners, scope, request_label("GET", query.url));
  query.decode = decode_runners;
  query.most_pages = kMostRunnerPages;
  state_->fetcher.fetch<RunnerRecord>(
      std::move(query), [done = std::move(done)](Result<Pages<RunnerRecord>> pages) {
        if (!pages) return done(fail(std::move(pages.error())));
        if (!pages->whole) {
          return done(fail(Errc::too_large,
                           "the scope has more runners than mvrunner reads; "
                           "remove those that are offline for good"));
        }
        done(std::move(pages->items));
      });
}

void Client::delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done) {
  ApiRequest call;
  call.method = "DELETE";
  call.url = runner_url(state_->base, scope, id);
  call.about = state_->about(Endpoint::delete_runner, scope, request_label("DELETE", call.url));
  state_->transport->send(std::move(call), [done = std::move(done)](Result<ApiReply> reply) {
    if (reply) return done(true);
    if (reply.error().code == Errc::not_found) return done(false);
    done(fail(std::move(reply.error())));
  });
}

void Client::queued_jobs(const core::Scope& scope, Done<JobListing> done) {
  state_->lister.list(scope, std::move(done));
}

Instant Client::not_before() const { return state_->transport->not_before(); }
unsigned Client::stretch() const { return state_->transport->stretch(); }

}  // namespace mvr::github
