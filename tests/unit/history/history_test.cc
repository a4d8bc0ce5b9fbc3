#include "history/history.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include <sqlite3.h>

#include "catch.h"

namespace mvr::history {
namespace {

// A directory of its own that goes with the test.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "mvr-history-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  TempDir(TempDir&&) = delete;
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir() {
    std::error_code ignored;  // nothing to do about it at the end of a test
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file() const { return path_ + "/history.sqlite"; }

 private:
  std::string path_;
};

WallTime at(std::int64_t ms) { return WallTime{Duration{ms}}; }

FinishedJob full_job() {
  FinishedJob job;
  job.vm = "small-abc234";
  job.profile = "small";
  job.scope = "acme";
  job.repository = "acme/web";
  job.workflow = "ci";
  job.job = "build \xc3\xbc 'x'; DROP TABLE finished";
  job.result = "Succeeded";
  job.cause = "finished";
  job.cause_text = "";
  job.exit_code = -1;
  job.queued = at(1'794'999'990'000);
  job.created = at(1'795'000'000'001);
  job.listening = at(1'795'000'004'000);
  job.started = at(1'795'000'005'000);
  job.ended = at(1'795'000'065'000);
  job.host = "build7";
  job.size = core::Resources{gib(4), 2, gib(20)};
  job.runner = "mv-h1-small-0a1b2c3d";
  job.wanted = "acme/web#17";
  return job;
}

core::JobFacts facts() {
  core::JobFacts made;
  made.job = 48'000'000'001;
  made.run = 17'000'000'001;
  made.attempt = 2;
  made.repository = "acme/api";
  made.workflow = "deploy";
  made.conclusion = "failure";
  made.branch = "main'; --";
  made.event = "push";
  made.actor = "mona";
  made.created = at(1'794'999'980'000);
  made.first_step = at(1'795'000'006'000);
  made.completed = at(1'795'000'060'000);
  return made;
}

FinishedJob named(const std::string& vm) {
  FinishedJob job;
  job.vm = vm;
  return job;
}

FinishedJob run_of(const std::string& job, std::int64_t seconds,
                   const std::string& profile = "small") {
  static int vms = 0;
  FinishedJob made = full_job();
  made.vm = "small-" + std::to_string(++vms);
  made.job = job;
  made.profile = profile;
  made.ended = *made.started + std::chrono::seconds(seconds);
  return made;
}

core::Estimate of_job(const std::string& job, std::int64_t seconds) {
  return core::Estimate{"", "acme/web", "ci", job, std::chrono::seconds(seconds)};
}

core::Estimate of_profile(const std::string& profile, std::int64_t seconds) {
  return core::Estimate{profile, "", "", "", std::chrono::seconds(seconds)};
}

// As mvrunner's first version left it, with one entry.
constexpr const char* kVersion1 =
    "CREATE TABLE finished (id INTEGER PRIMARY KEY, vm TEXT NOT NULL, profile TEXT NOT NULL, scope "
    "TEXT NOT NULL, job TEXT NOT NULL, result TEXT NOT NULL, cause TEXT NOT NULL, cause_text TEXT "
    "NOT NULL, exit_code INTEGER, created_ms INTEGER, listening_ms INTEGER, started_ms INTEGER, "
    "ended_ms INTEGER, host TEXT NOT NULL, vcpus INTEGER NOT NULL, memory INTEGER NOT NULL, disk "
    "INTEGER NOT NULL) STRICT;"
    "INSERT INTO finished VALUES (1, 'small-a', 'small', 'acme/web', 'build', 'Succeeded', "
    "'finished', '', 0, 1000, 2000, 3000, 9000, 'h1', 2, 1024, 2048);"
    "PRAGMA application_id = 1297502792; PRAGMA user_version = 1";

// The columns of versions 3 and 4.
const std::string kNoFacts = "'', '', 0, 0, 0, '', '', '', '', NULL, NULL, NULL, NULL, NULL";

FinishedJob version_1_job() {
  FinishedJob job;
  job.vm = "small-a";
  job.profile = "small";
  job.scope = "acme/web";
  job.job = "build";
  job.result = "Succeeded";
  job.cause = "finished";
  job.exit_code = 0;
  job.created = at(1000);
  job.listening = at(2000);
  job.started = at(3000);
  job.ended = at(9000);
  job.host = "h1";
  job.size = core::Resources{Bytes{1024}, 2, Bytes{2048}};
  return job;
}

std::unique_ptr<History> opened(const std::string& path) {
  Result<std::unique_ptr<History>> history = History::open(path);
  if (!history) FAIL(history.error().what);
  return std::move(*history);
}

std::vector<FinishedJob> recent(History& history, std::size_t limit) {
  Result<std::vector<FinishedJob>> jobs = history.recent(limit);
  if (!jobs) FAIL(jobs.error().what);
  return *jobs;
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  const int code = sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(database);
  REQUIRE(code == SQLITE_OK);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("a new history is empty") {
  const TempDir dir;
  CHECK(recent(*opened(dir.file()), 10).empty());
}

TEST_CASE("what is recorded comes back as it was") {
  const TempDir dir;
  const auto history = opened(dir.file());
  REQUIRE(history->record(full_job()));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{full_job()});
}

TEST_CASE("what is not known of a job stays unknown") {
  const TempDir dir;
  const auto history = opened(dir.file());
  REQUIRE(history->record(named("vm")));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("vm")});
}

