// Takes GitHub's webhook deliveries at `github.webhook.listen`. All they do is hasten a look.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/secret.h"
#include "core/config.h"
#include "daemon/tally.h"
#include "github/webhook.h"
#include "sys/http_server.h"
#include "sys/loop.h"

namespace mvr::daemon {

class Webhook {
 public:
  using Hint = std::function<void(const std::string& repository)>;

  // `tally` outlives it; it counts deliveries there.
  Webhook(sys::Loop& loop, Tally& tally, Hint hint);

  // From now on there ("": nowhere), with this secret; also when only the secret is another one.
  void listen_on(const std::string& address, Secret secret);
  // Tries again when it could not; called now and then.
  void tend();

 private:
  sys::HttpAnswer answer(const sys::HttpAsked& asked);

  sys::Loop& loop_;
  Tally& tally_;
  Hint hint_;
  std::string address_;
  Secret secret_;
  github::WebhookInbox inbox_;
  std::unique_ptr<sys::HttpServer> server_;
};

}  // namespace mvr::daemon
