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

// The pause between the starts of two polls: `interval` times `stretch`, up to 10 % longer by a
// hash, so that scopes and hosts do not fall into step.
Duration poll_pause(Duration interval, unsigned stretch, std::string_view key, std::uint64_t round);

// When to try again after `failures` failures in a row; never before `not_before`.
Instant retry_at(Instant now, Instant not_before, std::string_view key, std::uint32_t failures);

// The jobs of a listing by the profile that serves them, in the order of the profiles.
core::DemandSeen demand_of(const core::Config& config, const core::Scope& scope,
                           JobListing listing);

}  // namespace mvr::github