TEST_CASE("the latest job comes first, and no more than asked for") {
  const TempDir dir;
  const auto history = opened(dir.file());
  for (const char* vm : {"a", "b", "c"}) REQUIRE(history->record(named(vm)));
  CHECK(recent(*history, 2) == std::vector<FinishedJob>{named("c"), named("b")});
  CHECK(recent(*history, 0).empty());
}

TEST_CASE("a history opened again has its jobs") {
  const TempDir dir;
  REQUIRE(opened(dir.file())->record(full_job()));
  CHECK(recent(*opened(dir.file()), 10) == std::vector<FinishedJob>{full_job()});
}

TEST_CASE("a second reader sees what the writer recorded") {
  const TempDir dir;
  const auto writer = opened(dir.file());
  const auto reader = opened(dir.file());
  REQUIRE(writer->record(named("a")));
  CHECK(recent(*reader, 10).size() == 1);
}

TEST_CASE("an old job makes room for a new one beyond the bound") {
  const TempDir dir;
  (void)opened(dir.file());
  run_sql(dir.file(),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
              std::to_string(History::kMaxEntries) +
              ") INSERT INTO finished SELECT i, 'old', '', '', '', '', '', '', NULL, NULL, NULL, "
              "NULL, NULL, '', 0, 0, 0, '', '', NULL, " +
              kNoFacts + " FROM n");
  const auto history = opened(dir.file());
  REQUIRE(history->record(named("new")));
  const std::vector<FinishedJob> jobs = recent(*history, History::kMaxEntries + 10);
  CHECK(jobs.size() == History::kMaxEntries);
  CHECK(jobs.front().vm == "new");
}

TEST_CASE("a file that is not a database is refused with its name and the remedy") {
  const TempDir dir;
  write_file(dir.file(), std::string(4096, 'x'));
  const auto history = History::open(dir.file());
  REQUIRE_FALSE(history);
  CHECK(history.error() ==
        Error{Errc::invalid, "history " + dir.file() +
                                 ": file is not a database; move the file away and restart, "
                                 "mvrunner makes a new one"});
}

