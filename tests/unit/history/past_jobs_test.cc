#include "history/past_jobs.h"

#include <sstream>

#include "base/text.h"
#include "catch.h"

namespace mvr::history {
namespace {

using std::chrono::seconds;

const std::string kLine =
    R"({"created":"2026-01-02T03:04:05Z","repository":"o/r","workflow":"ci","job":"build","labels":["mv-small","x"],"run_s":312})";

core::ReplayJob job_of_line() {
  core::ReplayJob job;
  job.created = Instant{parse_iso8601("2026-01-02T03:04:05Z")->time_since_epoch()};
  job.repository = "o/r";
  job.workflow = "ci";
  job.name = "build";
  job.labels = {"mv-small", "x"};
  job.run = seconds{312};
  return job;
}

Result<std::vector<core::ReplayJob>> read(const std::string& text) {
  std::istringstream in(text);
  return read_trace(in, "t.jsonl");
}

std::string error_of(const std::string& text) {
  const auto jobs = read(text);
  return jobs ? "no error" : jobs.error().what;
}

// The good line with a part replaced.
std::string with(const std::string& part, const std::string& other) {
  std::string line = kLine;
  REQUIRE(line.find(part) != std::string::npos);
  return line.replace(line.find(part), part.size(), other);
}

WallTime at(std::int64_t s) { return WallTime{seconds{s}}; }

FinishedJob entry() {
  FinishedJob made;
  made.profile = "small";
  made.scope = "octo";
  made.job = "build";
  made.created = at(100);
  made.listening = at(112);
  made.started = at(115);
  made.ended = at(175);
  return made;
}

}  // namespace

TEST_CASE("a trace is read line by line, the last with or without its end") {
  CHECK(read("") == std::vector<core::ReplayJob>{});
  CHECK(read(kLine) == std::vector<core::ReplayJob>{job_of_line()});
  CHECK(read(kLine + "\n" + kLine + "\n") ==
        std::vector<core::ReplayJob>{job_of_line(), job_of_line()});
}

TEST_CASE("the workflow may be left out of a trace") {
  core::ReplayJob job = job_of_line();
  job.workflow.clear();
  CHECK(read(with(R"("workflow":"ci",)", "")) == std::vector<core::ReplayJob>{job});
}

TEST_CASE("an error in a trace names the line and the field") {
  const std::string good = kLine + "\n";
  CHECK(error_of(good + with(R"("run_s":312)", R"("run_s":-1)")) ==
        "t.jsonl:2: field 'run_s' must be a whole number of seconds from 0 to 2592000");
  CHECK(error_of(with(":312", ":2592001")).find("field 'run_s'") != std::string::npos);
  CHECK(error_of(with(":312", ":1.5")).find("field 'run_s'") != std::string::npos);
  CHECK(error_of(with(R"(,"run_s":312)", "")) == "t.jsonl:1: field 'run_s' is missing");
  CHECK(error_of(with("\"o/r\"", "\"o\"")) ==
        "t.jsonl:1: field 'repository' must be owner/name, not 'o'");
  CHECK(error_of(with("\"o/r\"", "\"o/r/x\"")).find("field 'repository'") != std::string::npos);
  CHECK(error_of(with("2026-01-02T03:04:05Z", "yesterday")) ==
        "t.jsonl:1: field 'created' must be a time like 2026-01-02T03:04:05Z, not 'yesterday'");
  CHECK(error_of(with("2026", "1926")).find("field 'created'") != std::string::npos);
  CHECK(error_of(with("\"build\"", "7")) == "t.jsonl:1: field 'job' must be a string");
  CHECK(error_of(with("\"build\"", "\"\"")) == "t.jsonl:1: field 'job' must not be empty");
  CHECK(error_of(with("build", "a\\u001bb")) == "t.jsonl:1: field 'job' holds control characters");
  CHECK(error_of(with("build", std::string(257, 'x'))) ==
        "t.jsonl:1: field 'job' is longer than 256 bytes");
  CHECK(error_of(with(R"(["mv-small","x"])", "[]")) ==
        "t.jsonl:1: field 'labels' must be a list of 1 to 64 strings");
  CHECK(error_of(with(R"("x"])", "7]")) == "t.jsonl:1: field 'labels' must hold strings");
  CHECK(error_of(with("workflow", "work\\nflow")) ==
        "t.jsonl:1: field 'work\\x0Aflow' is not known");
}

TEST_CASE("what is not one JSON object a line is no trace") {
  const std::string text = "t.jsonl:1: not one JSON object with each field once";
  CHECK(error_of("\n") == text);
  CHECK(error_of("[1]") == text);
  CHECK(error_of(kLine + kLine) == text);
  CHECK(error_of(kLine.substr(0, 50)) == text);
  CHECK(error_of(with(R"("workflow":"ci")", R"("job":"ci")")) == text);
  CHECK(error_of(with(R"("workflow":"ci")", R"("workflow":{"a":{"b":{}}})")) == text);
  CHECK(error_of(std::string(1000, '[')) == text);
  CHECK(error_of(with("build", "\xff")) == text);
}

TEST_CASE("a trace has bounds") {
  const auto long_line = read(kLine + "\n" + kLine + std::string(kMaxTraceLine, ' '));
  REQUIRE_FALSE(long_line);
  CHECK(long_line.error() == Error{Errc::too_large, "t.jsonl:2: longer than 16384 bytes"});
  CHECK(read(kLine + std::string(kMaxTraceLine - kLine.size(), ' ') + "\n"));
}

TEST_CASE("entries become jobs with what is known of them") {
  FinishedJob full = entry();
  full.repository = "octo/app";
  full.workflow = "ci";
  full.queued = at(90);
  core::ReplayJob older;
  older.created = Instant{seconds{100}};
  older.repository = "octo";
  older.name = "build";
  older.profile = "small";
  older.run = seconds{60};
  core::ReplayJob newer = older;
  newer.created = Instant{seconds{90}};
  newer.repository = "octo/app";
  newer.workflow = "ci";
  CHECK(past_jobs({entry(), full}) == std::vector<core::ReplayJob>{older, newer});
}

TEST_CASE("entries without a job of GitHub's are no jobs") {
  FinishedJob unused = entry();
  unused.started.reset();
  FinishedJob command = entry();
  command.scope = "@run";
  FinishedJob set_back = entry();
  set_back.ended = at(1);
  CHECK(past_jobs({unused, command, set_back}).empty());
}

TEST_CASE("a boot is typical by its median") {
  CHECK_FALSE(typical_boot({}));
  FinishedJob slow = entry();
  slow.listening = at(160);
  FinishedJob unknown = entry();
  unknown.listening.reset();
  CHECK(typical_boot({entry(), slow, entry(), unknown}) == Duration{seconds{12}});
}

}  // namespace mvr::history
