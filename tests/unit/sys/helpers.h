// What the tests of sys share: a directory that goes away, a loop that is run until something
// holds, and the way a test that needs root says so.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "catch.h"
#include "sys/files.h"
#include "sys/loop.h"
#include "temp_dir.h"

// Catch2 v2 has no skip: the reason is printed and the test ends as passed.
#define MVR_NEEDS_ROOT()                   \
  if (::geteuid() != 0) {                  \
    WARN("skipped: this test needs root"); \
    return;                                \
  }                                        \
  static_assert(true, "the macro takes a semicolon")

namespace mvr::sys {

using test::TempDir;

// Runs the loop until `done`; false when that takes longer than anything here should.
inline bool run_until(Loop& loop, const std::function<bool()>& done,
                      Duration limit = Duration(10'000)) {
  const Instant deadline = loop.now() + limit;
  while (!done()) {
    if (loop.now() >= deadline) return false;
    if (!loop.run_once(Duration(50))) return false;
  }
  return true;
}

// A name on this machine that no other run of the tests uses.
inline std::string unique_name() { return "mvrt" + std::to_string(::getpid()); }

}  // namespace mvr::sys
