#include "guest/gate.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include "base/text.h"
#include "guest/files.h"
#include "guest/system.h"

namespace mvr::guest {
namespace {

constexpr std::string_view kVariable = "ACTIONS_RUNNER_HOOK_JOB_STARTED=";
constexpr const char* kHook = "/run/mvrunner/job-started.sh";
constexpr const char* kAgentCopy = "/run/mvrunner/agent";
constexpr std::size_t kMaxAgent = std::size_t{64} << 20;
constexpr std::size_t kMaxEvent = std::size_t{25} << 20;  // GitHub's own limit
// Within it the runner ends this process; when it does not, something is wrong with it.
constexpr std::chrono::seconds kShutdownWait{60};
constexpr int kMaxAncestors = 64;

std::string quoted_for_shell(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

Result<void> check_own_hook(const std::string& path) {
  const bool is_script = path.size() > 3 && path.substr(path.size() - 3) == ".sh";
  if (path.empty() || (path.front() == '/' && is_script)) return {};
  return fail(Errc::invalid,
              "the image's ACTIONS_RUNNER_HOOK_JOB_STARTED is '" + printable(path) +
                  "'; beside a profile that does not serve both public_repositories and "
                  "fork_pull_requests it must be the absolute path of a .sh file");
}

// The initramfs cannot be reached any more but through our own link.
Result<void> copy_agent() {
  TRY_ASSIGN(const std::string program, read_file("/proc/self/exe", kMaxAgent));
  TRY(replace_file(kAgentCopy, program, 0755));
  // open(2) obeys the umask.
  return ::chmod(kAgentCopy, 0755) == 0 ? Result<void>{} : fail_errno(errno, kAgentCopy);
}

Result<void> write_hook(const std::string& script) {
  TRY(replace_file(kHook, script));
  return ::chmod(kHook, 0644) == 0 ? Result<void>{} : fail_errno(errno, kHook);
}

void say(const std::string& text) {
  // As an annotation GitHub also shows it on the page of the run.
  (void)std::printf("::error::mvrunner: %s\n", text.c_str());
  (void)std::fflush(stdout);
}

int check_origin(std::span<const char* const> words) {
  Served served{words.front(), false, false};
  for (const std::string_view word : words.subspan(1)) {
    served.public_repositories = served.public_repositories || word == "public";
    served.fork_pull_requests = served.fork_pull_requests || word == "forks";
  }
  const char* path = std::getenv("GITHUB_EVENT_PATH");  // NOLINT(concurrency-mt-unsafe): no thread
  // An event that cannot be read is one that says nothing.
  const auto event = read_file(path == nullptr ? "" : path, kMaxEvent);
  const auto reason = why_refused(event.value_or(std::string()), served);
  if (reason) say(*reason);
  return reason ? 1 : 0;
}

// From /proc/<pid>/stat: "<pid> (<any name>) <state> <parent> ..."
std::optional<pid_t> parent_of(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = stat ? stat->rfind(") ") : std::string::npos;
  if (name_end == std::string::npos || name_end + 4 > stat->size()) return std::nullopt;
  const std::string_view rest = std::string_view(*stat).substr(name_end + 4);
  const auto parent = parse_u64(rest.substr(0, rest.find(' ')));
  return parent ? std::optional(static_cast<pid_t>(*parent)) : std::nullopt;
}

// Our ancestors below process 1; the last is the listener, which process 1 has started.
std::vector<pid_t> ancestors() {
  std::vector<pid_t> found;
  std::optional<pid_t> next = ::getppid();
  while (next && *next > 1 && found.size() < kMaxAncestors) {
    found.push_back(*next);
    next = parent_of(*next);
  }
  return found;
}

bool is_in_guest() {
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  return length > 0 &&
         std::string_view(self.data(), static_cast<std::size_t>(length)) == kAgentCopy;
}

// Ends the job we are the hook of, and with it ourselves.
int end_job() {
  if (!is_in_guest()) return 2;  // started by hand: whose job would it be?
  const auto chain = ancestors();
  if (!chain.empty()) ::kill(chain.back(), SIGINT);
  std::this_thread::sleep_for(kShutdownWait);
  for (auto process = chain.rbegin(); process != chain.rend(); ++process) ::kill(*process, SIGKILL);
  return 1;
}

}  // namespace

std::string hook_script(const Served& served, std::string_view own_hook) {
  std::string check = std::string(kAgentCopy) + " check-origin " + quoted_for_shell(served.profile);
  if (served.public_repositories) check += " public";
  if (served.fork_pull_requests) check += " forks";
  const std::string own = own_hook.empty()
                              ? std::string("exit 0")
                              : "exec \"${BASH:-sh}\" -e " + quoted_for_shell(own_hook);
  // Whatever made the check fail, and were it a crash, ends the job.
  return "# Made by mvrunner. Is this a job its profile serves?\nif " + check + "; then\n  " + own +
         "\nfi\nexec " + kAgentCopy + " end-job\n";
}

Hooked replace_hook(std::vector<std::string>& env, std::string_view settings) {
  Hooked found;
  const auto value = [](std::string_view line) { return line.substr(kVariable.size()); };
  for (const std::string& line : env) {
    if (line.starts_with(kVariable)) found.own_hook = value(line);
  }
  for (std::string_view line : split(settings, '\n')) {
    if (!line.starts_with(kVariable)) continue;
    if (line.back() == '\r') line.remove_suffix(1);
    found.own_hook = value(line);
    found.is_in_settings = true;
  }
  std::erase_if(env, [](const std::string& line) { return line.starts_with(kVariable); });
  env.push_back(std::string(kVariable) + kHook);
  return found;
}

Result<void> set_gate(SpawnSpec& spec, const Served& served) {
  if (served.public_repositories && served.fork_pull_requests) return {};
  const std::string path = spec.directory + "/.env";
  const auto settings = read_file(path);
  if (!settings && ::access(path.c_str(), F_OK) == 0) return fail(settings.error());
  const Hooked hooked = replace_hook(spec.env, settings.value_or(std::string()));
  TRY(check_own_hook(hooked.own_hook));
  TRY(copy_agent());
  TRY(write_hook(hook_script(served, hooked.own_hook)));
  if (!hooked.is_in_settings) return {};
  // The last line for a variable is the one that counts.
  return append_file(path, "\n" + std::string(kVariable) + kHook + "\n");
}

int run_gate(std::span<const char* const> words) {
  const std::string_view verb = words.empty() ? "" : words.front();
  if (verb == "check-origin" && words.size() > 1) return check_origin(words.subspan(1));
  if (verb == "end-job") return end_job();
  return 2;
}

}  // namespace mvr::guest
