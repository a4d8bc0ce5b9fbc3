#include "github/account.h"

#include <algorithm>

#include "base/text.h"
#include "github/permissions.h"
#include "github/url.h"

namespace mvr::github {
namespace {

constexpr Duration kKeepGroup{3'600'000};
constexpr std::size_t kMostRunnerPages = 100;  // GitHub's 10,000 runners of a group

CallInfo about(Endpoint endpoint, const core::Scope& scope, std::string label) {
  return CallInfo{endpoint, scope.kind, std::move(label)};
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

}  // namespace

Account::Account(sys::Loop& loop, std::string base, TokenSource& source,
                 std::unique_ptr<Transport> transport)
    : loop_(loop),
      base_(std::move(base)),
      source_(source),
      transport_(std::move(transport)),
      fetcher_(*transport_),
      lister_(loop, fetcher_, base_) {}

// Asks for the id of the scope's runner group. Only for scopes that name one.
void Account::find_group(const core::Scope& scope, Done<std::int64_t> done) {
  PageQuery<RunnerGroup> query;
  query.url = groups_url(base_, scope);
  query.about = about(Endpoint::list_groups, scope, request_label("GET", query.url));
  query.decode = decode_groups;
  fetcher_.fetch<RunnerGroup>(
      std::move(query), [this, scope, done = std::move(done)](Result<Pages<RunnerGroup>> pages) {
        if (!pages) return done(fail(std::move(pages.error())));
        for (const RunnerGroup& group : pages->items) {
          if (ascii_lower(group.name) != ascii_lower(scope.runner_group)) continue;
          groups_[{scope.id(), scope.runner_group}] = Group{group.id, loop_.now() + kKeepGroup};
          return done(group.id);
        }
        done(fail(Errc::not_found, scope.id() + " has no runner group \"" +
                                       printable(scope.runner_group, 100) +
                                       "\" that this token sees; check runner_group of the scope"));
      });
}

void Account::post_jit(const core::Scope& scope, JitRequest request, Done<JitConfig> done) {
  ApiRequest call;
  call.method = "POST";
  call.url = jit_url(base_, scope);
  call.body = encode_jit_request(request);
  call.about = about(Endpoint::generate_jit, scope, request_label("POST", call.url));
  const std::string label = call.about.label;
  auto finish = [this, scope, label, name = std::move(request.name),
                 done = std::move(done)](Result<ApiReply> reply) {
    if (!reply) {
      // The group may have been deleted and made anew: look it up again next time.
      groups_.erase({scope.id(), scope.runner_group});
      return done(fail(std::move(reply.error())));
    }
    done(context(jit_of(*reply, name), label));
  };
  transport_->send(std::move(call), std::move(finish));
}

void Account::generate_jit(const core::Scope& scope, const std::string& runner_name,
                           std::vector<std::string> labels, Done<JitConfig> done) {
  JitRequest request;
  request.name = runner_name;
  request.labels = std::move(labels);
  const bool is_default = scope.kind == core::ScopeKind::repository || scope.runner_group.empty();
  if (is_default) return post_jit(scope, std::move(request), std::move(done));
  const auto known = groups_.find({scope.id(), scope.runner_group});
  if (known != groups_.end() && loop_.now() < known->second.good_until) {
    request.group = known->second.id;
    return post_jit(scope, std::move(request), std::move(done));
  }
  find_group(scope, [this, scope, request = std::move(request),
                     done = std::move(done)](Result<std::int64_t> group) mutable {
    if (!group) return done(fail(std::move(group.error())));
    request.group = *group;
    post_jit(scope, std::move(request), std::move(done));
  });
}

void Account::list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done) {
  PageQuery<RunnerRecord> query;
  query.url = runners_url(base_, scope);
  query.about = about(Endpoint::list_runners, scope, request_label("GET", query.url));
  query.decode = decode_runners;
  query.most_pages = kMostRunnerPages;
  fetcher_.fetch<RunnerRecord>(
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

void Account::delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done) {
  ApiRequest call;
  call.method = "DELETE";
  call.url = runner_url(base_, scope, id);
  call.about = about(Endpoint::delete_runner, scope, request_label("DELETE", call.url));
  transport_->send(std::move(call), [done = std::move(done)](Result<ApiReply> reply) {
    if (reply) return done(true);
    if (reply.error().code == Errc::not_found) return done(false);
    done(fail(std::move(reply.error())));
  });
}

// What the credential lacks, as far as GitHub has said what it may do; empty: nothing.
std::string Account::lacking(const core::Scope& scope) const {
  const Authority authority = source_.authority();
  if (const Permissions* granted = source_.permissions()) {
    const std::string lacks = lacking_permissions(scope, *granted);
    if (lacks.empty()) return {};
    return "the GitHub App " + authority.app + " lacks " + lacks +
           "; grant it in the App's settings, and accept it in the account where it is installed";
  }
  // An empty list is what a token without scopes has, such as a fine-grained one: GitHub's own CLI
  // reads it so, too.
  const std::string scopes = transport_->oauth_scopes().value_or("");
  const std::string lacks = scopes.empty() ? "" : lacking_scopes(scope, scopes);
  if (lacks.empty()) return {};
  return "the classic token of " + authority.place + " lacks the scope " + lacks +
         ", it has: " + printable(scopes, 200) + "; add it in the token settings of GitHub";
}

void Account::queued_jobs(const core::Scope& scope, Done<JobListing> done) {
  lister_.list(scope, [this, scope, done = std::move(done)](Result<JobListing> listing) {
    const bool is_about_rights =
        listing || listing.error().code == Errc::denied || listing.error().code == Errc::not_found;
    const std::string lacks = is_about_rights ? lacking(scope) : "";
    if (lacks.empty()) return done(std::move(listing));
    // A token has the permissions of when it was made: once they are granted, it takes a new one.
    (void)source_.drop();
    done(fail(Errc::denied, scope.id() + ": " + lacks));
  });
}

}  // namespace mvr::github
