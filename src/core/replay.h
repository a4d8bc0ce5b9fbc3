// What would have been: jobs of the past (or of imagination) go through the production observe()
// and plan() against a host and a GitHub that never fail. Discrete events, no clock.
//
//  * A scope is listed at the next multiple of the poll interval after its queue changed.
//  * A VM boots for ReplaySettings::boot; everything else the host or GitHub does takes no time.
//  * The oldest queued job of a scope and profile goes to any VM that listens there.
//  * A job runs for ReplayJob::run, or until its profile's limit.
//  * A job of a repository that no scope serves gets a scope of its own, without limits.
//  * Steps of a VM that plan() has no choice in (registering while it boots, claiming when a job
//    waits, removing what has ended) are taken without asking it, for speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/records.h"

namespace mvr::core {

struct ReplayJob {
  Instant created{};
  std::string repository;  // "owner/repo"
  std::string workflow;
  std::string name;
  std::vector<std::string> labels;
  std::string profile;  // set: the labels do not matter
  Duration run{};
  friend bool operator==(const ReplayJob&, const ReplayJob&) = default;
};

struct ReplaySettings {
  Duration boot{15'000};  // launch until the agent's hello
  Duration poll{10'000};  // > 0
  bool learns = true;     // run times become estimates as jobs finish, as in production
};

struct Replayed {
  // Created until started, in the order of the jobs given; empty: it never started.
  std::vector<std::optional<Duration>> waits;
  std::size_t unmatched = 0;  // no profile serves it
  std::size_t too_big = 0;    // larger than the host
  std::size_t stuck = 0;      // all others that never started: limits of 0 room, warm VMs, ...
  std::size_t cut = 0;        // ended by the profile's limit
  std::uint64_t launches = 0;
  Duration makespan{};  // first job created until last job ended
  // Of the capacity, held by VMs during the makespan: 0..1.
  double memory_used = 0;
  double vcpus_used = 0;
};

// Deterministic. Created times may come in any order and must not be negative.
Replayed replay(const Config& config, const Capacity& capacity, const std::vector<ReplayJob>& jobs,
                const ReplaySettings& settings);

struct WaitSummary {
  std::size_t jobs = 0;  // that started
  Duration mean{};
  Duration p50{};  // nearest rank
  Duration p95{};
  Duration p99{};
  Duration most{};
  friend bool operator==(const WaitSummary&, const WaitSummary&) = default;
};
WaitSummary summary(const std::vector<std::optional<Duration>>& waits);

}  // namespace mvr::core
