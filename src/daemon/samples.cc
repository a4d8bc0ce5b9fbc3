#include "daemon/samples.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace mvr::daemon {
namespace {

constexpr double kLeastWait = 100;  // milliseconds
constexpr double kGrowth = 1.05;

std::int64_t step_of(WallTime at, Duration step) {
  return std::max<std::int64_t>(at.time_since_epoch() / step, 0);
}

WallTime start_of(std::int64_t step, Duration length) { return WallTime{step * length}; }

template <class Slots>
auto& slot_at(Slots& slots, std::int64_t step) {
  return slots[static_cast<std::size_t>(step) % slots.size()];
}

// A VM's time on this host.
struct Stay {
  WallTime from{};
  WallTime to{};
  core::Resources size;
};

std::vector<Stay> stays(const std::vector<history::FinishedJob>& past, const core::World& world,
                        Instant now, WallTime wall) {
  std::vector<Stay> out;
  out.reserve(past.size() + world.vms.size());
  for (const auto& job : past) {
    if (job.created && job.ended) out.push_back({*job.created, *job.ended, job.size});
  }
  for (const auto& [slot, vm] : world.vms) {
    out.push_back({wall - (now - vm.created), wall, vm.size});
  }
  return out;
}

}  // namespace

void Samples::note_use(const core::Capacity& used, const core::Capacity& all, WallTime at) {
  if (all.memory.value == 0 || all.vcpus == 0) return;  // not measured yet
  const std::int64_t step = step_of(at, kUseStep);
  UseSlot& slot = slot_at(uses_, step);
  if (slot.step != step) slot = UseSlot{step};
  ++slot.notes;
  slot.memory += static_cast<double>(used.memory.value) / static_cast<double>(all.memory.value);
  slot.vcpus += static_cast<double>(used.vcpus) / all.vcpus;
}

void Samples::note_wait(WallTime queued, WallTime started) {
  const std::int64_t step = step_of(started, kWaitStep);
  WaitSlot& slot = slot_at(waits_, step);
  if (slot.step > step) return;  // of the day before
  if (slot.step != step) slot = WaitSlot{step};
  const auto wait = static_cast<double>((started - queued).count());
  const double bucket =
      wait <= kLeastWait ? 0 : std::floor(std::log(wait / kLeastWait) / std::log(kGrowth)) + 1;
  ++slot.counts.at(std::min(static_cast<std::size_t>(bucket), kBuckets - 1));
  ++slot.jobs;
}

void Samples::refill(const std::vector<history::FinishedJob>& past, const core::World& world,
                     Instant now, WallTime wall) {
  for (const auto& job : past) {
    const bool is_today = job.started && *job.started > wall - kWaitStep * kWaits;
    if (job.queued && is_today && *job.started <= wall) note_wait(*job.queued, *job.started);
  }
  for (const auto& [slot, vm] : world.vms) {
    const bool runs = vm.phase == core::Phase::running;
    if (runs && vm.queued) note_wait(*vm.queued, wall - (now - vm.since));
  }
  const std::int64_t last = step_of(wall, kUseStep);
  const std::int64_t first = last - static_cast<std::int64_t>(kUses) + 1;
  const auto all_memory = static_cast<double>(world.capacity.memory.value);
  if (all_memory == 0 || world.capacity.vcpus == 0) return;
  std::map<std::int64_t, UseSlot> found;
  for (const auto& stay : stays(past, world, now, wall)) {
    for (auto step = std::max(first, step_of(stay.from, kUseStep)); step < last; ++step) {
      const WallTime start = start_of(step, kUseStep);
      if (start >= stay.to) break;
      const Duration there = std::min(stay.to, start + kUseStep) - std::max(stay.from, start);
      const double part = static_cast<double>(there.count()) / kUseStep.count();
      UseSlot& slot = found.try_emplace(step, UseSlot{step, 1}).first->second;
      slot.memory += part * static_cast<double>(stay.size.memory.value) / all_memory;
      slot.vcpus += part * stay.size.vcpus / world.capacity.vcpus;
    }
  }
  for (const auto& [step, slot] : found) slot_at(uses_, step) = slot;
}

std::vector<UsePoint> Samples::uses(WallTime now) const {
  std::vector<UsePoint> points;
  points.reserve(kUses);
  const std::int64_t last = step_of(now, kUseStep);
  for (std::int64_t step = last - static_cast<std::int64_t>(kUses) + 1; step <= last; ++step) {
    const UseSlot& slot = slot_at(uses_, std::max<std::int64_t>(step, 0));
    UsePoint point{start_of(step, kUseStep), std::nullopt};
    if (slot.step == step) point.use = Use{slot.memory / slot.notes, slot.vcpus / slot.notes};
    points.push_back(point);
  }
  return points;
}

Duration Samples::quantile(const WaitSlot& slot, double share) {
  const double rank = std::ceil(share * slot.jobs);
  double seen = 0;
  std::size_t bucket = 0;
  for (; bucket + 1 < kBuckets; ++bucket) {
    seen += slot.counts.at(bucket);
    if (seen >= rank) break;
  }
  if (bucket == 0) return Duration{static_cast<std::int64_t>(kLeastWait)};
  const double middle = kLeastWait * std::pow(kGrowth, static_cast<double>(bucket) - 0.5);
  return Duration{std::llround(middle)};
}

std::vector<WaitPoint> Samples::waits(WallTime now) const {
  std::vector<WaitPoint> points;
  points.reserve(kWaits);
  const std::int64_t last = step_of(now, kWaitStep);
  for (std::int64_t step = last - static_cast<std::int64_t>(kWaits) + 1; step <= last; ++step) {
    const WaitSlot& slot = slot_at(waits_, std::max<std::int64_t>(step, 0));
    WaitPoint point{start_of(step, kWaitStep)};
    if (slot.step == step) {
      point.jobs = slot.jobs;
      point.median = quantile(slot, 0.5);
      point.p95 = quantile(slot, 0.95);
    }
    points.push_back(point);
  }
  return points;
}

}  // namespace mvr::daemon
