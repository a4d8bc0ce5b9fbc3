#include "guest/command.h"

#include <unistd.h>

#include "guest/system.h"

namespace mvr::guest {

SpawnSpec command_spec(const channel::Configure& configure, const User& user) {
  SpawnSpec spec;
  spec.argv = configure.argv;
  spec.env = environment(user, configure.env);
  spec.directory = configure.workdir;
  // A user of an image need not have a home that exists; a directory asked for must.
  if (spec.directory.empty()) {
    spec.directory = ::access(user.home.c_str(), X_OK) == 0 ? user.home : "/";
  }
  spec.user = user;
  spec.cgroup = job_cgroup();
  return spec;
}

int exit_code_of_failed_start(const Error& error) {
  return error.code == Errc::not_found ? 127 : 126;
}

}  // namespace mvr::guest
