// Private to process: what a child does between clone3 and execve, and the data it needs. All of
// it is prepared before the clone; the child allocates nothing and takes no lock.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "sys/process.h"

namespace mvr::sys {

enum class SpawnStage : std::int32_t {
  session,
  signals,
  network_namespace,
  descriptors,
  file_size_limit,
  groups,
  gid,
  uid,
  capabilities,
  parent_death_signal,
  parent_gone,
  directory,
  exec,
};
std::string_view spawn_stage_name(SpawnStage stage);

// What the child writes into the status pipe when a step fails. A successful exec closes it.
struct SpawnFailure {
  SpawnStage stage = SpawnStage::exec;
  std::int32_t error = 0;
};

struct ChildPlan {
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* env = nullptr;
  const char* directory = "/";
  std::vector<FdMapping> fds;  // 0, 1 and 2 included; each `to` once
  std::vector<int> high;       // room for as many numbers as fds
  int first_free = 3;          // above every `to`
  int status_fd = -1;
  int netns_fd = -1;
  pid_t parent = 0;
  bool die_with_parent = false;
  bool low_priority = false;
  bool same_session = false;
  std::uint64_t file_size_limit = 0;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::vector<gid_t> groups;
  std::uint64_t capabilities = 0;
};

// Runs in the child; never returns.
[[noreturn]] void run_child(ChildPlan& plan);

}  // namespace mvr::sys
