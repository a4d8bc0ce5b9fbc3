#include "github/client.h"

#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "github/account.h"
#include "github/app.h"
#include "github/clock.h"
#include "github/scale_sets.h"
#include "github/url.h"

namespace mvr::github {
namespace {

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

// Apps are told apart by id and key; an installation that is given is a matter of the scope.
using AppPlace = std::pair<std::string, std::string>;
AppPlace place_of_app(const core::Credentials& from) { return {from.app->id, place_of(from)}; }

}  // namespace

struct Client::State {
  State(sys::Loop& the_loop, std::string the_base, Tuning the_tuning)
      : loop(the_loop), base(std::move(the_base)), tuning(the_tuning) {}

  using Found = std::function<void(Result<Account*>)>;
  // An account by a token of the operator's.
  struct ByToken {
    std::unique_ptr<FixedToken> source;
    std::unique_ptr<Account> account;
  };
  // An account by an installation of an App.
  struct ByApp {
    std::unique_ptr<InstallationToken> source;
    std::unique_ptr<Account> account;
  };

  void take(const core::GithubSettings& settings);
  bool take(const core::Credentials& from, Proof proof);
  [[nodiscard]] const core::Credentials& credentials_of(const core::Scope& scope) const;
  void find(const core::Scope& scope, Found found);
  template <class T>
  void with_account(const core::Scope& scope, Done<T> done,
                    std::function<void(Account&, Done<T>)> use);
  Result<Account*> by_token(const core::Credentials& from);
  Result<Account*> by_app(App& app, std::int64_t installation);
  Result<App*> app_of(const core::Credentials& from);
  [[nodiscard]] Account* known(const core::Scope& scope) const;
  [[nodiscard]] const App* known_app(const core::Scope& scope) const;
  ScaleSets& scale_sets(const core::Scope& scope);
  [[nodiscard]] bool has_scale_sets(const core::Scope& scope) const;
  [[nodiscard]] Transport::OnClock clock_watch();
  void later(std::function<void()> act);
  // Answers later() what may be answered from inside a call.
  template <class T>
  Done<T> from_loop(Done<T> done) {
    return [this, done = std::move(done)](Result<T> result) {
      later([done, result = std::move(result)]() mutable { done(std::move(result)); });
    };
  }
  void act();