TEST_CASE("a damaged database is an error, not an answer") {
  const TempDir dir;
  {
    const auto history = opened(dir.file());
    for (int i = 0; i < 200; ++i) REQUIRE(history->record(run_of("build", i)));
  }
  // Everything but the first page, which holds the schema.
  const auto size = std::filesystem::file_size(dir.file());
  REQUIRE(size > 3 * 4096);
  std::fstream file(dir.file(), std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(4096);
  file << std::string(size - 4096, '\xee');
  file.close();
  const auto history = opened(dir.file());
  const auto jobs = history->recent(10);
  REQUIRE_FALSE(jobs);
  CHECK(jobs.error().code == Errc::invalid);
  CHECK(jobs.error().what.find(dir.file()) != std::string::npos);
  CHECK(jobs.error().what.find("move the file away") != std::string::npos);
}

TEST_CASE("somebody else's database is refused and left alone") {
  const TempDir dir;
  run_sql(dir.file(), "CREATE TABLE recipes (name TEXT)");
  const auto history = History::open(dir.file());
  REQUIRE_FALSE(history);
  CHECK(history.error() ==
        Error{Errc::invalid,
              "history " + dir.file() + ": the file is not a history of mvrunner; move it away"});
  run_sql(dir.file(), "INSERT INTO recipes VALUES ('soup')");
}

TEST_CASE("a history of a newer mvrunner is refused") {
  const TempDir dir;
  (void)opened(dir.file());
  run_sql(dir.file(), "PRAGMA user_version = 7");
  const auto history = History::open(dir.file());
  REQUIRE_FALSE(history);
  CHECK(history.error() ==
        Error{Errc::invalid, "history " + dir.file() +
                                 ": written by a newer mvrunner (version 7, this one knows 4); "
                                 "upgrade, or move the file away"});
}

TEST_CASE("a column of the wrong type is an error") {
  const TempDir dir;
  (void)opened(dir.file());
  run_sql(dir.file(),
          "DROP TABLE finished; CREATE TABLE finished (id INTEGER PRIMARY KEY, vm, profile, scope, "
          "job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, "
          "ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, wanted, "
          "job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms, "
          "memory_peak, disk_peak, cpu_ms);"
          "INSERT INTO finished VALUES (1, 5, '', '', '', '', '', '', NULL, NULL, NULL, NULL, "
          "NULL, '', 0, 0, 0, '', '', NULL, " +
              kNoFacts + ")");
  const auto jobs = opened(dir.file())->recent(10);
  REQUIRE_FALSE(jobs);
  CHECK(jobs.error().code == Errc::invalid);
}

TEST_CASE("a directory that is not there is an error that names the file") {
  const auto history = History::open("/nonexistent/history.sqlite");
  REQUIRE_FALSE(history);
  CHECK(history.error().what ==
        "history /nonexistent/history.sqlite: unable to open database file; check that its "
        "directory exists and can be written");
}

TEST_CASE("another writer's lock is reported as busy") {
  const TempDir dir;
  const auto history = opened(dir.file());
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open(dir.file().c_str(), &other) == SQLITE_OK);
  REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  const auto recorded = history->record(named("a"));
  sqlite3_close(other);
  REQUIRE_FALSE(recorded);
  CHECK(recorded.error().code == Errc::busy);
}

TEST_CASE("an entry that could not be written leaves the history usable") {
  const TempDir dir;
  const auto history = opened(dir.file());
  run_sql(dir.file(),
          "CREATE TRIGGER refuse BEFORE INSERT ON finished WHEN NEW.vm = 'bad' "
          "BEGIN SELECT RAISE(ABORT, 'no'); END");
  CHECK_FALSE(history->record(named("bad")));
  CHECK(history->record(named("good")));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("good")});
}

TEST_CASE("a history of version 1 is upgraded, and its entries know no more than they did") {
  const TempDir dir;
  run_sql(dir.file(), kVersion1);
  REQUIRE(opened(dir.file())->record(full_job()));
  CHECK(recent(*opened(dir.file()), 10) == std::vector<FinishedJob>{full_job(), version_1_job()});
}

TEST_CASE("a reader takes a history of version 1 as it is and leaves it so") {
  const TempDir dir;
  run_sql(dir.file(), kVersion1);
  auto reader = History::open_to_read(dir.file());
  REQUIRE(reader);
  CHECK(recent(**reader, 10) == std::vector<FinishedJob>{version_1_job()});
  CHECK((*reader)->estimates() == std::vector<core::Estimate>{});
  CHECK_FALSE((*reader)->record(full_job()));
  run_sql(dir.file(),
          "INSERT INTO finished SELECT 2, vm, profile, scope, job, result, cause, "
          "cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, "
          "host, vcpus, memory, disk FROM finished");
}

// A file of version 2, with one entry.
static void make_version_2(const TempDir& dir) {
  run_sql(dir.file(), kVersion1);
  run_sql(dir.file(),
          "ALTER TABLE finished ADD COLUMN repository TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN workflow TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN queued_ms INTEGER; PRAGMA user_version = 2");
}

TEST_CASE("a history of version 2 is upgraded, and read as it is") {
  const TempDir dir;
  make_version_2(dir);
  auto reader = History::open_to_read(dir.file());
  REQUIRE(reader);
  CHECK(recent(**reader, 10) == std::vector<FinishedJob>{version_1_job()});
  REQUIRE(opened(dir.file())->record(full_job()));
  CHECK(recent(*opened(dir.file()), 10) == std::vector<FinishedJob>{full_job(), version_1_job()});
}

TEST_CASE("a history of version 3 is upgraded, and read as it is") {
  const TempDir dir;
  make_version_2(dir);
  run_sql(dir.file(),
          "ALTER TABLE finished ADD COLUMN runner TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN wanted TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN job_id INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE finished ADD COLUMN run_id INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE finished ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE finished ADD COLUMN conclusion TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN branch TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN event TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN actor TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE finished ADD COLUMN first_step_ms INTEGER;"
          "ALTER TABLE finished ADD COLUMN completed_ms INTEGER; PRAGMA user_version = 3");
  auto reader = History::open_to_read(dir.file());
  REQUIRE(reader);
  CHECK(recent(**reader, 10) == std::vector<FinishedJob>{version_1_job()});
  REQUIRE(opened(dir.file())->record(full_job()));
  CHECK(recent(*opened(dir.file()), 10) == std::vector<FinishedJob>{full_job(), version_1_job()});
}

