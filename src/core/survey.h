// What is left on the host at start, and what to do with it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/world.h"

namespace mvr::core {

// What the spec file of a VM directory says; written at each phase change (see spec_json in
// daemon/). Also the identity of its process, so that a reused pid is never touched.
struct SavedVm {
  Vm vm;
  std::string boot_id;           // of the host's boot
  std::int32_t pid = 0;          // 0: not started yet
  std::uint64_t start_time = 0;  // field 22 of /proc/<pid>/stat
};

// One directory below <state>/vms.
struct Leftover {
  Slot slot = 0;
  std::optional<SavedVm> saved;  // empty: no or unreadable spec
  bool process_alive = false;    // pid, start time and boot id all match a live process
};

struct SurveyPlan {
  std::vector<Vm> adopt;                   // alive: take over; phases normalised (see survey())
  std::vector<Slot> erase;                 // not alive, or never got far: remove
  std::vector<Runner> forget;              // runners no VM will use: delete them at GitHub
  std::vector<std::string> forget_scopes;  // parallel to forget
};

// A VM that was preparing is erased. booting and warm come back as booting without a runner:
// their JIT config died with the daemon. claiming keeps its runner, since the guest may be
// listening by now or even run a job. For these three the agent's answer to `sync` decides.
// listening, running and held keep their phase; ending and removing come back as ending with
// kill_at = now.
SurveyPlan survey(const std::vector<Leftover>& leftovers, Instant now);

}  // namespace mvr::core
