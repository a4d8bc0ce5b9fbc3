// The parts of the configuration that are lists of mappings, and what holds between sections.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "config/section.h"
#include "core/config.h"

namespace mvr::config {

// Of the host, and of a profile.
inline constexpr std::array<std::string_view, 3> kBackends{"auto", "firecracker", "qemu"};
// In the order of core::HugePages.
inline constexpr std::array<std::string_view, 3> kHugePages{"none", "transparent", "reserved"};

// `profiles` of the top section. Reports also what holds among profiles (names, label sets) and
// between profiles and what `host` allows explicitly.
void read_profiles(Section& top, core::Config& config, Report& report);

// `images` of the top section: what is built here, and when again.
void read_images(Section& top, core::Config& config, Report& report);

// The keys that say who mvrunner is at GitHub: those of the github section or of a scope.
core::Credentials read_credentials(Section& section, const Report& report);

// `discovery` of the github section or of a scope.
void read_feed(Section& section, std::optional<core::Feed>& feed);

// `scopes` of the github section, after all else there.
void read_scopes(Section& github, core::GithubSettings& settings, Report& report);

// What scopes of scale sets ask of the profiles; after both.
void check_scale_sets(Section& top, const core::Config& config);

// What is kept of the past, and what reports compare it with.
void read_history(Section section, core::HistorySettings& history);
void read_report(Section section, core::ReportSettings& settings, Report& report);

// The scheduling section; after the scopes, whose spelling of a repository is taken.
void read_scheduling(Section section, core::Config& config, Report& report);

}  // namespace mvr::config
