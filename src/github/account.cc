#include "github/account.h"

#include <algorithm>

#include "base/text.h"
#include "github/catalogue.h"
#include "github/permissions.h"
#include "github/url.h"

namespace mvr::github {
namespace {

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

bool is_local(const Error& error) {
  return error.code == Errc::not_found || error.code == Errc::denied;
}

Account::Account(sys::Loop& loop, std::string base, TokenSource& source,
                 std::unique_ptr<Transport> transport)
    : loop_(loop),
      base_(std::move(base)),
      source_(source),
      transport_(std::move(transport)),
      fetcher_(*transport_),
      groups_(loop, fetcher_, base_),
      lister_(loop, fetcher_, base_),
      job_facts_(loop, *transport_, base_) {}

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
      groups_.forget(scope);  // the group may have been deleted and made anew
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
  groups_.find(scope, [this, scope, request = std::move(request),
                       done = std::move(done)](Result<RunnerGroup> group) mutable {
    if (!group) return done(fail(std::move(group.error())));
    request.group = group->id;
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

void Account::runner_release(const core::Scope& scope, const std::string& version,
                             Done<ReleaseDates> done) {
  ApiRequest call;
  call.url = runner_release_url(base_, scope, version);
  call.about = about(Endpoint::runner_release, scope, request_label("GET", call.url));
  const std::string label = call.about.label;
  transport_->send(std::move(call), [label, done = std::move(done)](Result<ApiReply> reply) {
    if (reply) return done(context(decode_release_dates(reply->body), label));
    if (reply.error().code == Errc::not_found) return done(ReleaseDates{});
    done(fail(std::move(reply.error())));
  });
}

void Account::runner_downloads(const core::Scope& scope, Done<std::vector<RunnerDownload>> done) {
  ApiRequest call;
  call.url = runner_downloads_url(base_, scope);
  call.about = about(Endpoint::runner_downloads, scope, request_label("GET", call.url));
  const std::string label = call.about.label;
  transport_->send(std::move(call), [label, done = std::move(done)](Result<ApiReply> reply) {
    if (!reply) return done(fail(std::move(reply.error())));
    auto downloads = decode_runner_downloads(reply->body);
    wipe(reply->body);
    done(context(std::move(downloads), label));
  });
}

// What the credential lacks, as far as GitHub has said what it may do.
std::optional<Error> Account::lacking(const core::Scope& scope) const {
  const Authority authority = source_.authority();
  if (const Permissions* granted = source_.permissions()) {
    const std::string lacks = lacking_permissions(scope, *granted);
    if (lacks.empty()) return std::nullopt;
    return Error{Errc::denied, "the GitHub App " + authority.app + " lacks " + lacks,
                 std::string(known_answer("app_denied").remedy)};
  }
  // An empty list is what a token without scopes has, such as a fine-grained one: GitHub's own CLI
  // reads it so, too.
  const std::string scopes = transport_->oauth_scopes().value_or("");
  const std::string lacks = scopes.empty() ? "" : lacking_scopes(scope, scopes);
  if (lacks.empty()) return std::nullopt;
  return Error{Errc::denied,
               "the classic token of " + authority.place + " lacks the scope " + lacks +
                   ", it has: " + printable(scopes, 200),
               "add it in the token settings of GitHub"};
}

AccountState Account::state(std::string name) const {
  const Quota& quota = transport_->quota();
  AccountState state;
  state.name = std::move(name);
  state.limit = quota.budget().limit;
  state.remaining = quota.budget().remaining;
  state.allowance = quota.allowance();
  state.charged = quota.charged(loop_.now());
  for (const auto& [what, count] : transport_->counts()) {
    state.counts.push_back({endpoint_name(what.first), outcome_name(what.second), count});
  }
  return state;
}

// Runs from the first repository to the last.
struct Account::Round {
  core::Scope scope;
  Done<JobListing> done;
  std::vector<std::string> repositories;
  std::size_t next = 0;
  std::size_t failed = 0;
  JobListing listing;
};

void Account::queued_jobs(const core::Scope& scope, Done<JobListing> done) {
  auto round = std::make_shared<Round>();
  round->scope = scope;
  round->done = std::move(done);
  repositories(scope, [this, round](Result<std::vector<std::string>> names) {
    if (!names) return round->done(fail(std::move(names.error())));
    round->repositories = std::move(*names);
    round->listing.as_of = loop_.now();
    look_at_next(round);
  });
}

// One repository that is gone or closed to the token must not stop all others of an organisation.
void Account::look_at_next(const std::shared_ptr<Round>& round) {
  const std::size_t count = round->repositories.size();
  if (round->next == count) {
    if (round->failed > 0 && round->failed == count) {
      return round->done(fail(std::move(*round->listing.gap)));
    }
    return round->done(std::move(round->listing));
  }
  const std::string& name = round->repositories[round->next++];
  repository_jobs(round->scope, name, [this, round](Result<JobListing> part) {
    JobListing& all = round->listing;
    if (part) {
      all.as_of = std::min(all.as_of, part->as_of);
      all.is_active = all.is_active || part->is_active;
      all.jobs.insert(all.jobs.end(), part->jobs.begin(), part->jobs.end());
    } else if (!is_local(part.error()) || round->repositories.size() == 1) {
      return round->done(fail(std::move(part.error())));
    } else {
      ++round->failed;
      if (!all.gap) all.gap = std::move(part.error());
    }
    look_at_next(round);
  });
}

void Account::repositories(const core::Scope& scope, Done<std::vector<std::string>> done) {
  const bool is_installation = source_.authority().kind == Authority::Kind::installation;
  lister_.repositories(scope, is_installation, std::move(done));
}

void Account::repository_jobs(const core::Scope& scope, const std::string& repository,
                              Done<JobListing> done) {
  lister_.list(scope, repository,
               [this, scope, repository, done = std::move(done)](Result<JobListing> listing) {
                 check_rights(scope, listing);
                 if (!listing || listing->jobs.empty()) return done(std::move(listing));
                 ask_group(scope, repository, std::move(*listing), done);
               });
}

// GitHub would leave the jobs waiting beside idle runners of a group that is not for them.
void Account::ask_group(const core::Scope& scope, const std::string& repository, JobListing listing,
                        Done<JobListing> done) {
  const bool is_public = listing.jobs.front().is_public;
  groups_.bar(scope, repository, is_public,
              [listing = std::move(listing), done = std::move(done)](core::GroupBar bar) mutable {
                for (core::JobHint& job : listing.jobs) job.bar = bar;
                done(std::move(listing));
              });
}

void Account::check_rights(const core::Scope& scope, Result<JobListing>& listing) {
  const bool is_about_rights = listing || is_local(listing.error());
  auto lacks = is_about_rights ? lacking(scope) : std::nullopt;
  if (!lacks) return;
  // A token has the permissions of when it was made: once they are granted, it takes a new one.
  (void)source_.drop();
  listing = fail(with_context(std::move(*lacks), scope.id()));
}

}  // namespace mvr::github
