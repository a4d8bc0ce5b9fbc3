// The listener's output as a state.
#include "guest/runner_lines.h"

#include "catch.h"

namespace mvr::guest {
namespace {

using channel::RunnerState;
using channel::State;

State starting() { return State{RunnerState::starting, "", "", std::nullopt}; }

const std::string kWhole =
    "\n√ Connected to GitHub\n\nCurrent runner version: '2.336.0'\n"
    "2026-11-20 19:30:00Z: Listening for Jobs\n"
    "2026-11-20 19:30:05Z: Running job: build (ubuntu, 20)\n"
    "2026-11-20 19:31:00Z: Job build (ubuntu, 20) completed with result: Succeeded\n";

TEST_CASE("a whole run is followed however its output is cut") {
  for (std::size_t cut = 0; cut <= kWhole.size(); ++cut) {
    RunnerLines lines;
    State state = starting();
    const bool first = lines.feed(std::string_view(kWhole).substr(0, cut), state);
    const bool second = lines.feed(std::string_view(kWhole).substr(cut), state);
    CHECK((first || second));
    CHECK(state.runner == RunnerState::running);
    CHECK(state.job == "build (ubuntu, 20)");
    CHECK(state.result == "Succeeded");
  }
}

TEST_CASE("each line is reported when it comes") {
  RunnerLines lines;
  State state = starting();
  CHECK_FALSE(lines.feed("Connected to GitHub\n", state));
  CHECK_FALSE(lines.feed("Listening for Jobs", state));
  CHECK(lines.feed("\n", state));
  CHECK(state.runner == RunnerState::listening);
  CHECK(lines.feed("Running job: a\r\n", state));
  CHECK(state.job == "a");
  CHECK(lines.feed("Job a completed with result: Failed\n", state));
  CHECK(state.result == "Failed");
}

TEST_CASE("a job's name may hold the words of the result line") {
  RunnerLines lines;
  State state = starting();
  lines.feed("Running job: x completed with result: Failed\n", state);
  lines.feed("Job x completed with result: Failed completed with result: Succeeded\n", state);
  CHECK(state.result == "Succeeded");
}

TEST_CASE("what the runner would not print is not believed") {
  RunnerLines lines;
  State state = starting();
  for (const auto* line :
       {"  Listening for Jobs\n", "Listening for Jobs!\n", "now Z: Listening for Jobs\n",
        "Job a completed with result: Succeeded\n", "running job: a\n"}) {
    INFO(line);
    CHECK_FALSE(lines.feed(line, state));
  }
  CHECK(state.runner == RunnerState::starting);
}

TEST_CASE("a second job and a second result change nothing") {
  RunnerLines lines;
  State state = starting();
  lines.feed("Running job: a\nJob a completed with result: Failed\n", state);
  CHECK_FALSE(lines.feed("Running job: b\n", state));
  CHECK_FALSE(lines.feed("Job a completed with result: Succeeded\n", state));
  CHECK_FALSE(lines.feed("Listening for Jobs\n", state));
  CHECK(state.job == "a");
  CHECK(state.result == "Failed");
  CHECK(state.runner == RunnerState::running);
}

TEST_CASE("the result of another job and no word as a result are not taken") {
  RunnerLines lines;
  State state = starting();
  lines.feed("Running job: a\n", state);
  CHECK_FALSE(lines.feed("Job b completed with result: Succeeded\n", state));
  CHECK_FALSE(lines.feed("Job a completed with result: \n", state));
  CHECK_FALSE(lines.feed("Job a completed with result: \x1b[31m\n", state));
}

TEST_CASE("control characters of a job's name are made visible") {
  RunnerLines lines;
  State state = starting();
  lines.feed("Running job: a\x1b[2Jb\n", state);
  CHECK(state.job.find('\x1b') == std::string::npos);
  CHECK(lines.feed("Job a\x1b[2Jb completed with result: Canceled\n", state));
}

TEST_CASE("an endless line is cut and the next one is read") {
  RunnerLines lines;
  State state = starting();
  const std::string chunk(100'000, 'x');
  for (int i = 0; i < 10; ++i) CHECK_FALSE(lines.feed(chunk, state));
  CHECK(lines.feed("\nListening for Jobs\n", state));
}

TEST_CASE("a long name is cut and its result is still found") {
  RunnerLines lines;
  State state = starting();
  const std::string name(2000, 'n');
  lines.feed("Running job: " + name + "\n", state);
  CHECK(state.job.size() <= 512);
  CHECK(lines.feed("Job " + name + " completed with result: Succeeded\n", state));
}

TEST_CASE("the listener's word on its connection is kept until it is well again") {
  ConnectionLines lines;
  CHECK(lines.trouble().empty());
  lines.feed(2, "2026-11-20 19:30:00Z: Runner connect error: Name or service not known ");
  CHECK(lines.trouble().empty());
  lines.feed(1, "Listening for Jobs\n");
  lines.feed(2, "(github.com:443). Retrying until reconnected.\n");
  CHECK(lines.trouble() ==
        "Name or service not known (github.com:443). Retrying until reconnected.");
  lines.feed(1, "2026-11-20 19:31:00Z: Runner reconnected.\n");
  CHECK(lines.trouble().empty());
  lines.feed(2, "Runner connect error: \x1b[31m\n");
  CHECK(lines.trouble().find('\x1b') == std::string::npos);
}

}  // namespace
}  // namespace mvr::guest
