#include "guest/runner.h"

#include <unistd.h>

#include <cerrno>
#include <optional>

#include <nlohmann/json.hpp>

#include "guest/files.h"
#include "guest/gate.h"
#include "guest/system.h"

namespace mvr::guest {
namespace {

constexpr const char* kListener = "/bin/Runner.Listener";
// Where its worker looks for <owner>_<name>/<sha>.tar.gz before it downloads an action.
constexpr const char* kArchiveVariable = "ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE";

std::optional<std::string> find_runner(const User& user, const Root& root) {
  if (root.tools) return kToolsDirectory;
  for (const std::string& directory :
       {std::string(kToolsDirectory), user.home + "/actions-runner", user.home}) {
    if (::access((directory + kListener).c_str(), X_OK) == 0) return directory;
  }
  return std::nullopt;
}

// Shown by GitHub as a group of lines of the step "Set up job".
Result<void> write_setup_info(const std::string& directory, const std::string& about) {
  if (about.empty()) return {};
  const auto info = nlohmann::json::array({{{"group", "mvrunner"}, {"detail", about}}});
  return replace_file(directory + "/.setup_info",
                      info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

// What is below stays root's.
Result<void> give_runner(const User& user, const Root& root) {
  if (!root.tools) return {};
  const std::string directory = kToolsDirectory;
  for (const std::string& path : {directory, directory + "/_work"}) {
    if (::chown(path.c_str(), user.uid, user.gid) != 0) return fail_errno(errno, "chown " + path);
  }
  return {};
}

Result<SpawnSpec> runner_spec(const channel::Configure& configure, const User& user,
                              const Root& root) {
  const auto directory = find_runner(user, root);
  if (!directory) {
    return fail(Errc::not_found,
                "there is no runner: the VM has no tools drive and the image has no "
                "bin/Runner.Listener in /opt/actions-runner, " +
                    user.home + "/actions-runner or " + user.home);
  }
  TRY(give_runner(user, root));
  TRY(write_setup_info(*directory, configure.about));
  SpawnSpec spec;
  spec.argv = {*directory + kListener, "run"};
  spec.env = environment(user, configure.env);
  spec.env.emplace_back("ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED=true");
  spec.env.emplace_back("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1");
  spec.env.emplace_back("ACTIONS_RUNNER_INPUT_JITCONFIG=" +
                        std::string(configure.jit_config.expose()));
  // Its own choice stays with an image that brings archives itself.
  if (root.has_action_archives && !configure.env.contains(kArchiveVariable)) {
    spec.env.push_back(std::string(kArchiveVariable) + "=" + kActionArchives);
  }
  spec.directory = *directory;
  spec.user = user;
  spec.cgroup = job_cgroup();
  TRY(context(
      set_gate(spec, Served{configure.profile, configure.serves_public, configure.serves_forks}),
      "make the job-started hook"));
  return spec;
}

}  // namespace mvr::guest
