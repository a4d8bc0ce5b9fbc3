// A GitHub App: it signs as itself, finds where it is installed, and gets tokens there.
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "github/client.h"
#include "github/jwt.h"
#include "github/token_source.h"
#include "github/transport.h"
#include "sys/loop.h"

namespace mvr::github {

// What an installation got: until when to use it, and when to look for the next one.
struct GrantedToken {
  Secret token;
  Instant refresh_at{};
  Instant expires{};
  std::optional<Permissions> permissions;
};

// A token asked for at `made` lives until `expires` by GitHub's clock, which was `date` then:
// when it is replaced. Five minutes early, or after half of a shorter life; never within a second,
// so that a token that is over at once does not have us ask without end. Pure.
Instant refresh_time(Instant made, WallTime date, WallTime expires);

class App {
 public:
  struct Identity {
    std::string id;     // as app.id of the configuration has it
    std::string place;  // of its key, for messages
  };
  // How its requests go.
  struct Manner {
    std::string base;  // of the API's addresses
    Tuning tuning;
    Transport::OnClock on_clock;
  };
  static Result<std::unique_ptr<App>> create(sys::Loop& loop, Manner manner, Identity identity,
                                             AppKey key);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // False, and nothing changes, when it is the same key.
  bool set_key(AppKey key);
  // The installation that serves the scope; known ones from inside the call, others from the loop.
  // The callback may destroy this object. Err: not_found, denied (suspended), unauthorized, ...
  void find(const core::Scope& scope, std::function<void(Result<std::int64_t>)> done);
  // What find() answers at once, if anything.
  [[nodiscard]] std::optional<std::int64_t> known(const core::Scope& scope) const;
  // A new token of the installation. Calls back once, from the loop.
  void create_token(std::int64_t installation, std::function<void(Result<GrantedToken>)> done);
  // What its webhook sent lately, newest first, conditionally; and one of these in full. The
  // answers are those of GitHub, for github/deliveries.h. Calls back once, from the loop.
  void list_deliveries(std::string etag, Transport::Done done);
  void show_delivery(std::int64_t id, Transport::Done done);
  [[nodiscard]] const Identity& identity() const { return identity_; }
  [[nodiscard]] Instant not_before() const { return transport_->not_before(); }

 private:
  class Signer;
  using Waiter = std::function<void(Result<std::int64_t>)>;
  App(std::string base, Identity identity);
  void found(const std::string& scope, Result<ApiReply> reply);
  void forget(std::int64_t installation);
  void ask(ApiRequest request, Transport::Done done);

  std::string base_;
  Identity identity_;
  std::map<std::string, std::int64_t> installations_;   // by id of the scope
  std::map<std::string, std::vector<Waiter>> waiters_;  // for those being looked up
  std::unique_ptr<Signer> signer_;
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The token of one installation, replaced before it expires. While GitHub cannot be reached, the
// one there is goes on being used for as long as it lives.
class InstallationToken final : public TokenSource {
 public:
  // `app` outlives this object.
  InstallationToken(sys::Loop& loop, App& app, std::int64_t installation)
      : loop_(loop), app_(app), installation_(installation) {}
  [[nodiscard]] const Secret* token(Instant now) const override;
  void obtain(Done done) override;
  bool drop() override;
  [[nodiscard]] Authority authority() const override;
  [[nodiscard]] const Permissions* permissions() const override;

 private:
  void take(Result<GrantedToken> granted, const Done& done);

  sys::Loop& loop_;
  App& app_;
  std::int64_t installation_;
  std::optional<GrantedToken> current_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::github
