// The jobs that ended here, kept in one SQLite file: what `ps -a` and reports are made of. Losing
// it loses no job; the host itself is the state of what runs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "core/job_facts.h"
#include "core/records.h"

namespace mvr::history {

// The most a VM used, as its guest said, and the CPU time of all its work.
struct Used {
  Bytes memory;
  Bytes disk;
  Duration cpu{};
  friend bool operator==(const Used&, const Used&) = default;
};

// One VM from its launch to its removal, whether or not a job came.
struct FinishedJob {
  std::string vm;
  std::string profile;
  std::string scope;       // Scope::id(), or "@run"
  std::string repository;  // "owner/repo" of the job it ran; empty when not known
  std::string workflow;    // of that job; empty when not known
  std::string job;         // display name; empty: none came
  std::string result;      // as the runner reported it
  std::string cause;       // core::cause_name()
  std::string cause_text;  // for people
  std::optional<int> exit_code;
  std::optional<WallTime> queued;  // when GitHub created the job; empty when not known
  std::optional<WallTime> created;
  std::optional<WallTime> listening;
  std::optional<WallTime> started;
  std::optional<WallTime> ended;
  std::string host;      // host.id
  core::Resources size;  // what the VM took
  std::optional<Used> used;
  std::string runner;  // its name at GitHub; empty: it had none
  std::string
      wanted;  // where to look for the facts, while they are missing; see daemon/job_facts.h
  core::JobFacts facts;  // what GitHub said later
  friend bool operator==(const FinishedJob&, const FinishedJob&) = default;
};

class Database;
class Statement;

// One writer, the daemon; other processes may read meanwhile. Every error names the file.
class History {
 public:
  // The oldest entries make room for new ones beyond this.
  static constexpr std::size_t kMaxEntries = 100'000;

  // Makes the file when it is not there, and brings the schema of an older version up to date.
  // Err invalid: not a history, damaged, or of a newer version; the text has the remedy.
  static Result<std::unique_ptr<History>> open(const std::string& path);
  // For a look beside a daemon that writes: changes nothing, and reads the files of older versions
  // as they are. Err io when there is no file.
  static Result<std::unique_ptr<History>> open_to_read(const std::string& path);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;
  History(History&&) = delete;
  History& operator=(History&&) = delete;

  // A VM that is entered already, among the latest, stays as it was entered: whoever does not know
  // whether that was done does it again.
  Result<void> record(const FinishedJob& job);
  // Entries of VMs that ended before `oldest` go, and where the others take more than `max_size` a
  // tenth of them, the oldest. To be called now and then.
  Result<void> shrink(WallTime oldest, Bytes max_size);
  // What GitHub said of the latest entry of this VM; it knows better than we whose job it was. From
  // now on nothing is wanted; with the facts of no job, that is all.
  Result<void> add_facts(const std::string& vm, const core::JobFacts& facts);
  // At most `limit` entries that want facts and ended at `since` or later, the oldest first.
  Result<std::vector<FinishedJob>> wanting(WallTime since, std::size_t limit);
  // At most `limit` entries, the latest first.
  Result<std::vector<FinishedJob>> recent(std::size_t limit);
  // At most `limit` entries whose jobs were queued (where that is not known: whose VMs were
  // created) from `from` on and before `to`; the oldest first.
  Result<std::vector<FinishedJob>> between(WallTime from, WallTime to, std::size_t limit);

  // Medians of how long jobs ran, see core/run_times.h. Of jobs that came to their own end, the
  // latest core::RunTimes::kMostRuns.
  Result<std::vector<core::Estimate>> estimates();
  // Only those that `job`, which was just recorded, has a part in: of the job and of its profile.
  Result<std::vector<core::Estimate>> estimates_of(const FinishedJob& job);

 private:
  History(Database database, std::string_view rows);
  Result<std::vector<FinishedJob>> read_all(Statement& rows);
  std::unique_ptr<Database> database_;
  std::string rows_;  // the table with the columns of the newest version
};

}  // namespace mvr::history
