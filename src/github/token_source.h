// Where the token of a request comes from: the operator gave it, an App signs it, or an App's
// installation gets it from GitHub.
#pragma once

#include <functional>
#include <utility>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"
#include "github/errors.h"
#include "github/permissions.h"

namespace mvr::github {

class TokenSource {
 public:
  using Done = std::function<void(Result<void>)>;
  TokenSource() = default;
  virtual ~TokenSource() = default;
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  // What to send now; null: nothing, obtain() it first. Valid until the next call of a member.
  [[nodiscard]] virtual const Secret* token(Instant now) const = 0;
  // Calls back once, also from inside the call, unless this object goes first; not to be called
  // again before. After success token() is not null.
  virtual void obtain(Done done) = 0;
  // Forgets the token. True: another one can be obtained, which may help where GitHub refused it.
  virtual bool drop() = 0;
  // For texts about refusals.
  [[nodiscard]] virtual Authority authority() const = 0;
  // What GitHub said the token may do; null when it said nothing.
  [[nodiscard]] virtual const Permissions* permissions() const { return nullptr; }
};

// A token of the operator's.
class FixedToken final : public TokenSource {
 public:
  // `place`: where the operator put it.
  FixedToken(Secret token, std::string place)
      : token_(std::move(token)), place_(std::move(place)) {}
  // False, and nothing changes, when it is the same.
  bool replace(Secret token) {
    if (token.expose() == token_.expose()) return false;
    token_ = std::move(token);
    return true;
  }
  [[nodiscard]] const Secret* token(Instant /*now*/) const override { return &token_; }
  void obtain(Done done) override { done({}); }
  bool drop() override { return false; }
  [[nodiscard]] Authority authority() const override {
    return Authority{Authority::Kind::token, place_, {}};
  }

 private:
  Secret token_;
  std::string place_;
};

}  // namespace mvr::github
