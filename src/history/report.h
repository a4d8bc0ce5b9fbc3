// What the jobs of the past amounted to, by one of their properties.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "core/config.h"
#include "history/history.h"

namespace mvr::history {

// By vCPUs: what a minute costs. See core::ReportSettings.
using Rates = std::map<std::uint32_t, double>;

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
  std::map<std::string, std::size_t> causes;  // of the lost ones
  // The most one of them used; nothing where no guest has said.
  std::optional<Bytes> memory_peak;
  std::optional<Bytes> disk_peak;
  Duration cpu{};    // of all whose guests have said
  double price = 0;  // of `minutes` at GitHub's own runners, in the rates' currency
};

// The busiest first. VMs that ended without a job and without a fault are in no row.
std::vector<ReportRow> report(const std::vector<FinishedJob>& past, ReportBy by,
                              const Rates& rates);

// Of one key and profile: what its jobs got by with, and the least that would have done.
struct SizeRow {
  std::string key;
  std::string profile;
  std::size_t jobs = 0;  // whose use is known
  core::Resources size;  // what the latest of them had
  Bytes memory_p95;      // of the peaks
  Bytes disk_p95;
  double cpus_p95 = 0;     // of the CPUs each kept busy while it ran, on average
  core::Resources needed;  // these and `margin` percent, in steps one would configure
  std::string fits;        // the smallest of the profiles that has it; empty: none has
};

// The most memory given back first. `profiles`: those to choose from. vCPUs are never proposed
// below what is busy on average, nor above what a job had: whether more would have made it faster
// nobody knows.
std::vector<SizeRow> right_sizes(const std::vector<FinishedJob>& past, ReportBy by,
                                 const std::vector<core::Profile>& profiles, std::uint32_t margin);

}  // namespace mvr::history
