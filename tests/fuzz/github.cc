// Any bytes as an answer of GitHub's REST API: every decoder ends in values within their bounds or
// in an error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/text.h"
#include "github/job_facts.h"
#include "github/scale_set_wire.h"
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

void check_facts(std::string_view body) {
  const auto facts = mvr::github::decode_completed_job(body, "mv-1");
  if (facts && *facts) {
    MVR_ASSERT((*facts)->job > 0);
    MVR_ASSERT((*facts)->run > 0);
    MVR_ASSERT(is_printable((*facts)->conclusion));
    MVR_ASSERT(is_printable((*facts)->branch));
  }
  const auto start = mvr::github::decode_run_start(body);
  if (start) MVR_ASSERT(is_printable(start->actor));
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
  (void)mvr::github::decode_installed_repositories(body);
  (void)mvr::github::decode_repository_openness(body);
  (void)mvr::github::decode_groups(body);
  (void)mvr::github::decode_installation(body);
  check_access_token(body);
  check_facts(body);
  (void)mvr::github::parse_http_date(body);
  const std::string message = mvr::github::decode_error_message(body);
  MVR_ASSERT(message.size() <= 400);
  MVR_ASSERT(is_printable(message));
  return 0;
}
