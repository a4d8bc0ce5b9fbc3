// When to look for jobs again, and what a listing means. Pure; the polling itself is behind
// make_poll_discovery() of discovery.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/units.h"
#include "core/config.h"
#include "core/world.h"
#include "github/client.h"

namespace mvr::github {

// How often to look at a repository where nothing has happened for `quiet`: at poll_interval for
// an hour, then less and less often, down to idle_interval.
Duration look_interval(const core::GithubSettings& settings, Duration quiet);

// How long a job may be queued in one of so many repositories before it is seen, when nothing
// fails: the longest pause, and a look at each of the others. `gap`: between requests.
Duration worst_latency(const core::GithubSettings& settings, std::size_t repositories, Duration gap,
                       unsigned stretch);

// The pause between the starts of two looks: `interval` times `stretch`, up to 10 % longer by a
// hash, so that repositories and hosts do not fall into step; at least `shortest`.
struct Pause {
  Duration interval{};
  unsigned stretch = 1;
  Duration shortest{};
};
Duration poll_pause(const Pause& pause, std::string_view key, std::uint64_t round);

// When to try again after `failures` failures in a row; never before `not_before`.
Instant retry_at(Instant now, Instant not_before, std::string_view key, std::uint32_t failures);

// The jobs of a listing by the profile that serves them, in the order of the profiles; each
// profile's the oldest first.
core::DemandSeen demand_of(const core::Config& config, const core::Scope& scope,
                           JobListing listing);

}  // namespace mvr::github