TEST_CASE("what a VM used is kept, and that it is not known") {
  const TempDir dir;
  const auto history = opened(dir.file());
  FinishedJob job = full_job();
  job.used = Used{Bytes{3'000'000'000}, Bytes{7}, Duration{90'500}};
  REQUIRE(history->record(job));
  FinishedJob other = named("other");
  REQUIRE(history->record(other));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{other, job});
}

// As on a full disk: from here on no file grows beyond `bytes`.
class NoRoom {
 public:
  explicit NoRoom(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit none{bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
  }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;
  NoRoom(NoRoom&&) = delete;
  NoRoom& operator=(NoRoom&&) = delete;
  ~NoRoom() {
    (void)::setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("on a full disk an entry is refused, what was written stays, and later ones are taken") {
  const TempDir dir;
  const auto history = opened(dir.file());
  REQUIRE(history->record(named("before")));
  {
    const NoRoom full(1024);
    const auto refused = history->record(named("lost"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().what.find(dir.file()) != std::string::npos);
    CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("before")});
    CHECK_FALSE(history->record(named("lost again")));
  }
  REQUIRE(history->record(named("after")));
  const std::vector<FinishedJob> both{named("after"), named("before")};
  CHECK(recent(*history, 10) == both);
  CHECK(recent(*opened(dir.file()), 10) == both);
}

TEST_CASE("what is too old goes, and of what is too much the oldest") {
  const TempDir dir;
  const auto history = opened(dir.file());
  for (int n = 0; n < 1000; ++n) {
    FinishedJob job = full_job();
    job.vm = "small-" + std::to_string(n);
    job.cause_text = std::string(300, 'x');
    job.ended = at(1'000'000 + n);
    REQUIRE(history->record(job));
  }
  REQUIRE(history->shrink(at(1'000'010), gib(1)));
  CHECK(recent(*history, 2000).size() == 990);
  CHECK(recent(*history, 2000).back().vm == "small-10");
  REQUIRE(history->shrink(at(0), Bytes{100'000}));
  const auto left = recent(*history, 2000);
  CHECK(left.size() == 891);
  CHECK(left.front().vm == "small-999");
  // Again and again until it fits; the file stays sound.
  for (int n = 0; n < 100; ++n) REQUIRE(history->shrink(at(0), Bytes{100'000}));
  CHECK(recent(*history, 2000).size() < 400);
  REQUIRE(history->record(named("new")));
  CHECK(recent(*history, 1).front().vm == "new");
}

TEST_CASE("facts are added to the entry that wants them, and correct what was guessed") {
  const TempDir dir;
  const auto history = opened(dir.file());
  REQUIRE(history->record(full_job()));
  REQUIRE(history->record(named("other")));
  REQUIRE(history->add_facts(full_job().vm, facts()));
  FinishedJob wanted = full_job();
  wanted.wanted.clear();
  wanted.repository = "acme/api";
  wanted.workflow = "deploy";
  wanted.queued = facts().created;
  wanted.facts = facts();
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("other"), wanted});
  core::JobFacts late = facts();
  late.conclusion = "success";
  REQUIRE(history->add_facts(full_job().vm, late));  // nothing wants them any more
  REQUIRE(history->add_facts("nobody", late));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("other"), wanted});
}

TEST_CASE("what wants facts is known to a later daemon, until it is given up") {
  const TempDir dir;
  const auto history = opened(dir.file());
  FinishedJob old = full_job();
  old.vm = "old";
  old.ended = at(1'000);
  for (const auto& job : {old, full_job(), named("unused")}) REQUIRE(history->record(job));
  const auto wanting = [&] { return history->wanting(at(1'795'000'000'000), 10).value(); };
  CHECK(wanting() == std::vector<FinishedJob>{full_job()});
  REQUIRE(history->add_facts(full_job().vm, {}));
  CHECK(wanting().empty());
  FinishedJob given_up = full_job();
  given_up.wanted.clear();
  CHECK(recent(*history, 10).at(1) == given_up);
}

TEST_CASE("a reader sees what the daemon records while it is open") {
  const TempDir dir;
  const auto writer = opened(dir.file());
  auto reader = History::open_to_read(dir.file());
  REQUIRE(reader);
  REQUIRE(writer->record(named("a")));
  CHECK(recent(**reader, 10) == std::vector<FinishedJob>{named("a")});
}

TEST_CASE("reading makes no file") {
  const TempDir dir;
  const auto reader = History::open_to_read(dir.file());
  REQUIRE_FALSE(reader);
  CHECK(reader.error().what.find(dir.file()) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(dir.file()));
}

TEST_CASE("a VM is entered once, and as it was entered first") {
  const TempDir dir;
  FinishedJob again = full_job();
  again.cause = "vm_died";
  REQUIRE(opened(dir.file())->record(full_job()));
  const auto history = opened(dir.file());
  REQUIRE(history->record(again));
  REQUIRE(history->record(named("other")));
  REQUIRE(history->record(again));
  CHECK(recent(*history, 10) == std::vector<FinishedJob>{named("other"), full_job()});
}

TEST_CASE("what was queued in a time comes oldest first, without a queue time by its VM's") {
  const TempDir dir;
  const auto history = opened(dir.file());
  FinishedJob late = named("late");
  late.queued = at(3000);
  late.created = at(9000);
  FinishedJob early = named("early");
  early.created = at(1000);
  FinishedJob after = named("after");
  after.queued = at(4000);
  for (const FinishedJob& job : {late, early, after, named("timeless")}) {
    REQUIRE(history->record(job));
  }
  CHECK(history->between(at(1000), at(4000), 10) == std::vector<FinishedJob>{early, late});
  CHECK(history->between(at(1001), at(5000), 1) == std::vector<FinishedJob>{late});
}

TEST_CASE("a job is estimated from its second run on, a profile from its third") {
  const TempDir dir;
  const auto history = opened(dir.file());
  REQUIRE(history->record(run_of("build", 60)));
  CHECK(history->estimates() == std::vector<core::Estimate>{});
  REQUIRE(history->record(run_of("build", 80)));
  CHECK(history->estimates() == std::vector<core::Estimate>{of_job("build", 80)});
  REQUIRE(history->record(run_of("lint", 5)));
  CHECK(history->estimates() ==
        std::vector<core::Estimate>{of_job("build", 80), of_profile("small", 60)});
}

TEST_CASE("only runs that came to their own end are estimated from") {
  const TempDir dir;
  const auto history = opened(dir.file());
  for (int i = 0; i < 3; ++i) REQUIRE(history->record(run_of("build", 60)));
  FinishedJob cut = run_of("build", 3600);
  cut.cause = "job_timeout";
  FinishedJob cancelled = run_of("build", 1);
  cancelled.result = "Cancelled";
  FinishedJob set_back = run_of("build", -60);
  FinishedJob unknown = run_of("build", 60);
  unknown.started.reset();
  for (FinishedJob job : {cut, cancelled, set_back, unknown}) {
    for (int i = 0; i < 5; ++i) {
      job.vm += "x";
      REQUIRE(history->record(job));
    }
  }
  CHECK(history->estimates() ==
        std::vector<core::Estimate>{of_job("build", 60), of_profile("small", 60)});
}

TEST_CASE("a new run changes the estimates of its job and profile, and no others") {
  const TempDir dir;
  const auto history = opened(dir.file());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(history->record(run_of("build", 60)));
    REQUIRE(history->record(run_of("test", 300, "large")));
  }
  const FinishedJob fresh = run_of("lint", 10);
  REQUIRE(history->record(fresh));
  CHECK(history->estimates_of(fresh) == std::vector<core::Estimate>{of_profile("small", 60)});
  CHECK(history->estimates_of(run_of("test", 0, "small")) ==
        std::vector<core::Estimate>{of_profile("small", 60), of_job("test", 300)});
}

TEST_CASE("estimates follow the latest runs only") {
  const TempDir dir;
  (void)opened(dir.file());
  const auto insert = [&dir](int count, int seconds) {
    run_sql(dir.file(),
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
                std::to_string(count) +
                ") INSERT INTO finished SELECT NULL, 'v', 'small', 's', 'build', 'Failed', "
                "'finished', '', 0, NULL, NULL, 0, " +
                std::to_string(seconds * 1000) + ", '', 0, 0, 0, 'acme/web', 'ci', NULL, " +
                kNoFacts + " FROM n");
  };
  insert(12'000, 60);
  insert(10'000, 90);
  CHECK(opened(dir.file())->estimates() ==
        std::vector<core::Estimate>{of_job("build", 90), of_profile("small", 90)});
}

}  // namespace mvr::history
