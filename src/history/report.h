// What the jobs of the past amounted to, by one of their properties.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "history/history.h"

namespace mvr::history {

enum class ReportBy { repository, workflow, job, profile, cause, user };
// "repo", "workflow", "job", "profile", "cause", "user"; nothing for other words.
std::optional<ReportBy> parse_report_by(std::string_view word);

struct ReportRow {
  std::string key;       // "owner/repo", "owner/repo ci", "owner/repo ci build", ...; "-": unknown
  std::size_t jobs = 0;  // that ran here
  std::size_t failed = 0;   // of these, what the runner called neither succeeded nor canceled
  std::size_t lost = 0;     // VMs that ended by a fault: of the guest, of the host, or by a limit
  Duration busy{};          // all their time, each job's from its start to the end of its VM
  std::size_t minutes = 0;  // the same, each job's rounded up to minutes as GitHub bills them
  std::size_t waits = 0;    // jobs whose wait is known: created at GitHub until the first step
  Duration wait_median{};
  Duration wait_p95{};
  Duration run_median{};
};

// The busiest first. VMs that ended without a job and without a fault are in no row.
std::vector<ReportRow> report(const std::vector<FinishedJob>& past, ReportBy by);

}  // namespace mvr::history
