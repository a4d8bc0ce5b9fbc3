#include "history/history.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "core/run_times.h"
#include "history/database.h"

namespace mvr::history {
namespace {

// Entry n brings a file from version n to n + 1. Never change one that was released: add one.
constexpr std::array<std::string_view, 4> kMigrations{
    "CREATE TABLE finished ("
    " id INTEGER PRIMARY KEY,"
    " vm TEXT NOT NULL,"
    " profile TEXT NOT NULL,"
    " scope TEXT NOT NULL,"
    " job TEXT NOT NULL,"
    " result TEXT NOT NULL,"
    " cause TEXT NOT NULL,"
    " cause_text TEXT NOT NULL,"
    " exit_code INTEGER,"
    " created_ms INTEGER,"  // times: milliseconds since 1970, UTC
    " listening_ms INTEGER,"
    " started_ms INTEGER,"
    " ended_ms INTEGER,"
    " host TEXT NOT NULL,"
    " vcpus INTEGER NOT NULL,"
    " memory INTEGER NOT NULL,"  // bytes
    " disk INTEGER NOT NULL"
    ") STRICT",
    "ALTER TABLE finished ADD COLUMN repository TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN workflow TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN queued_ms INTEGER",
    "ALTER TABLE finished ADD COLUMN runner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN wanted TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN job_id INTEGER NOT NULL DEFAULT 0;"  // 0: no facts
    "ALTER TABLE finished ADD COLUMN run_id INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE finished ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE finished ADD COLUMN conclusion TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN branch TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN event TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN actor TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE finished ADD COLUMN first_step_ms INTEGER;"
    "ALTER TABLE finished ADD COLUMN completed_ms INTEGER",
    "ALTER TABLE finished ADD COLUMN memory_peak INTEGER;"  // bytes; NULL: the guest did not say
    "ALTER TABLE finished ADD COLUMN disk_peak INTEGER;"
    "ALTER TABLE finished ADD COLUMN cpu_ms INTEGER",
};
// "MVRH": tells a history from any other SQLite file.
constexpr std::int64_t kApplicationId = 0x4d565248;

constexpr std::string_view kNewestRows = "finished";
// What readers make of the files of older versions, which they must not change.
constexpr std::array<std::string_view, 3> kOlderRows{
    "(SELECT *, '' AS repository, '' AS workflow, NULL AS queued_ms, '' AS runner, '' AS wanted,"
    " 0 AS job_id, 0 AS run_id, 0 AS attempt, '' AS conclusion, '' AS branch, '' AS event,"
    " '' AS actor, NULL AS first_step_ms, NULL AS completed_ms, NULL AS memory_peak,"
    " NULL AS disk_peak, NULL AS cpu_ms FROM finished)",
    "(SELECT *, '' AS runner, '' AS wanted, 0 AS job_id, 0 AS run_id, 0 AS attempt,"
    " '' AS conclusion, '' AS branch, '' AS event, '' AS actor, NULL AS first_step_ms,"
    " NULL AS completed_ms, NULL AS memory_peak, NULL AS disk_peak, NULL AS cpu_ms FROM finished)",
    "(SELECT *, NULL AS memory_peak, NULL AS disk_peak, NULL AS cpu_ms FROM finished)",
};

constexpr std::string_view kInsert =
    "INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, repository,"
    " workflow, runner, wanted, exit_code, queued_ms, created_ms, listening_ms, started_ms,"
    " ended_ms, host, vcpus, memory, disk, memory_peak, disk_peak, cpu_ms)"
    " SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
    // Names are random: over the years one may come again, but not among the latest.
    " WHERE NOT EXISTS (SELECT * FROM finished"
    "  WHERE id > (SELECT max(id) FROM finished) - 1000 AND vm = ?)";
constexpr std::string_view kForget =
    "DELETE FROM finished WHERE id <= (SELECT max(id) FROM finished) - ?";
constexpr std::string_view kForgetBefore = "DELETE FROM finished WHERE ended_ms < ?";
// Some of the oldest, so that it need not be done for each new entry.
constexpr std::string_view kForgetOldest =
    "DELETE FROM finished WHERE id <= (SELECT min(id) + (max(id) - min(id)) / 10 FROM finished)";
constexpr std::string_view kSelect =
    "SELECT vm, profile, scope, job, result, cause, cause_text, repository, workflow, exit_code,"
    " queued_ms, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, runner,"
    " wanted, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms,"
    " completed_ms, memory_peak, disk_peak, cpu_ms"
    " FROM ";
constexpr std::string_view kRecent = " ORDER BY id DESC LIMIT ?";
constexpr std::string_view kBetween =
    " WHERE coalesce(queued_ms, created_ms) >= ? AND coalesce(queued_ms, created_ms) < ?"
    " ORDER BY coalesce(queued_ms, created_ms), id LIMIT ?";
constexpr std::string_view kWanting = " WHERE wanted <> '' AND ended_ms >= ? ORDER BY id LIMIT ?";
constexpr std::string_view kWantNothing =
    "UPDATE finished SET wanted = ''"
    " WHERE id = (SELECT max(id) FROM finished WHERE vm = ? AND wanted <> ''"
    "  AND id > (SELECT max(id) FROM finished) - 10000)";
constexpr std::string_view kAddFacts =
    "UPDATE finished SET wanted = '', job_id = ?, run_id = ?, attempt = ?, repository = ?,"
    " workflow = ?, conclusion = ?, branch = ?, event = ?, actor = ?,"
    " queued_ms = coalesce(?, queued_ms), first_step_ms = ?, completed_ms = ?"
    " WHERE id = (SELECT max(id) FROM finished WHERE vm = ? AND wanted <> ''"
    "  AND id > (SELECT max(id) FROM finished) - 10000)";
constexpr std::string_view kRuns =
    "SELECT ended_ms - started_ms, profile, repository, workflow, job FROM ";
// Of thousands of other jobs the profile's median wants the lengths only.
constexpr std::string_view kLengths =
    "SELECT ended_ms - started_ms, profile IS ?1, (repository, workflow, job) IS (?2, ?3, ?4) "
    "FROM ";
// What failed in its own time tells as much as what succeeded; what was cut off does not. A
// clock that was set back is no run time.
constexpr std::string_view kWhole =
    " WHERE result IN ('Succeeded', 'Failed') AND cause = 'finished'"
    " AND started_ms >= 0 AND ended_ms >= started_ms ORDER BY id DESC LIMIT ?";

std::optional<std::int64_t> to_ms(const std::optional<WallTime>& time) {
  if (!time) return std::nullopt;
  return time->time_since_epoch().count();
}

std::optional<WallTime> from_ms(std::optional<std::int64_t> ms) {
  if (!ms) return std::nullopt;
  return WallTime{Duration{*ms}};
}

std::int64_t to_integer(Bytes size) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return static_cast<std::int64_t>(std::min(size.value, kMost));
}

// A number of a file that something else has written to may be anything.
template <class T>
T bounded(std::int64_t value) {
  constexpr auto kLeast = static_cast<std::int64_t>(std::numeric_limits<T>::min());
  constexpr auto kMost = static_cast<std::int64_t>(std::numeric_limits<T>::max());
  return static_cast<T>(std::clamp(value, kLeast, kMost));
}

Bytes to_bytes(std::int64_t value) {
  return Bytes{static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0))};
}

