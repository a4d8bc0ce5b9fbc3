// What a webhook delivery says: whether GitHub signed it, and which repository to look at now.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#workflow_job
//
// A delivery is a hint and never more: no VM is made because of it, it only hastens a look that
// would come anyway. So one that is lost, forged, late or repeated does no harm. No clock, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"
#include "github/pace.h"
#include "github/recent.h"

namespace mvr::github {

// GitHub sends up to 25 MiB; those of workflow_job are some 30 KiB.
inline constexpr std::size_t kLongestDelivery = 1U << 20U;

// The first line of a file with the webhook's secret, without what ends it. Err invalid: other
// lines follow, fewer than 16 characters, or characters that nobody can have typed.
Result<Secret> parse_webhook_secret(std::string_view text);

// As it came: nothing of it is believed before its signature is right.
struct Delivery {
  std::string_view event;         // X-GitHub-Event
  std::string_view id;            // X-GitHub-Delivery; a repetition has the same
  std::string_view signature;     // X-Hub-Signature-256
  std::string_view content_type;  // Content-Type
  std::string_view body;
};

// HMAC-SHA256 of the body; takes as long for a wrong one as for a right one.
bool is_signed(const Delivery& delivery, const Secret& secret);

// How far a job is, as far as a runner cares: one that waits for an approval is not there yet.
enum class JobStep { none, queued, in_progress, completed };
struct JobChange {
  std::int64_t job = 0;
  std::int64_t attempt = 1;
  JobStep step = JobStep::none;
  std::string repository;  // "owner/repo"
  friend bool operator==(const JobChange&, const JobChange&) = default;
};
// The body of a workflow_job delivery. Err protocol: it is not what GitHub documents.
Result<JobChange> decode_job_change(std::string_view body);

enum class Fate { hint, known, passed, refused, unreadable, too_many };
// "hint", ...: metrics and logs call them so.
std::string_view fate_name(Fate fate);

struct Verdict {
  Fate fate = Fate::passed;
  std::string repository;  // of a hint
  std::string why;         // of all others
};

// Judges deliveries one after the other, and remembers what it needs for that, within bounds.
class WebhookInbox {
 public:
  WebhookInbox();
  Verdict take(const Delivery& delivery, const Secret& secret, Instant now);

 private:
  Verdict take_job(const Delivery& delivery, Instant now);

  Recent<std::string, bool> ids_;
  Recent<std::pair<std::int64_t, std::int64_t>, JobStep> steps_;  // by job and attempt
  Pace pace_;
};

}  // namespace mvr::github
