// Removes the registrations our VMs left behind: runners named by this host that belong to none
// of its VMs.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "github/client.h"

namespace mvr::github {

struct SweepReport {
  std::vector<RunnerRecord> deleted;
  std::vector<RunnerRecord> busy;  // run a job, as GitHub sees it: left for a later sweep
  std::vector<std::pair<RunnerRecord, Error>> failed;
  std::vector<RunnerRecord> live;  // ours, of a VM, as they were listed
  std::size_t kept = 0;            // ours and alive, or not ours
};

// True for a runner name that is in use: of a VM's runner, or of a registration under way. Asked
// right before each deletion, so that a runner registered meanwhile is safe.
using IsLive = std::function<bool(const std::string& name)>;

// Looks at all runners of the scope once. Deletes only names that core::is_our_runner() knows for
// `host_id`, one after the other; ends early when GitHub limits us or refuses the token. Err: the
// runners could not be listed. `client` and what `is_live` uses must live until `done` was called
// or the client is gone.
void sweep_ghosts(Client& client, const core::Scope& scope, std::string host_id, IsLive is_live,
                  Client::Done<SweepReport> done);

}  // namespace mvr::github
