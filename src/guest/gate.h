// The gate between a job and its first step. GitHub gives a job to any idle runner with its
// labels, so that one the profile does not serve may come to a VM that was started for another.
//
// A script of ours is the runner's job-started hook. It calls a copy of the agent, which looks at
// the event. Refusing takes more than the hook's failure: the runner goes on to steps that have
// `if: always()` (actions/runner#2811). What it heeds is a shutdown, after which it starts no step
// at all. So the listener is interrupted, and the hook does not return meanwhile.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/origin.h"
#include "guest/process.h"

namespace mvr::guest {

// Makes the hook and lets `spec`, the listener, use it; not when the profile serves all. A hook of
// the image's own (in the environment or in .env of the runner) runs after ours; Err invalid when
// it is none that can.
Result<void> set_gate(SpawnSpec& spec, const Served& served);

// The agent's other life, as what the hook starts: "check-origin PROFILE [public] [forks]" or
// "end-job". Returns the exit code; anything but 0 means that the job must not run.
int run_gate(std::span<const char* const> words);

// ---- its parts, for the tests ------------------------------------------------------------------

std::string hook_script(const Served& served, std::string_view own_hook);
// The own hook, and `env` with ours in its place. `settings` is the runner's .env, which comes
// after the environment and has more weight.
struct Hooked {
  std::string own_hook;
  bool is_in_settings = false;
};
Hooked replace_hook(std::vector<std::string>& env, std::string_view settings);

}  // namespace mvr::guest
