// What is left of VMs, on the host at start and at GitHub at any time, and what to do with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
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

// Whether a VM has the runner of this name, or may yet get it: its registration is in flight. One
// of ours for which this is false is a ghost, to be deleted at GitHub.
//
// A registration in flight is spared until its answer has come, whatever becomes of its VM: the
// record waits for the answer. It is not saved. With the daemon that asked, the answer is lost,
// and the JIT config in it: no VM can ever use that runner, and no name is made twice. So what
// GitHub has made of the request, or makes of it later, is a ghost to every successor, at the
// first look that shows it.
bool is_runner_in_use(const World& world, std::string_view name);

}  // namespace mvr::core