Result<std::int64_t> number(Database& database, std::string_view query) {
  TRY_ASSIGN(Statement statement, database.prepare(query));
  TRY_ASSIGN(const bool has_row, statement.step());
  if (!has_row) return 0;
  const std::int64_t value = statement.integer();
  TRY(statement.row_error());
  return value;
}

Result<void> check_owner(Database& database, std::int64_t version) {
  const std::string place = "history " + database.path();
  TRY_ASSIGN(const std::int64_t owner, number(database, "PRAGMA application_id"));
  TRY_ASSIGN(const std::int64_t tables, number(database, "SELECT count(*) FROM sqlite_schema"));
  if (tables > 0 && owner != kApplicationId) {
    return fail(Errc::invalid, place + ": the file is not a history of mvrunner; move it away");
  }
  const auto known = static_cast<std::int64_t>(kMigrations.size());
  if (version < 0 || version > known) {
    return fail(Errc::invalid, place + ": written by a newer mvrunner (version " +
                                   std::to_string(version) + ", this one knows " +
                                   std::to_string(known) + "); upgrade, or move the file away");
  }
  return {};
}

Result<std::int64_t> version_of(Database& database) {
  TRY_ASSIGN(const std::int64_t version, number(database, "PRAGMA user_version"));
  TRY(check_owner(database, version));
  return version;
}

// All steps in one transaction: a crash leaves the old version.
Result<void> migrate(Database& database) {
  TRY_ASSIGN(Transaction transaction, Transaction::begin(database));
  TRY_ASSIGN(const std::int64_t version, version_of(database));
  if (version == static_cast<std::int64_t>(kMigrations.size())) return {};
  for (auto step = static_cast<std::size_t>(version); step < kMigrations.size(); ++step) {
    TRY(database.run(std::string(kMigrations.at(step))));
  }
  TRY(database.run("PRAGMA application_id = " + std::to_string(kApplicationId)));
  TRY(database.run("PRAGMA user_version = " + std::to_string(kMigrations.size())));
  return transaction.commit();
}

std::int64_t to_limit(std::size_t limit) {
  return static_cast<std::int64_t>(std::min(limit, History::kMaxEntries));
}

