#include "github/webhook.h"

#include <algorithm>
#include <array>
#include <optional>

#include <nlohmann/json.hpp>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/text.h"
#include "github/json_object.h"
#include "github/url.h"

namespace mvr::github {
namespace {

using nlohmann::json;

constexpr std::string_view kScheme = "sha256=";
constexpr std::size_t kShortestSecret = 16;
constexpr std::size_t kLongestId = 64;
// GitHub repeats a delivery for three days at most, and cancels a job that is queued for one.
constexpr Duration kRemembered{3 * 86'400'000};
constexpr std::size_t kMostRemembered = 10'000;
// Far more than jobs start anywhere; what is left out is found by the next look.
constexpr Duration kGap{20};
constexpr int kBurst = 200;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= kLongestId &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

// Keeps what a JobChange is made of and nothing else, while the text is parsed: the rest of a
// delivery is large and written by anybody who can open a pull request.
bool is_wanted(int depth, json::parse_event_t event, json& parsed) {
  static constexpr std::array<std::string_view, 3> kTop{"action", "workflow_job", "repository"};
  static constexpr std::array<std::string_view, 4> kInner{"id", "run_attempt", "status",
                                                          "full_name"};
  switch (event) {
    case json::parse_event_t::key: {
      const auto& key = parsed.get_ref<const json::string_t&>();
      if (depth == 1) return std::ranges::find(kTop, key) != kTop.end();
      return depth == 2 && std::ranges::find(kInner, key) != kInner.end();
    }
    case json::parse_event_t::object_start:
      return depth <= 1;
    case json::parse_event_t::array_start:
      return false;
    case json::parse_event_t::object_end:
    case json::parse_event_t::array_end:
    case json::parse_event_t::value:
      break;
  }
  return true;
}

std::string text_of(const json& object, const char* key) {
  const auto* text = text_member(object, key);
  return text == nullptr ? std::string() : *text;
}

tl::unexpected<Error> unlike(std::string_view what) {
  return fail(Errc::protocol, "the delivery is not what GitHub documents: " + std::string(what));
}

// A delivery may say "queued" of a job whose status is "waiting", for an approval: then there is
// nothing for a runner yet, and it is told again when there is.
JobStep step_of(const std::string& action, const std::string& status) {
  if (action == "queued") return status == "queued" ? JobStep::queued : JobStep::none;
  if (action == "in_progress") return JobStep::in_progress;
  return action == "completed" ? JobStep::completed : JobStep::none;
}

Verdict without_hint(Fate fate, std::string why) { return Verdict{fate, {}, std::move(why)}; }

}  // namespace

Result<Secret> parse_webhook_secret(std::string_view text) {
  const std::size_t end = text.find('\n');
  if (end != std::string_view::npos && !is_blank(text.substr(end))) {
    return fail(Errc::invalid, "the webhook's secret is one line, here are more");
  }
  std::string_view line = text.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() < kShortestSecret) {
    return fail(Errc::invalid,
                "the webhook's secret is shorter than 16 characters and could be guessed; make one "
                "with: openssl rand -hex 32");
  }
  if (std::ranges::any_of(line, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; })) {
    return fail(Errc::invalid, "the webhook's secret holds control characters");
  }
  return Secret(std::string(line));
}

bool is_signed(const Delivery& delivery, const Secret& secret) {
  const std::string_view given = delivery.signature;
  const std::string_view key = secret.expose();
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): OpenSSL's bytes
  const auto* body = reinterpret_cast<const unsigned char*>(delivery.body.data());
  const bool done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), body,
                         delivery.body.size(), digest.data(), &size) != nullptr;
  if (!done || !given.starts_with(kScheme)) return false;
  const std::string right = hex({digest.data(), size});
  const std::string_view text = given.substr(kScheme.size());
  return text.size() == right.size() && CRYPTO_memcmp(text.data(), right.data(), right.size()) == 0;
}

Result<JobChange> decode_job_change(std::string_view body) {
  TRY_ASSIGN(const json document, parse_object(body, is_wanted));
  const json* const job = member(document, "workflow_job");
  const json* const repository = member(document, "repository");
  if (text_member(document, "action") == nullptr) return unlike("no \"action\"");
  if (job == nullptr || repository == nullptr) return unlike("no job or no repository");
  JobChange change;
  change.job = positive_member(*job, "id");
  if (change.job == 0) return unlike("\"workflow_job.id\" is not a positive number");
  change.attempt = std::max<std::int64_t>(positive_member(*job, "run_attempt"), 1);
  change.step = step_of(text_of(document, "action"), text_of(*job, "status"));
  change.repository = text_of(*repository, "full_name");
  if (!is_repository_name(change.repository)) return unlike("\"repository.full_name\"");
  return change;
}

std::string_view fate_name(Fate fate) {
  switch (fate) {
    case Fate::hint:
      return "hint";
    case Fate::known:
      return "known";
    case Fate::passed:
      return "passed";
    case Fate::refused:
      return "refused";
    case Fate::unreadable:
      return "unreadable";
    case Fate::too_many:
      return "too_many";
  }
  return "";
}

WebhookInbox::WebhookInbox()
    : ids_(kMostRemembered, kRemembered),
      steps_(kMostRemembered, kRemembered),
      pace_(kGap, kBurst) {}

// The pace counts what is signed only: a flood of anything else must not take its room.
Verdict WebhookInbox::take(const Delivery& delivery, const Secret& secret, Instant now) {
  if (!is_signed(delivery, secret)) {
    return without_hint(Fate::refused, delivery.signature.empty()
                                           ? "it has no signature: set the webhook's secret"
                                           : "its signature is wrong: is the secret the same?");
  }
  if (pace_.ready_at() > now) return without_hint(Fate::too_many, "too many at once");
  pace_.spend(now, 1);
  if (delivery.event == "ping") return without_hint(Fate::passed, "ping");
  if (delivery.event != "workflow_job") {
    return without_hint(Fate::passed, "only workflow_job is of use");
  }
  if (!is_id(delivery.id)) return without_hint(Fate::unreadable, "it has no X-GitHub-Delivery");
  if (!ascii_lower(delivery.content_type).starts_with("application/json")) {
    return without_hint(Fate::unreadable,
                        "it is not application/json: choose that as the webhook's content type");
  }
  return take_job(delivery, now);
}

Verdict WebhookInbox::take_job(const Delivery& delivery, Instant now) {
  const std::string id(delivery.id);
  if (ids_.find(id, now) != nullptr) return without_hint(Fate::known, "it came before");
  auto change = decode_job_change(delivery.body);
  if (!change) return without_hint(Fate::unreadable, change.error().what);
  ids_.put(id, true, now);
  if (change->step == JobStep::none) return without_hint(Fate::passed, "no runner can take it yet");
  const std::pair key(change->job, change->attempt);
  const JobStep* const before = steps_.find(key, now);
  if (before != nullptr && *before >= change->step) {
    return without_hint(Fate::known, "the job is further than that");
  }
  steps_.put(key, change->step, now);
  if (change->step != JobStep::queued) return without_hint(Fate::passed, "it waits no longer");
  return Verdict{Fate::hint, std::move(change->repository), {}};
}

}  // namespace mvr::github
