// Places at which a test can end the daemon: between any two effects, and around every write of
// state. What a restart makes of what is then on the host is the whole of crash recovery.
//
// MVRUNNER_FAIL_POINTS=<file> at start: each pass appends "<n> <name>[ <detail>]" to the file,
// n counting from 1. With MVRUNNER_FAIL_AT=<n> besides, the process ends there and then by
// SIGKILL; "<n> <name>[ <detail>]" means the n-th pass of that one. So a test counts the passes
// first, then dies at each of them: no list is kept by hand.
//
// This is in release builds too, since they are what must survive. It is safe there: only the
// environment of the daemon switches it on, and who sets that is root, who can kill it anyway.
#pragma once

#include <string_view>

namespace mvr::daemon {

// Set once before main(), from the environment.
extern const bool kFailPointsOn;
void pass_fail_point(const char* name, std::string_view detail);

// Names say what was done last, or is done next: "tap made", "before claim".
inline void fail_point(const char* name, std::string_view detail = {}) {
  if (kFailPointsOn) pass_fail_point(name, detail);
}

}  // namespace mvr::daemon