// The latest runs that came to their own end, the latest first; `rows` are of kRuns or kLengths.
Result<void> each_run(Statement& rows,
                      const std::function<void(Duration length, Statement& rest)>& use) {
  while (true) {
    TRY_ASSIGN(const bool has_row, rows.step());
    if (!has_row) return {};
    const Duration length{rows.integer()};
    use(length, rows);
    TRY(rows.row_error());
  }
}

void read_facts(Statement& row, FinishedJob& job) {
  core::JobFacts& facts = job.facts;
  facts.job = row.integer();
  facts.run = row.integer();
  facts.attempt = row.integer();
  facts.conclusion = row.text();
  facts.branch = row.text();
  facts.event = row.text();
  facts.actor = row.text();
  facts.first_step = from_ms(row.optional_integer());
  facts.completed = from_ms(row.optional_integer());
  if (facts.job == 0) return;
  facts.repository = job.repository;
  facts.workflow = job.workflow;
  facts.created = job.queued;
}

Result<FinishedJob> read_row(Statement& row) {
  FinishedJob job;
  job.vm = row.text();
  job.profile = row.text();
  job.scope = row.text();
  job.job = row.text();
  job.result = row.text();
  job.cause = row.text();
  job.cause_text = row.text();
  job.repository = row.text();
  job.workflow = row.text();
  if (const auto code = row.optional_integer()) job.exit_code = bounded<int>(*code);
  job.queued = from_ms(row.optional_integer());
  job.created = from_ms(row.optional_integer());
  job.listening = from_ms(row.optional_integer());
  job.started = from_ms(row.optional_integer());
  job.ended = from_ms(row.optional_integer());
  job.host = row.text();
  job.size.vcpus = bounded<std::uint32_t>(row.integer());
  job.size.memory = to_bytes(row.integer());
  job.size.disk = to_bytes(row.integer());
  job.runner = row.text();
  job.wanted = row.text();
  read_facts(row, job);
  const auto memory = row.optional_integer();
  const auto disk = row.optional_integer();
  const auto cpu = row.optional_integer();
  if (memory && disk && cpu) job.used = Used{to_bytes(*memory), to_bytes(*disk), Duration{*cpu}};
  TRY(row.row_error());
  return job;
}

}  // namespace

History::History(Database database, std::string_view rows)
    : database_(std::make_unique<Database>(std::move(database))), rows_(rows) {}
History::~History() = default;

Result<std::unique_ptr<History>> History::open(const std::string& path) {
  TRY_ASSIGN(Database database, Database::open(path));
  TRY(migrate(database));
  // A commit is one append now; a crash of the host may lose the last entries, never the file. The
  // kernel caches the file anyway: little of it (KiB) is kept a second time in our memory.
  TRY(
      database.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                   "PRAGMA cache_size = -512"));
  return std::unique_ptr<History>(new History(std::move(database), kNewestRows));
}

Result<std::unique_ptr<History>> History::open_to_read(const std::string& path) {
  TRY_ASSIGN(Database database, Database::open_to_read(path));
  TRY_ASSIGN(const std::int64_t version, version_of(database));
  if (version == 0) return fail(Errc::not_found, "history " + path + ": it has no entries yet");
  const bool is_older = version < static_cast<std::int64_t>(kMigrations.size());
  const std::string_view rows =
      is_older ? kOlderRows.at(static_cast<std::size_t>(version) - 1) : kNewestRows;
  return std::unique_ptr<History>(new History(std::move(database), rows));
}

Result<void> History::record(const FinishedJob& job) {
  TRY_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  TRY_ASSIGN(Statement insert, database_->prepare(kInsert));
  for (const std::string* text :
       {&job.vm, &job.profile, &job.scope, &job.job, &job.result, &job.cause, &job.cause_text,
        &job.repository, &job.workflow, &job.runner, &job.wanted}) {
    insert.bind(std::string_view(*text));
  }
  insert.bind(job.exit_code ? std::optional<std::int64_t>(*job.exit_code) : std::nullopt);
  for (const auto& time : {job.queued, job.created, job.listening, job.started, job.ended}) {
    insert.bind(to_ms(time));
  }
  insert.bind(std::string_view(job.host));
  insert.bind(std::int64_t{job.size.vcpus});
  insert.bind(to_integer(job.size.memory));
  insert.bind(to_integer(job.size.disk));
  insert.bind(job.used ? std::optional(to_integer(job.used->memory)) : std::nullopt);
  insert.bind(job.used ? std::optional(to_integer(job.used->disk)) : std::nullopt);
  insert.bind(job.used ? std::optional<std::int64_t>(job.used->cpu.count()) : std::nullopt);
  insert.bind(std::string_view(job.vm));
  TRY(insert.step());
  TRY_ASSIGN(Statement forget, database_->prepare(kForget));
  forget.bind(static_cast<std::int64_t>(kMaxEntries));
  TRY(forget.step());
  return transaction.commit();
}

