#include "github/app.h"

#include <algorithm>
#include <utility>

#include "github/catalogue.h"
#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr Duration kEarly{300'000};
constexpr Duration kLongestLife{86'400'000};
constexpr Duration kShortestUse{1'000};
constexpr Duration kSignatureUse{300'000};  // of the eight minutes it holds
constexpr Duration kRefreshPause{60'000};

bool is_passing(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::timed_out ||
         error.code == Errc::rate_limited;
}

Duration life_of(WallTime date, WallTime expires) {
  return std::clamp(expires - date, Duration{0}, kLongestLife);
}

Result<GrantedToken> granted_of(ApiReply& reply) {
  auto access = decode_access_token(reply.body);
  // It holds the token, which must not lie around in freed memory.
  std::fill(reply.body.begin(), reply.body.end(), '\0');
  if (!access) return fail(std::move(access.error()));
  return GrantedToken{
      std::move(access->token), refresh_time(reply.sent, reply.date, access->expires),
      reply.sent + life_of(reply.date, access->expires), std::move(access->permissions)};
}

}  // namespace

Instant refresh_time(Instant made, WallTime date, WallTime expires) {
  const Duration life = life_of(date, expires);
  return made + std::max(life - std::min(kEarly, life / 2), kShortestUse);
}

// Signs for the App itself: one signature serves for some minutes.
class App::Signer final : public TokenSource {
 public:
  Signer(sys::Loop& loop, const Identity& identity, AppKey key)
      : loop_(loop), identity_(identity), key_(std::move(key)) {}

  bool set_key(AppKey key) {
    if (key == key_) return false;
    key_ = std::move(key);
    good_until_ = {};
    return true;
  }
  [[nodiscard]] const Secret* token(Instant now) const override {
    return now < good_until_ ? &token_ : nullptr;
  }
  void obtain(Done done) override {
    auto made = app_jwt(key_, identity_.id, sys::wall_now());
    if (!made) return done(fail(with_context(made.error(), identity_.place)));
    token_ = std::move(*made);
    good_until_ = loop_.now() + kSignatureUse;
    done({});
  }
  // The same key and clock give nothing better at once, but perhaps next time.
  bool drop() override {
    good_until_ = {};
    return false;
  }
  [[nodiscard]] Authority authority() const override {
    return Authority{Authority::Kind::app, identity_.place, identity_.id};
  }

 private:
  sys::Loop& loop_;
  const Identity& identity_;
  AppKey key_;
  Secret token_;
  Instant good_until_{};
};

App::App(std::string base, Identity identity)
    : base_(std::move(base)), identity_(std::move(identity)) {}
App::~App() = default;

Result<std::unique_ptr<App>> App::create(sys::Loop& loop, Manner manner, Identity identity,
                                         AppKey key) {
  std::unique_ptr<App> app(new App(std::move(manner.base), std::move(identity)));
  app->signer_ = std::make_unique<Signer>(loop, app->identity_, std::move(key));
  TRY_ASSIGN(app->transport_,
             Transport::create(loop, *app->signer_, manner.tuning, std::move(manner.on_clock)));
  return app;
}

bool App::set_key(AppKey key) { return signer_->set_key(std::move(key)); }

std::optional<std::int64_t> App::known(const core::Scope& scope) const {
  const auto found = installations_.find(scope.id());
  if (found == installations_.end()) return std::nullopt;
  return found->second;
}

void App::find(const core::Scope& scope, std::function<void(Result<std::int64_t>)> done) {
  if (const auto id = known(scope)) return done(*id);
  auto& waiters = waiters_[scope.id()];
  waiters.push_back(std::move(done));
  if (waiters.size() > 1) return;
  ApiRequest request;
  request.url = installation_url(base_, scope);
  request.about =
      CallInfo{Endpoint::find_installation, scope.kind, request_label("GET", request.url)};
  transport_->send(std::move(request), [this, id = scope.id()](Result<ApiReply> reply) {
    found(id, std::move(reply));
  });
}

void App::found(const std::string& scope, Result<ApiReply> reply) {
  const auto installation = [&]() -> Result<std::int64_t> {
    if (!reply) return fail(std::move(reply.error()));
    TRY_ASSIGN(const Installation answer, context(decode_installation(reply->body), scope));
    if (answer.is_suspended) {
      return fail(Error{Errc::denied,
                        "the GitHub App " + identity_.id + " is suspended for " + scope,
                        std::string(known_answer("installation_suspended").remedy)});
    }
    return answer.id;
  }();
  if (installation) installations_[scope] = *installation;
  const auto waiters = std::move(waiters_[scope]);
  waiters_.erase(scope);
  const std::weak_ptr<bool> alive = alive_;
  for (const Waiter& waiter : waiters) {
    if (alive.expired()) return;  // the one before has ended all this
    waiter(installation);
  }
}

void App::forget(std::int64_t installation) {
  std::erase_if(installations_, [&](const auto& known) { return known.second == installation; });
}

void App::create_token(std::int64_t installation, std::function<void(Result<GrantedToken>)> done) {
  ApiRequest request;
  request.method = "POST";
  request.url = access_tokens_url(base_, installation);
  request.about = CallInfo{Endpoint::create_token, core::ScopeKind::repository,
                           request_label("POST", request.url)};
  const std::string label = request.about.label;
  transport_->send(std::move(request),
                   [this, installation, label, done = std::move(done)](Result<ApiReply> reply) {
                     if (reply) return done(context(granted_of(*reply), label));
                     // Removed and installed again, it has another id.
                     if (reply.error().code == Errc::not_found) forget(installation);
                     done(fail(std::move(reply.error())));
                   });
}

void App::list_deliveries(std::string etag, Transport::Done done) {
  ApiRequest request;
  request.url = app_deliveries_url(base_);
  request.etag = std::move(etag);
  ask(std::move(request), std::move(done));
}

void App::show_delivery(std::int64_t id, Transport::Done done) {
  ApiRequest request;
  request.url = app_delivery_url(base_, id);
  ask(std::move(request), std::move(done));
}

void App::ask(ApiRequest request, Transport::Done done) {
  request.about = CallInfo{Endpoint::find_installation, core::ScopeKind::repository,
                           request_label("GET", request.url)};
  transport_->send(std::move(request), std::move(done));
}

const Secret* InstallationToken::token(Instant now) const {
  return current_ && now < current_->refresh_at ? &current_->token : nullptr;
}

void InstallationToken::obtain(Done done) {
  app_.create_token(installation_, [this, alive = std::weak_ptr<bool>(alive_),
                                    done = std::move(done)](Result<GrantedToken> granted) {
    if (!alive.expired()) take(std::move(granted), done);
  });
}

void InstallationToken::take(Result<GrantedToken> granted, const Done& done) {
  if (granted) {
    current_ = std::move(*granted);
    return done({});
  }
  const Instant now = loop_.now();
  if (is_passing(granted.error()) && current_ && now < current_->expires) {
    current_->refresh_at = std::min(now + kRefreshPause, current_->expires);
    return done({});
  }
  current_.reset();
  done(fail(std::move(granted.error())));
}

bool InstallationToken::drop() {
  current_.reset();
  return true;
}

Authority InstallationToken::authority() const {
  return Authority{Authority::Kind::installation, app_.identity().place, app_.identity().id};
}

const Permissions* InstallationToken::permissions() const {
  return current_ && current_->permissions ? &*current_->permissions : nullptr;
}

}  // namespace mvr::github
