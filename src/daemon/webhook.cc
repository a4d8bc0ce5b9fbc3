#include "daemon/webhook.h"

#include <utility>

#include "base/text.h"
#include "daemon/journal.h"
#include "sys/http.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostShown = 100;  // bytes of a header in the log

unsigned status_of(github::Fate fate) {
  switch (fate) {
    case github::Fate::hint:
    case github::Fate::known:
    case github::Fate::passed:
      return 202;
    case github::Fate::refused:
      return 401;
    case github::Fate::unreadable:
      return 400;
    case github::Fate::too_many:
      return 503;
  }
  return 500;
}

// Of unsigned ones nothing is logged that they say: the journal counts equal lines together, so
// that nobody fills the disk.
void note(const sys::HttpAsked& asked, const github::Verdict& verdict) {
  const std::string fate(github::fate_name(verdict.fate));
  if (verdict.fate == github::Fate::refused) {
    return log(Level::warn, "webhook_refused", {{"why", verdict.why}});
  }
  const bool is_trouble =
      verdict.fate == github::Fate::unreadable || verdict.fate == github::Fate::too_many;
  if (is_trouble) return log(Level::warn, "webhook_not_used", {{"why", verdict.why}});
  log(Level::debug, "webhook",
      {{"result", fate},
       {"repository", verdict.repository},
       {"event", printable(sys::header_of(asked.headers, "x-github-event"), kMostShown)},
       {"delivery", printable(sys::header_of(asked.headers, "x-github-delivery"), kMostShown)},
       {"why", verdict.why}});
}

}  // namespace

Webhook::Webhook(sys::Loop& loop, Tally& tally, Hint hint)
    : loop_(loop), tally_(tally), hint_(std::move(hint)) {}

void Webhook::listen_on(const std::string& address, Secret secret) {
  secret_ = std::move(secret);
  if (address == address_) return;
  server_.reset();
  address_ = address;
  tend();
}

void Webhook::tend() {
  if (server_ || address_.empty()) return;
  sys::HttpServerOptions options;
  options.longest_body = github::kLongestDelivery;
  auto server = sys::HttpServer::listen(
      loop_, address_, [this](const sys::HttpAsked& asked) { return answer(asked); }, options);
  if (!server) {
    return log(Level::warn, "webhook_not_listening",
               {{"error", server.error().what},
                {"effect", "jobs are found by polling; tried again"},
                {"remedy", "free the port or set github.webhook.listen"}});
  }
  server_ = std::move(*server);
  log(Level::info, "webhook_listening", {{"address", address_}});
}

// Whatever the path: who may say something is told by the signature.
sys::HttpAnswer Webhook::answer(const sys::HttpAsked& asked) {
  const std::string event = sys::header_of(asked.headers, "x-github-event");
  const std::string id = sys::header_of(asked.headers, "x-github-delivery");
  const std::string signature = sys::header_of(asked.headers, "x-hub-signature-256");
  const std::string type = sys::header_of(asked.headers, "content-type");
  const github::Verdict verdict =
      inbox_.take({event, id, signature, type, asked.body}, secret_, loop_.now());
  ++tally_.deliveries[verdict.fate];
  note(asked, verdict);
  sys::HttpAnswer out;
  out.status = status_of(verdict.fate);
  out.body = (verdict.why.empty() ? std::string("thanks") : verdict.why) + "\n";
  if (verdict.fate == github::Fate::hint) hint_(verdict.repository);
  return out;
}

}  // namespace mvr::daemon