  sys::Loop& loop;
  std::string base;
  std::string web_url;
  Tuning tuning;
  std::vector<std::string> extra_labels;
  core::Credentials fallback;                       // of scopes that name none
  std::map<std::string, core::Credentials> routes;  // by id of the scope
  std::map<std::string, core::Feed> feeds;          // likewise
  Keyring keyring;
  std::function<void(Duration)> on_clock_skew;
  bool is_clock_known_off = false;
  // In this order: what is below uses what is above. Nothing is taken out: VMs of former scopes
  // have runners to delete.
  std::map<AppPlace, std::unique_ptr<App>> apps;
  std::map<core::Credentials, ByToken> by_tokens;
  std::map<std::pair<const App*, std::int64_t>, ByApp> by_apps;
  std::deque<std::function<void()>> acts;
  sys::Timer timer;
  std::unique_ptr<sys::HttpClient> http;                   // of what follows
  std::map<std::string, std::unique_ptr<ScaleSets>> sets;  // by id of the scope
};

void Client::State::take(const core::GithubSettings& settings) {
  extra_labels = settings.extra_labels;
  tuning.quota_share = settings.quota_share;
  for (const auto& [from, known] : by_tokens) {
    if (known.account) known.account->transport().set_quota_share(settings.quota_share);
  }
  for (const auto& [key, known] : by_apps) {
    if (known.account) known.account->transport().set_quota_share(settings.quota_share);
  }
  fallback = settings.credentials;
  for (const core::Scope& scope : settings.scopes) {
    routes[scope.id()] = settings.credentials_of(scope);
    feeds[scope.id()] = settings.feed_of(scope);
  }
}

// True when what is there by this name is another one now.
bool Client::State::take(const core::Credentials& from, Proof proof) {
  bool is_other = false;
  const auto found = by_tokens.find(from);
  if (found != by_tokens.end() && found->second.account) {
    is_other = found->second.source->replace(proof.token.copy());
    if (is_other) found->second.account->transport().forget_limits();
  }
  if (from.app) {
    const auto app = apps.find(place_of_app(from));
    if (app != apps.end()) is_other = app->second->set_key(*proof.key);
  }
  keyring.insert_or_assign(from, std::move(proof));
  return is_other;
}

const core::Credentials& Client::State::credentials_of(const core::Scope& scope) const {
  const auto route = routes.find(scope.id());
  return route == routes.end() ? fallback : route->second;
}

// What has nothing to wait for must call back from the loop all the same.
void Client::State::later(std::function<void()> act_later) {
  acts.push_back(std::move(act_later));
  if (acts.size() == 1) timer = loop.call_at(loop.now(), [this] { act(); });
}

void Client::State::act() {
  const auto next = std::move(acts.front());
  acts.pop_front();
  if (!acts.empty()) timer = loop.call_at(loop.now(), [this] { act(); });
  next();  // last: it may end all this
}

Transport::OnClock Client::State::clock_watch() {
  return [this](Duration offset) {
    const bool is_off = is_clock_off(offset);
    if (is_off && !is_clock_known_off && on_clock_skew) on_clock_skew(offset);
    is_clock_known_off = is_off;
  };
}

Result<Account*> Client::State::by_token(const core::Credentials& from) {
  ByToken& known = by_tokens[from];
  if (known.account) return known.account.get();
  known.source = std::make_unique<FixedToken>(keyring[from].token.copy(), place_of(from));
  TRY_ASSIGN(auto transport, Transport::create(loop, *known.source, tuning, clock_watch()));
  known.account = std::make_unique<Account>(loop, base, *known.source, std::move(transport));
  return known.account.get();
}

Result<App*> Client::State::app_of(const core::Credentials& from) {
  std::unique_ptr<App>& app = apps[place_of_app(from)];
  if (!app) {
    TRY_ASSIGN(app, App::create(loop, {base, tuning, clock_watch()}, {from.app->id, place_of(from)},
                                *keyring[from].key));
  }
  return app.get();
}

Result<Account*> Client::State::by_app(App& app, std::int64_t installation) {
  ByApp& known = by_apps[{&app, installation}];
  if (known.account) return known.account.get();
  known.source = std::make_unique<InstallationToken>(loop, app, installation);
  TRY_ASSIGN(auto transport, Transport::create(loop, *known.source, tuning, clock_watch()));
  known.account = std::make_unique<Account>(loop, base, *known.source, std::move(transport));
  return known.account.get();
}

void Client::State::find(const core::Scope& scope, Found found) {
  const core::Credentials& from = credentials_of(scope);
  if (from.empty() || keyring.count(from) == 0) {
    return found(fail(Errc::not_found, "the scope " + scope.id() + " has no credentials any more"));
  }
  if (!from.app) return found(by_token(from));
  const auto app = app_of(from);
  if (!app) return found(fail(app.error()));
  if (from.app->installation != 0) return found(by_app(**app, from.app->installation));
  (*app)->find(scope, [this, app = *app, found = std::move(found)](Result<std::int64_t> id) {
    if (!id) return found(fail(std::move(id.error())));
    found(by_app(*app, *id));
  });
}

template <class T>
void Client::State::with_account(const core::Scope& scope, Done<T> done,
                                 std::function<void(Account&, Done<T>)> use) {
  auto is_inside = std::make_shared<bool>(true);
  find(scope,
       [this, is_inside, done = std::move(done), use = std::move(use)](Result<Account*> account) {
         if (account) return use(**account, done);
         if (!*is_inside) return done(fail(std::move(account.error())));
         later([done, error = std::move(account.error())] { done(fail(error)); });
       });
  *is_inside = false;
}

bool Client::State::has_scale_sets(const core::Scope& scope) const {
  const auto feed = feeds.find(scope.id());
  return feed != feeds.end() && feed->second == core::Feed::scale_set;
}

ScaleSets& Client::State::scale_sets(const core::Scope& scope) {
  std::unique_ptr<ScaleSets>& known = sets[scope.id()];
  if (!known) {
    const auto register_scope = [this, scope](Done<Secret> done) {
      with_account<Secret>(scope, std::move(done), [scope](Account& account, Done<Secret> then) {
        account.registration_token(scope, std::move(then));
      });
    };
    known = std::make_unique<ScaleSets>(
        loop, *http, ScaleSets::Place{base, web_url + "/" + scope.id(), scope.id()}, tuning,
        register_scope);
  }
  return *known;
}

const App* Client::State::known_app(const core::Scope& scope) const {
  const core::Credentials& from = credentials_of(scope);
  if (!from.app) return nullptr;
  const auto app = apps.find(place_of_app(from));
  return app == apps.end() ? nullptr : app->second.get();
}

Account* Client::State::known(const core::Scope& scope) const {
  const core::Credentials& from = credentials_of(scope);
  if (!from.app) {
    const auto account = by_tokens.find(from);
    return account == by_tokens.end() ? nullptr : account->second.account.get();
  }
  const App* const app = known_app(scope);
  if (app == nullptr) return nullptr;
  const std::int64_t installation =
      from.app->installation != 0 ? from.app->installation : app->known(scope).value_or(0);
  const auto account = by_apps.find({app, installation});
  return account == by_apps.end() ? nullptr : account->second.account.get();
}

Client::Client() = default;
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::create(sys::Loop& loop,
                                               const core::GithubSettings& settings,
                                               Keyring keyring, Tuning tuning) {
  TRY_ASSIGN(std::string base, api_base(settings.url));
  std::unique_ptr<Client> made(new Client());
  made->state_ = std::make_unique<State>(loop, std::move(base), tuning);
  made->state_->take(settings);
  made->state_->web_url = origin_of(settings.url);
  TRY_ASSIGN(made->state_->http, sys::HttpClient::create(loop, "mvrunner/" MVR_VERSION));
  made->state_->keyring = std::move(keyring);
  return made;
}

bool Client::renew(const core::GithubSettings& settings, Keyring keyring) {
  state_->take(settings);
  bool is_other = false;
  for (auto& [from, proof] : keyring) is_other |= state_->take(from, std::move(proof));
  return is_other;
}

void Client::on_clock_skew(std::function<void(Duration offset)> report) {
  state_->on_clock_skew = std::move(report);
}

void Client::generate_jit(const core::Scope& scope, const std::string& runner_name,
                          const std::vector<std::string>& labels, Done<JitConfig> done) {
  std::vector<std::string> all = runner_labels(labels);
  if (state_->has_scale_sets(scope) && !all.empty()) {
    const SetWish wish{all.front(), scope.runner_group, all};
    return state_->scale_sets(scope).generate_jit(wish, runner_name, std::move(done));
  }
  state_->with_account<JitConfig>(
      scope, std::move(done),
      [scope, runner_name, all = std::move(all)](Account& account, Done<JitConfig> then) {
        account.generate_jit(scope, runner_name, all, std::move(then));
      });
}

void Client::list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done) {
  using Records = std::vector<RunnerRecord>;
  state_->with_account<Records>(scope, std::move(done),
                                [scope](Account& account, Done<Records> then) {
                                  account.list_runners(scope, std::move(then));
                                });
}

