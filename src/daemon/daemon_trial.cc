// Profiles of the daemon's own: a command that is to boot another image or runner release than its
// profile says gets one for itself, so that it is packed like any VM, is given no other's warm VM,
// and fails for nobody else.
#include <algorithm>

#include "base/text.h"
#include "daemon/daemon.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostTrials = 16;
constexpr std::uint64_t kNameDigits = 1'000'000;

}  // namespace

Result<std::string> Daemon::add_trial(core::Profile trial) {
  if (config_.trials.size() >= kMostTrials) {
    return fail(Errc::busy, "16 commands with an image of their own run already: try again later");
  }
  const auto taken = [this, &trial] { return config_.profile(trial.name) != nullptr; };
  const auto time = static_cast<std::uint64_t>(sys::wall_now().time_since_epoch().count());
  // A VM of a former daemon's trial may be there still, and must not be taken for one of this.
  for (std::uint64_t n = time; trial.name.empty() || taken(); ++n) {
    trial.name = std::string(core::kTrials) + "-" + std::to_string(n % kNameDigits);
  }
  trial.labels.clear();
  trial.most.reset();
  trial.warm = 0;
  trial.max = 0;
  trial.hold_on_failure = {};
  if (std::string why = why_not(trial); !why.empty()) return fail(Errc::not_found, std::move(why));
  config_.trials.push_back(std::move(trial));
  check_image(config_.trials.back());
  return config_.trials.back().name;
}

void Daemon::end_trials() {
  const auto is_over = [this](const core::Profile& trial) {
    const auto is_of_it = [&trial](const auto& vm) { return vm.second.profile == trial.name; };
    if (commands_.uses(trial.name) || std::ranges::any_of(world_.vms, is_of_it)) return false;
    post(core::ProfileGone{trial.name});
    return true;
  };
  std::erase_if(config_.trials, is_over);
}

}  // namespace mvr::daemon
