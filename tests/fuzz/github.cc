// Any bytes as GitHub's answer: every decoder ends in values within their bounds or in an error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/text.h"
#include "github/deliveries.h"
#include "github/scale_set_wire.h"
#include "github/url.h"
#include "github/webhook.h"
#include "github/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

bool is_printable(const std::string& text) { return mvr::printable(text, text.size()) == text; }

void check_jobs(std::string_view body) {
  const auto jobs = mvr::github::decode_waiting_jobs(body, "acme/web");
  if (!jobs) return;
  for (const mvr::core::JobHint& job : *jobs) {
    MVR_ASSERT(job.repository == "acme/web");
    MVR_ASSERT(!job.labels.empty());
    MVR_ASSERT(is_printable(job.name));
    MVR_ASSERT(is_printable(job.workflow));
  }
}

void check_jit(std::string_view body) {
  const auto jit = mvr::github::decode_jit(body);
  if (!jit) return;
  MVR_ASSERT(jit->runner.id > 0);
  MVR_ASSERT(!jit->encoded.empty());
}

void check_access_token(std::string_view body) {
  const auto access = mvr::github::decode_access_token(body);
  if (!access) return;
  MVR_ASSERT(!access->token.empty());
  if (!access->permissions) return;
  for (const auto& [name, level] : *access->permissions) {
    MVR_ASSERT(is_printable(name));
    MVR_ASSERT(is_printable(level));
  }
}

void check_hints(std::string_view body) {
  const auto change = mvr::github::decode_job_change(body);
  if (change) {
    MVR_ASSERT(change->job > 0);
    MVR_ASSERT(change->attempt > 0);
    MVR_ASSERT(mvr::github::is_repository_name(change->repository));
  }
  const auto name = mvr::github::decode_delivery_repository(body);
  if (name) MVR_ASSERT(mvr::github::is_repository_name(*name));
  const auto listed = mvr::github::decode_deliveries(body);
  if (!listed) return;
  for (const auto& delivery : *listed) MVR_ASSERT(delivery.id > 0);
}

void check_queue_message(std::string_view body) {
  const auto message = mvr::github::decode_queue_message(body);
  if (!message) return;
  MVR_ASSERT(message->id > 0);
  for (const auto& entry : message->jobs) {
    MVR_ASSERT(entry.job.id > 0);
    MVR_ASSERT(entry.request >= 0);
    MVR_ASSERT(is_printable(entry.job.name));
    MVR_ASSERT(is_printable(entry.job.workflow));
    for (const std::string& label : entry.job.labels) MVR_ASSERT(is_printable(label));
  }
}

void check_scale_sets(std::string_view body) {
  check_queue_message(body);
  (void)mvr::github::decode_registration_token(body);  // whatever they answer: they ended
  (void)mvr::github::decode_scale_sets(body);
  (void)mvr::github::decode_group_id(body, "x");
  (void)mvr::github::decode_repository_openness(body);
  (void)mvr::github::decode_set_jit(body);
  (void)mvr::github::jwt_expiry(body);
  for (const bool may_be_plain : {false, true}) {
    const auto connection = mvr::github::decode_admin_connection(body, may_be_plain);
    if (connection) MVR_ASSERT(connection->url.starts_with("http"));
    const auto session = mvr::github::decode_session(body, may_be_plain);
    if (session) MVR_ASSERT(!session->token.empty());
  }
  MVR_ASSERT(is_printable(mvr::github::explain_service(409, {}, body, "x").what));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check_jobs(body);
  check_jit(body);
  (void)mvr::github::decode_runs(body);  // whatever it answers: it ended
  (void)mvr::github::decode_runners(body);
  (void)mvr::github::decode_repositories(body);
  (void)mvr::github::decode_groups(body);
  (void)mvr::github::decode_installation(body);
  check_access_token(body);
  check_hints(body);
  check_scale_sets(body);
  (void)mvr::github::parse_http_date(body);
  const std::string message = mvr::github::decode_error_message(body);
  MVR_ASSERT(message.size() <= 400);
  MVR_ASSERT(is_printable(message));
  return 0;
}