void Client::try_registration(const core::Scope& scope, Done<bool> done) {
  state_->with_account<bool>(scope, std::move(done), [scope](Account& account, Done<bool> then) {
    account.registration_token(scope, [then = std::move(then)](const Result<Secret>& token) {
      if (!token) return then(fail(token.error()));
      then(true);
    });
  });
}

void Client::delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done) {
  if (state_->has_scale_sets(scope)) {
    return state_->scale_sets(scope).delete_runner(id, std::move(done));
  }
  state_->with_account<bool>(scope, std::move(done),
                             [scope, id](Account& account, Done<bool> then) {
                               account.delete_runner(scope, id, std::move(then));
                             });
}

void Client::runner_release(const core::Scope& scope, const std::string& version,
                            Done<ReleaseDates> done) {
  state_->with_account<ReleaseDates>(scope, std::move(done),
                                     [scope, version](Account& account, Done<ReleaseDates> then) {
                                       account.runner_release(scope, version, std::move(then));
                                     });
}

void Client::runner_downloads(const core::Scope& scope, Done<std::vector<RunnerDownload>> done) {
  using Downloads = std::vector<RunnerDownload>;
  state_->with_account<Downloads>(scope, std::move(done),
                                  [scope](Account& account, Done<Downloads> then) {
                                    account.runner_downloads(scope, std::move(then));
                                  });
}