Result<void> History::shrink(WallTime oldest, Bytes max_size) {
  TRY_ASSIGN(Statement before, database_->prepare(kForgetBefore));
  before.bind(std::int64_t{oldest.time_since_epoch().count()});
  TRY(before.step());
  TRY_ASSIGN(const std::int64_t page, number(*database_, "PRAGMA page_size"));
  TRY_ASSIGN(const std::int64_t pages, number(*database_, "PRAGMA page_count"));
  TRY_ASSIGN(const std::int64_t unused, number(*database_, "PRAGMA freelist_count"));
  // Pages that are free are used again: the file as it is need not shrink, only its use.
  if ((pages - unused) * page <= to_integer(max_size)) return {};
  return database_->run(std::string(kForgetOldest));
}

Result<void> History::add_facts(const std::string& vm, const core::JobFacts& facts) {
  if (facts.job == 0) {
    TRY_ASSIGN(Statement nothing, database_->prepare(kWantNothing));
    nothing.bind(std::string_view(vm));
    TRY(nothing.step());
    return {};
  }
  TRY_ASSIGN(Statement update, database_->prepare(kAddFacts));
  for (const std::int64_t number : {facts.job, facts.run, facts.attempt}) update.bind(number);
  for (const std::string* text : {&facts.repository, &facts.workflow, &facts.conclusion,
                                  &facts.branch, &facts.event, &facts.actor}) {
    update.bind(std::string_view(*text));
  }
  for (const auto& time : {facts.created, facts.first_step, facts.completed}) {
    update.bind(to_ms(time));
  }
  update.bind(std::string_view(vm));
  TRY(update.step());
  return {};
}

Result<std::vector<FinishedJob>> History::wanting(WallTime since, std::size_t limit) {
  TRY_ASSIGN(Statement rows,
             database_->prepare(std::string(kSelect).append(rows_).append(kWanting)));
  rows.bind(std::int64_t{since.time_since_epoch().count()});
  rows.bind(to_limit(limit));
  return read_all(rows);
}

Result<std::vector<FinishedJob>> History::read_all(Statement& rows) {
  std::vector<FinishedJob> jobs;
  while (true) {
    TRY_ASSIGN(const bool has_row, rows.step());
    if (!has_row) return jobs;
    TRY_ASSIGN(FinishedJob job, read_row(rows));
    jobs.push_back(std::move(job));
  }
}

Result<std::vector<FinishedJob>> History::recent(std::size_t limit) {
  TRY_ASSIGN(Statement rows,
             database_->prepare(std::string(kSelect).append(rows_).append(kRecent)));
  rows.bind(to_limit(limit));
  return read_all(rows);
}

Result<std::vector<FinishedJob>> History::between(WallTime from, WallTime to, std::size_t limit) {
  TRY_ASSIGN(Statement rows,
             database_->prepare(std::string(kSelect).append(rows_).append(kBetween)));
  rows.bind(std::int64_t{from.time_since_epoch().count()});
  rows.bind(std::int64_t{to.time_since_epoch().count()});
  rows.bind(to_limit(limit));
  return read_all(rows);
}

Result<std::vector<core::Estimate>> History::estimates() {
  core::RunTimes times;
  TRY_ASSIGN(Statement rows, database_->prepare(std::string(kRuns).append(rows_).append(kWhole)));
  rows.bind(to_limit(core::RunTimes::kMostRuns));
  TRY(each_run(rows, [&times](Duration length, Statement& rest) {
    core::Run run;
    for (std::string* text : {&run.profile, &run.repository, &run.workflow, &run.job}) {
      *text = rest.text();
    }
    run.length = length;
    times.add(run);
  }));
  return times.all();
}

Result<std::vector<core::Estimate>> History::estimates_of(const FinishedJob& job) {
  const core::Run own{job.profile, job.repository, job.workflow, job.job, {}};
  core::RunTimes times;
  TRY_ASSIGN(Statement rows,
             database_->prepare(std::string(kLengths).append(rows_).append(kWhole)));
  for (const std::string* text : {&own.profile, &own.repository, &own.workflow, &own.job}) {
    rows.bind(std::string_view(*text));
  }
  rows.bind(to_limit(core::RunTimes::kMostRuns));
  TRY(each_run(rows, [&](Duration length, Statement& rest) {
    const bool is_of_profile = rest.integer() != 0;
    const bool is_same_job = rest.integer() != 0;
    if (!is_of_profile && !is_same_job) return;
    core::Run run;
    if (is_same_job) run = own;
    run.profile = is_of_profile ? own.profile : "";
    run.length = length;
    times.add(run);
  }));
  return times.of(own);
}

}  // namespace mvr::history
