// How much more of something this host could run: what a queue is told that gives jobs out.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/config.h"
#include "core/records.h"

namespace mvr::core {

// How many VMs of the profile could serve jobs of the scope at once: those at it or on the way to
// it, warm ones nobody has asked for, and those there is room for now under all limits. Jobs that
// wait for the same room are not counted against it: plan() decides between them.
std::uint32_t room_for(const Config& config, const World& world, std::string_view scope,
                       std::string_view profile);

}  // namespace mvr::core
