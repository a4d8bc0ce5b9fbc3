// The job-started hook, and the image's own behind it.
#include "guest/gate.h"

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "catch.h"
#include "temp_dir.h"

namespace mvr::guest {
namespace {

const std::string kOurs = "ACTIONS_RUNNER_HOOK_JOB_STARTED=/run/mvrunner/job-started.sh";

TEST_CASE("the hook takes the place of the image's own, which is kept to be run after it") {
  std::vector<std::string> env{"A=1", "ACTIONS_RUNNER_HOOK_JOB_STARTED=/own.sh", "B=2"};
  const Hooked hooked = replace_hook(env, "");
  CHECK(hooked.own_hook == "/own.sh");
  CHECK_FALSE(hooked.is_in_settings);
  CHECK(env == std::vector<std::string>{"A=1", "B=2", kOurs});
}

TEST_CASE("without a hook of its own there is only ours") {
  std::vector<std::string> env{"ACTIONS_RUNNER_HOOK_JOB_STARTED_NOT=/x.sh"};
  const Hooked hooked = replace_hook(env, "ACTIONS_RUNNER_HOOK_JOB_COMPLETED=/c.sh\nA=1");
  CHECK(hooked.own_hook.empty());
  CHECK_FALSE(hooked.is_in_settings);
  CHECK(env.back() == kOurs);
}

TEST_CASE("the runner's .env has more weight than the environment, its last line most") {
  std::vector<std::string> env{"ACTIONS_RUNNER_HOOK_JOB_STARTED=/own.sh"};
  const Hooked hooked = replace_hook(env,
                                     "ACTIONS_RUNNER_HOOK_JOB_STARTED=/first.sh\n"
                                     "ACTIONS_RUNNER_HOOK_JOB_STARTED=/second.sh\r\nA=1\n");
  CHECK(hooked.own_hook == "/second.sh");
  CHECK(hooked.is_in_settings);
  CHECK(env == std::vector<std::string>{kOurs});
  // Without a value it would take ours away.
  CHECK(replace_hook(env, "ACTIONS_RUNNER_HOOK_JOB_STARTED=").is_in_settings);
}

TEST_CASE("the script says what is served, and ends the job however the check fails") {
  CHECK(hook_script({"small", false, false}, "") ==
        "# Made by mvrunner. Is this a job its profile serves?\n"
        "if /run/mvrunner/agent check-origin 'small'; then\n"
        "  exit 0\n"
        "fi\n"
        "exec /run/mvrunner/agent end-job\n");
  const auto has = [](const std::string& script, const char* part) {
    return script.find(part) != std::string::npos;
  };
  CHECK(has(hook_script({"p", true, false}, ""), "check-origin 'p' public;"));
  CHECK(has(hook_script({"p", false, true}, ""), "check-origin 'p' forks;"));
  CHECK(has(hook_script({"p", false, false}, "/o'n e.sh"), "-e '/o'\\''n e.sh'\n"));
}

TEST_CASE("the image's own hook is run when the check succeeds, and only then") {
  test::TempDir directory;
  std::ofstream(directory.path() + "/own.sh") << "touch \"$MARK\"; exit 7\n";
  for (const std::string verdict : {"true", "false"}) {
    const std::string mark = directory.path() + "/ran-" + verdict;
    std::string script = hook_script({"p", false, false}, directory.path() + "/own.sh");
    const std::string check = "/run/mvrunner/agent check-origin 'p'";
    script.replace(script.find(check), check.size(), verdict);
    script.replace(script.find("/run/mvrunner/agent end-job"), 27, "false");
    std::ofstream(directory.path() + "/hook.sh") << script;
    const std::string command = "MARK=" + mark + " sh -e " + directory.path() + "/hook.sh";
    const int status = std::system(command.c_str());
    CHECK(WEXITSTATUS(status) == (verdict == "true" ? 7 : 1));
    CHECK(std::ifstream(mark).good() == (verdict == "true"));
  }
}

TEST_CASE("the check reads the event the runner names") {
  test::TempDir directory;
  const std::string path = directory.path() + "/event.json";
  ::setenv("GITHUB_EVENT_PATH", path.c_str(), 1);
  const std::vector<const char*> neither{"check-origin", "small"};
  const std::vector<const char*> open{"check-origin", "small", "public"};
  CHECK(run_gate(open) == 1);  // there is no such file
  std::ofstream(path) << R"({"repository": {"id": 7, "private": false}})";
  CHECK(run_gate(neither) == 1);
  CHECK(run_gate(open) == 0);
  ::unsetenv("GITHUB_EVENT_PATH");
  CHECK(run_gate(open) == 1);
}

TEST_CASE("other words, and an end without a job, are errors") {
  for (const std::vector<const char*>& words :
       {std::vector<const char*>{}, {"check-origin"}, {"other", "small"}, {"end-job"}}) {
    CHECK(run_gate(words) == 2);
  }
}

}  // namespace
}  // namespace mvr::guest
