// One-off commands (`mvrunner run`): demand without GitHub. Each request belongs to one client
// connection; when the client goes, its VM is ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/world.h"

namespace mvr::daemon {

struct CommandRequest {
  std::int64_t id = 0;
  std::string profile;
  std::vector<std::string> argv;
  WallTime created{};
  std::optional<core::Slot> slot;  // claimed by this VM
  bool started = false;
  // Called with progress for the client; see control.h for the shapes.
  std::function<void(core::Slot slot, const std::string& vm)> on_started;
  std::function<void(int stream, const std::string& data)> on_output;
  // The command's exit code, or why there is none; `vm` is what it was to run or ran in, if any.
  std::function<void(const std::string& vm, std::optional<int> code, const std::string& why)>
      on_end;
};

class Commands {
 public:
  std::int64_t add(CommandRequest request);
  // The client is gone. Returns the slot whose VM has to be ended, if any.
  std::optional<core::Slot> cancel(std::int64_t id);

  // Binds the oldest waiting request of this profile to the slot.
  CommandRequest* assign(const std::string& profile, core::Slot slot);
  CommandRequest* find(core::Slot slot);
  void mark_started(core::Slot slot, const std::string& vm);
  // The VM of this slot ended: answers the client and forgets the request.
  void finish(core::Slot slot, const std::string& vm, std::optional<int> code,
              const std::string& why);
  // Fails the requests that wait for a VM of a profile that is not configured (any more).
  void finish_unserved(const core::Config& config);

  // The demand of all requests that do not run yet.
  [[nodiscard]] core::DemandSeen demand(Instant now) const;
  // Does a request wait for a VM of this profile, or run in one?
  [[nodiscard]] bool uses(const std::string& profile) const;
  [[nodiscard]] bool empty() const { return requests_.empty(); }

 private:
  std::map<std::int64_t, CommandRequest> requests_;
  std::int64_t last_id_ = 0;
};

}  // namespace mvr::daemon
