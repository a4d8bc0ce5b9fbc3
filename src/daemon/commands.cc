#include "daemon/commands.h"

#include <algorithm>

#include "sys/loop.h"

namespace mvr::daemon {

std::int64_t Commands::add(CommandRequest request) {
  request.id = ++last_id_;
  request.created = sys::wall_now();
  requests_.emplace(request.id, std::move(request));
  return last_id_;
}

std::optional<core::Slot> Commands::cancel(std::int64_t id) {
  const auto it = requests_.find(id);
  if (it == requests_.end()) return std::nullopt;
  const auto slot = it->second.slot;
  requests_.erase(it);
  return slot;
}

CommandRequest* Commands::assign(const std::string& profile, core::Slot slot) {
  if (CommandRequest* bound = find(slot); bound != nullptr) return bound;
  for (auto& [id, request] : requests_) {
    if (request.slot || request.profile != profile) continue;
    request.slot = slot;
    return &request;
  }
  return nullptr;
}

CommandRequest* Commands::find(core::Slot slot) {
  for (auto& [id, request] : requests_) {
    if (request.slot == slot) return &request;
  }
  return nullptr;
}

void Commands::mark_started(core::Slot slot, const std::string& vm) {
  CommandRequest* request = find(slot);
  if (request == nullptr || request->started) return;
  request->started = true;
  request->on_started(slot, vm);
}

void Commands::finish(core::Slot slot, const std::string& vm, std::optional<int> code,
                      const std::string& why) {
  CommandRequest* request = find(slot);
  if (request == nullptr) return;
  const auto answer = std::move(request->on_end);
  requests_.erase(request->id);
  answer(vm, code, why);
}

void Commands::finish_unserved(const core::Config& config) {
  for (auto it = requests_.begin(); it != requests_.end();) {
    const auto current = it++;
    const CommandRequest& waiting = current->second;
    if (waiting.slot || config.profile(waiting.profile) != nullptr) continue;
    const auto ended = requests_.extract(current);
    ended.mapped().on_end("", std::nullopt,
                          "profile '" + ended.mapped().profile +
                              "' is no longer configured: the command did not run");
  }
}

bool Commands::uses(const std::string& profile) const {
  return std::ranges::any_of(
      requests_, [&profile](const auto& each) { return each.second.profile == profile; });
}

core::DemandSeen Commands::demand(Instant now) const {
  core::DemandSeen seen;
  seen.scope = std::string(core::kCommandScope);
  seen.as_of = now;
  std::map<std::string, std::vector<core::JobHint>> by_profile;
  for (const auto& [id, request] : requests_) {
    if (request.started) continue;
    core::JobHint job;
    job.id = id;
    job.name = request.argv.front();
    job.created = request.created;
    by_profile[request.profile].push_back(std::move(job));
  }
  for (auto& [profile, jobs] : by_profile) {
    seen.demands.push_back(core::Demand{profile, std::move(jobs), {}});
  }
  return seen;
}

}  // namespace mvr::daemon
