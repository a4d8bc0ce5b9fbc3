// Where jobs for a replay come from: history, or a trace somebody wrote.
#pragma once

#include <cstddef>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/replay.h"
#include "history/history.h"

namespace mvr::history {

// Those of the entries that ran a job of GitHub's. A job whose queue time or repository is not
// known has the time its VM was created, or the scope. It keeps its profile by name.
std::vector<core::ReplayJob> past_jobs(const std::vector<FinishedJob>& entries);

// The median of launch to listening; nothing when no entry has both.
std::optional<Duration> typical_boot(const std::vector<FinishedJob>& entries);

inline constexpr std::size_t kMaxTraceLines = 1'000'000;
inline constexpr std::size_t kMaxTraceLine = 16 * 1024;

// One JSON object a line, with these fields and no others:
//   {"created":"2026-01-02T03:04:05Z","repository":"o/r","workflow":"ci","job":"build",
//    "labels":["mv-small"],"run_s":312}
// "workflow" may be left out; "run_s" is a whole number up to 30 days. `name` is what errors call
// the trace: "name:line: field 'x' ...". Err too_large: a bound above was exceeded.
Result<std::vector<core::ReplayJob>> read_trace(std::istream& in, const std::string& name);

}  // namespace mvr::history
