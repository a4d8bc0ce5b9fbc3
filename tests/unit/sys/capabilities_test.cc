#include "sys/capabilities.h"

#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "helpers.h"

namespace mvr::sys {
namespace {

// A line of /proc/self/status, such as "CapEff".
std::uint64_t set_of(const std::string& name) {
  const auto status = read_file("/proc/self/status", 65536);
  const auto at = status->find(name + ":\t");
  return std::stoull(status->substr(at + name.size() + 2, 16), nullptr, 16);
}

// 0 when all holds; else the number of what does not. In a process of its own: there is no way
// back.
int give_up_all_but_chown() {
  const std::uint64_t chown = std::uint64_t{1} << CAP_CHOWN;
  if (set_of("CapEff") == chown) return 1;
  if (!keep_only_capabilities(chown)) return 2;
  for (const char* name : {"CapEff", "CapPrm", "CapBnd"}) {
    if (set_of(name) != chown) return 3;
  }
  if (set_of("CapInh") != 0) return 4;
  if (::setuid(12345) == 0) return 5;
  // Again, and with less: what it does not have is no error, and CAP_SETPCAP is not needed for it.
  if (!keep_only_capabilities(chown)) return 6;
  // There is nothing left to take from the bounding set by: the kernel refuses, and that is said.
  return keep_only_capabilities(0) ? 7 : 0;
}

TEST_CASE("capabilities that are given up are gone for good") {
  MVR_NEEDS_ROOT();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(give_up_all_but_chown());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace mvr::sys
