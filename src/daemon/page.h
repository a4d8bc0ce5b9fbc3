// The status page: one value, and its HTML. It needs no script to be read, asks for nothing from
// elsewhere, and changes nothing. All pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/world.h"
#include "daemon/samples.h"
#include "history/history.h"

namespace mvr::daemon {

struct PageVm {
  std::string name;
  std::string profile;
  std::string scope;
  core::Phase phase = core::Phase::preparing;
  Duration phase_for{};
  Duration age{};
  core::Resources size;
  std::string repository;
  std::string job;
};

// What `explain` prints, see core::Wait.
struct PageWait {
  std::uint32_t jobs = 0;
  std::string profile;
  std::string scope;
  std::string why;
  std::string advice;
  std::optional<core::JobHint> oldest;
  std::optional<WallTime> next;
};

struct Page {
  std::string host;
  WallTime wall{};
  std::string why_not_ready;  // as /readyz has it; empty: ready
  core::Capacity capacity;
  core::Capacity used;
  Bytes reserve;  // memory kept for the host itself
  std::vector<PageVm> vms;
  std::vector<PageWait> waits;
  std::vector<history::FinishedJob> recent;  // the latest first
  std::string recent_error;                  // why they could not be read; empty: they were
  std::vector<UsePoint> uses;
  std::vector<WaitPoint> waited;
};

inline constexpr std::size_t kPageJobs = 50;  // of the recent ones are shown

// All but the recent jobs, which are read from history, and the samples.
Page make_page(const core::Config& config, const core::World& world, const core::Plan& plan,
               Instant now, WallTime wall);
// Those of the entries that ran a job or ended by a fault, at most kPageJobs.
std::vector<history::FinishedJob> page_jobs(std::vector<history::FinishedJob> entries);

std::string page_html(const Page& page);
// The Content-Security-Policy that goes with it: its own style and script, and nothing else.
std::string page_policy();

}  // namespace mvr::daemon
