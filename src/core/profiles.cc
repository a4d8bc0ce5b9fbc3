// What the world knows of each profile: what it boots from, and whether that fails.
#include "core/rules.h"

namespace mvr::core {

std::string fold_profile(World& world, const ProfileChecked& event) {
  const auto missing = world.missing_images.find(event.profile);
  const std::string why = missing == world.missing_images.end() ? "" : missing->second;
  const auto known = world.origins.find(event.profile);
  const std::string origin = known == world.origins.end() ? "" : known->second;
  if (why == event.why && (!event.why.empty() || origin == event.origin)) {
    return "the profile is as it was";
  }
  // While something is missing, what was booted from it before is as good as it was.
  if (event.why.empty()) world.origins[event.profile] = event.origin;
  world.missing_images.erase(event.profile);
  if (!event.why.empty()) world.missing_images[event.profile] = event.why;
  return {};
}

std::string fold_profile(World& world, const ProfileGone& event) {
  const auto forgotten = world.missing_images.erase(event.profile) +
                         world.origins.erase(event.profile) + world.health.erase(event.profile);
  return forgotten > 0 ? "" : "nothing is known of the profile";
}

}  // namespace mvr::core
