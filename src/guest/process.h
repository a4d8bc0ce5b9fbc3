// Starting programs of the image as one of its users.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guest/users.h"

namespace mvr::guest {

struct SpawnSpec {
  std::vector<std::string> argv;  // argv[0] is searched in PATH of `env` when it has no '/'
  std::vector<std::string> env;   // "NAME=value"
  std::string directory = "/";
  User user;
  std::string cgroup;  // directory to join; empty: ours
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
