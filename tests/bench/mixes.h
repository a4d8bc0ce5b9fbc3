// Jobs of imagination for bench_plan: the same on every machine.
#pragma once

#include <string>
#include <vector>

#include "core/replay.h"

namespace mvr::bench {

struct Mix {
  std::string name;
  core::Config config;
  core::Capacity capacity;
  std::vector<core::ReplayJob> jobs;
};

// Five profiles from 2 to 64 GiB in one organisation, on a host of 256 GiB and 64 vCPUs.
core::Config mix_config();
core::Capacity mix_capacity();

// All sizes, in at an even pace; `load` per cent of what the host can do.
Mix steady(std::size_t jobs, std::uint64_t load);
// A third of a day's jobs come within two hours: more than the host can do.
Mix morning_burst(std::size_t jobs);
// One job in fifty takes a quarter of the host, the others little.
Mix few_huge(std::size_t jobs);

}  // namespace mvr::bench
