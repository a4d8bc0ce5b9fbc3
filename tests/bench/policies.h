// What others would do with the jobs of a mix, and what nobody can do better. All see a job at
// the next poll, and boot a fresh VM for it: only the order and the packing differ.
#pragma once

#include <optional>
#include <vector>

#include "mixes.h"

namespace mvr::bench {

using Waits = std::vector<std::optional<Duration>>;  // created until started, by job

// First in, first out on equal slots, each as large as the largest profile.
Waits fifo_slots(const Mix& mix, const core::ReplaySettings& settings);
// Whoever fits starts, the oldest first; nothing is kept free for those that do not fit.
Waits first_fit(const Mix& mix, const core::ReplaySettings& settings);
// The same, but the least work (size by run time, known beforehand) first: unfair, and nobody knows
// run times; it shows how near to the bound a schedule can come.
Waits least_work_first(const Mix& mix, const core::ReplaySettings& settings);

// No schedule has a mean wait below this, not even one that knows the future, starts jobs in any
// order it likes and is never kept from room by fragmentation.
//
// It is the Lagrangian relaxation of "at each moment the VMs fit the host": memory and vCPUs get
// a price per moment instead, each job starts when wait + price of what it takes is least for
// itself, and what the host would sell at these prices is taken off. A real schedule keeps within
// capacity, so it pays at most that; hence for any prices >= 0
//     sum of waits >= sum over jobs min_start(wait + price paid) - sum of prices * capacity.
// Prices are improved by subgradient steps; where they end decides how good the bound is, not
// whether it is one. `good` is a mean wait that some schedule reached: it sets the step size.
Duration least_mean_wait(const Mix& mix, const core::ReplaySettings& settings, Duration good);

}  // namespace mvr::bench
