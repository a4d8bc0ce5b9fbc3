#include "core/replay_lanes.h"

#include <algorithm>

#include "base/text.h"
#include "core/match.h"

namespace mvr::core {

Lanes::Lanes(const Config& config, const Capacity& capacity)
    : config_(config), capacity_(capacity) {
  for (const Scope& scope : config_.github.scopes) add_scope(scope);
}

std::optional<std::size_t> Lanes::lane_for(const ReplayJob& job, Replayed& result) {
  const auto profile = job.profile.empty() ? matched(job.labels) : std::optional(job.profile);
  const auto size = profile ? size_of(config_, *profile) : std::nullopt;
  if (!size) {
    ++result.unmatched;
    return std::nullopt;
  }
  // plan() leaves these out as well, each time anew.
  const bool fits = size->memory <= capacity_.memory && size->vcpus <= capacity_.vcpus &&
                    size->disk <= capacity_.disk && capacity_.vms > 0;
  if (!fits) {
    ++result.too_big;
    return std::nullopt;
  }
  return lane_of(scope_of(job.repository), *profile);
}

void Lanes::add_scope(const Scope& scope) {
  by_id_.emplace(scope.id(), scopes_.size());
  scopes_.push_back(ScopeQueue{scope.id(), {}, 0, 0, false});
}

std::optional<std::string> Lanes::matched(const std::vector<std::string>& labels) {
  const auto [entry, fresh] = by_labels_.try_emplace(join(labels, "\n"));
  if (fresh) entry->second = match_profile(config_, labels);
  return entry->second;
}

std::size_t Lanes::lane_of(std::size_t scope, const std::string& profile) {
  const auto [entry, fresh] = by_profile_.try_emplace({scope, profile}, lanes_.size());
  if (fresh) {
    scopes_[scope].lanes.push_back(lanes_.size());
    lanes_.push_back(Lane{scope, profile, {}, {}});
  }
  return entry->second;
}

std::size_t Lanes::scope_of(const std::string& repository) {
  const auto [entry, fresh] = by_repository_.try_emplace(repository);
  if (fresh) entry->second = find_scope(repository);
  return entry->second;
}

std::size_t Lanes::find_scope(const std::string& repository) {
  const std::size_t slash = std::min(repository.find('/'), repository.size());
  Scope own;
  own.owner = repository.substr(0, slash);
  own.repository = repository.substr(std::min(slash + 1, repository.size()));
  if (const auto same = by_id_.find(own.id()); same != by_id_.end()) return same->second;
  for (const Scope& scope : config_.github.scopes) {
    if (scope.owner != own.owner || !scope.repository.empty()) continue;
    const auto& names = scope.repositories;
    if (names.empty() || std::ranges::find(names, own.repository) != names.end()) {
      return by_id_.at(scope.id());
    }
  }
  add_scope(own);
  config_.github.scopes.push_back(std::move(own));
  return scopes_.size() - 1;
}

}  // namespace mvr::core
