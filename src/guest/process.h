// Starting programs of the image as one of its users.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guest/users.h"

namespace mvr::guest {

// What a program may use: jobs get what a distribution gives its users, services are those that
// start programs of their own by the hundred, and go last when memory is short.
enum class Limits { job, service };

struct SpawnSpec {
  std::vector<std::string> argv;  // argv[0] is searched in PATH of `env` when it has no '/'
  std::vector<std::string> env;   // "NAME=value"
  std::string directory = "/";
  User user;
  std::string cgroup;  // directory to join; empty: ours
  Limits limits = Limits::job;
  int listener = -1;  // a listening socket for the program, given as sd_listen_fds(3) has it
};

// Numbers that become 0, 1 and 2 of the program; -1 is /dev/null.
struct Stdio {
  int in = -1;
  int out = -1;
  int err = -1;
};

// Starts the program in a session of its own. Err not_found or denied when it cannot be
// executed; the text names the step. The caller reaps.
Result<pid_t> spawn(const SpawnSpec& spec, const Stdio& stdio);

// The path of a program of the image, where distributions and their users put them.
std::optional<std::string> find_program(const std::string& name);
User root_user();

// Runs a program of the image as root to its end; Err when it fails or takes longer.
Result<void> run_tool(const std::vector<std::string>& argv, std::chrono::milliseconds limit);

// What every program gets: HOME, USER, LOGNAME, SHELL, PATH, LANG; then /etc/environment of the
// image; then `added`. Later ones win.
std::vector<std::string> environment(const User& user,
                                     const std::map<std::string, std::string>& added);

struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe(int flags = 0);

// 0-255; 128 + n for a program that ended by signal n.
int exit_code(int wait_status);

}  // namespace mvr::guest
