// GitHub's side of a replay: queued jobs in lanes. Not for use outside core.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/replay.h"

namespace mvr::core {

// Queued jobs and listening runners of one scope and profile.
struct Lane {
  std::size_t scope = 0;
  std::string profile;
  std::deque<std::size_t> queued;  // oldest first
  std::set<Slot> listening;
};

struct ScopeQueue {
  std::string id;
  std::vector<std::size_t> lanes;
  std::size_t listed = 0;  // jobs of the latest listing
  std::size_t taken = 0;   // since then
  bool has_news = false;   // jobs came since then
};

class Lanes {
 public:
  Lanes(const Config& config, const Capacity& capacity);

  // Nothing: it can never run, which is counted in the result.
  std::optional<std::size_t> lane_for(const ReplayJob& job, Replayed& result);
  // Of a VM that serves a scope.
  std::size_t lane_of_vm(const Vm& vm) { return lane_of(by_id_.at(vm.scope), vm.profile); }

  Lane& operator[](std::size_t lane) { return lanes_[lane]; }
  const Lane& operator[](std::size_t lane) const { return lanes_[lane]; }
  ScopeQueue& scope(std::size_t n) { return scopes_[n]; }
  std::vector<ScopeQueue>& scopes() { return scopes_; }
  // With the scopes that were added.
  [[nodiscard]] const Config& config() const { return config_; }

 private:
  void add_scope(const Scope& scope);
  std::optional<std::string> matched(const std::vector<std::string>& labels);
  std::size_t lane_of(std::size_t scope, const std::string& profile);
  std::size_t scope_of(const std::string& repository);
  std::size_t find_scope(const std::string& repository);

  Config config_;
  Capacity capacity_;
  std::vector<ScopeQueue> scopes_;
  std::deque<Lane> lanes_;
  std::map<std::string, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_repository_;
  std::unordered_map<std::string, std::optional<std::string>> by_labels_;
  std::map<std::pair<std::size_t, std::string>, std::size_t> by_profile_;
};

}  // namespace mvr::core
