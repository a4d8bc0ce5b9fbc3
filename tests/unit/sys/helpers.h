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

// Catch2 v2 has no skip: the reason is printed and the test ends as passed.
#define MVR_NEEDS_ROOT()                   \
  if (::geteuid() != 0) {                  \
    WARN("skipped: this test needs root"); \
    return;                                \
  }                                        \
  static_assert(true, "the macro takes a semicolon")

namespace mvr::sys {

class TempDir {
 public:
  TempDir() {
    std::string name = "/tmp/mvr-test-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { (void)remove_tree(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

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