void Client::repositories(const core::Scope& scope, Done<std::vector<std::string>> done) {
  using Names = std::vector<std::string>;
  state_->with_account<Names>(scope, std::move(done),
                              [this, scope](Account& account, const Done<Names>& then) {
                                account.repositories(scope, state_->from_loop(then));
                              });
}

void Client::repository_jobs(const core::Scope& scope, const std::string& repository,
                             Done<JobListing> done) {
  state_->with_account<JobListing>(scope, std::move(done),
                                   [scope, repository](Account& account, Done<JobListing> then) {
                                     account.repository_jobs(scope, repository, std::move(then));
                                   });
}

void Client::runner_group(const core::Scope& scope, Done<RunnerGroup> done) {
  state_->with_account<RunnerGroup>(scope, std::move(done),
                                    [this, scope](Account& account, const Done<RunnerGroup>& then) {
                                      account.groups().find(scope, state_->from_loop(then));
                                    });
}

void Client::queued_jobs(const core::Scope& scope, Done<JobListing> done) {
  state_->with_account<JobListing>(scope, std::move(done),
                                   [this, scope](Account& account, const Done<JobListing>& then) {
                                     account.queued_jobs(scope, state_->from_loop(then));
                                   });
}

Instant Client::poll_not_before(const core::Scope& scope) const {
  Account* const account = state_->known(scope);
  const Instant own = account == nullptr ? Instant{} : account->transport().poll_not_before();
  return std::max(not_before(scope), own);
}

std::vector<AccountState> Client::accounts() const {
  std::vector<AccountState> all;
  for (const auto& [from, known] : state_->by_tokens) {
    if (known.account) all.push_back(known.account->state("token " + place_of(from)));
  }
  for (const auto& [key, known] : state_->by_apps) {
    if (!known.account) continue;
    const std::string app = known.source->authority().app;
    all.push_back(
        known.account->state("app " + app + " installation " + std::to_string(key.second)));
  }
  return all;
}

const Tuning& Client::tuning() const { return state_->tuning; }

void Client::job_facts(const core::Scope& scope, const JobQuestion& question,
                       Done<std::optional<core::JobFacts>> done) {
  using Facts = std::optional<core::JobFacts>;
  state_->with_account<Facts>(scope, std::move(done),
                              [scope, question](Account& account, Done<Facts> then) {
                                account.job_facts().read(scope, question, std::move(then));
                              });
}

Result<App*> Client::app(const core::Credentials& from) {
  if (!from.app || state_->keyring.count(from) == 0) return nullptr;
  return state_->app_of(from);
}

void Client::is_public(const core::Scope& scope, Done<bool> done) {
  state_->with_account<bool>(scope, std::move(done),
                             [this, scope](Account& account, const Done<bool>& then) {
                               account.is_public(scope, state_->from_loop(then));
                             });
}

ScaleSets& Client::scale_sets(const core::Scope& scope) { return state_->scale_sets(scope); }

std::vector<std::string> Client::runner_labels(const std::vector<std::string>& labels) const {
  return join_labels(labels, state_->extra_labels);
}

Instant Client::not_before(const core::Scope& scope) const {
  Instant when{};
  if (const App* app = state_->known_app(scope)) when = app->not_before();
  if (Account* account = state_->known(scope)) {
    when = std::max(when, account->transport().not_before());
  }
  return when;
}

unsigned Client::stretch(const core::Scope& scope) const {
  Account* const account = state_->known(scope);
  return account == nullptr ? 1 : account->transport().stretch();
}

}  // namespace mvr::github
