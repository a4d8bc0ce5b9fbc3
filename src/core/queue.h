// The order in which jobs that wait are tried. Not for use outside core.
//
// Groups of equal jobs (scope, profile, repository) compete with their oldest job each:
//  1. Priority of the profile, plus one for each kAgeing the job has waited: what is low waits
//     longer, never for ever.
//  2. Fair shares: the repository whose last service ended first, measured in parts of the host
//     divided by the repository's weight (start-time fair queueing, which keeps the bounds of
//     deficit round robin without its rounds). Who was away gets no credit and no debt.
//  3. Age, then id.
// The order is total and depends on nothing but its arguments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/rules.h"

namespace mvr::core {

inline constexpr Duration kAgeing{600'000};
// A whole host for a repository of weight 1, in the unit of Shares.
inline constexpr std::uint64_t kWholeHost = 1'000'000;

// Jobs of one scope, profile and repository that need a VM each, oldest first.
struct Group {
  const std::string* scope = nullptr;
  const std::string* profile = nullptr;  // of the demand: an instance of a pattern, perhaps
  const std::string* repository = nullptr;
  const Profile* settings = nullptr;  // null: the profile left the configuration
  std::optional<Resources> size;      // of a VM for it; nothing: as settings
  std::vector<const JobHint*> jobs;
  std::size_t next = 0;      // the first that was not tried yet
  std::size_t account = 0;   // of the repository, in the queue
  std::int64_t urgency = 0;  // of the head

  [[nodiscard]] const JobHint& head() const { return *jobs[next]; }
  [[nodiscard]] std::size_t left() const { return jobs.size() - next; }
};

class Queue {
 public:
  // Demand of known scopes that no VM is on the way for.
  Queue(const Config& config, const World& world, Instant now);

  // The group whose oldest job goes next; null when none is left.
  Group* next();
  // The head was served: it is charged to its repository, the group goes on.
  // Returns the repository's new Shares::ends.
  std::uint64_t serve(Group& group, const Resources& size);
  // The first `jobs` that are left are left waiting; the group goes on after them.
  void skip(Group& group, std::size_t jobs) const;

 private:
  void add(const std::string& scope, const Demand& demand, const std::vector<const Vm*>& coming);
  void open_accounts();
  void look_at_head(Group& group) const;
  [[nodiscard]] std::uint64_t start_of(const Group& group) const;
  [[nodiscard]] bool goes_before(const Group& a, const Group& b) const;

  const Config& config_;
  const World& world_;
  Instant now_;
  std::uint64_t shares_now_;
  std::vector<std::uint64_t> accounts_;  // Shares::ends of the repositories in the queue
  std::vector<Group> groups_;
};

}  // namespace mvr::core
