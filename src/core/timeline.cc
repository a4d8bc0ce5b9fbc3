#include "core/timeline.h"

#include <algorithm>

namespace mvr::core {
namespace {

// An overdue job is taken to need as long again as it has had.
Instant end_of_run(const Vm& vm, Instant now, bool certain) {
  const Instant limit = std::max(vm.since + vm.limits.job + kGoing, now + kGoing);
  if (certain) return limit;
  const Instant expected = vm.since + vm.expected + kGoing;
  return std::min(limit, expected > now ? expected : now + (now - vm.since) + kGoing);
}

// From its launch until its room is free again.
Duration life(const Limits& limits, Duration expected, bool certain) {
  if (certain) return limits.boot + limits.boot + limits.listen + limits.job + kGoing;
  return kComing + expected + kGoing;
}

// When a VM's room is free again; nothing: nobody knows.
std::optional<Instant> end_of(const Vm& vm, Instant now, bool certain) {
  switch (vm.phase) {
    case Phase::held:
      return vm.held_until.value_or(now) + kGoing;
    case Phase::ending:
    case Phase::removing:
      return now + kGoing;
    case Phase::running:
      return end_of_run(vm, now, certain);
    case Phase::preparing:
    case Phase::booting:
    case Phase::warm:
    case Phase::claiming:
    case Phase::listening:
      break;
  }
  if (vm.scope.empty()) return std::nullopt;  // it stays warm unless it is given up
  // A listener may get its job at any time.
  const Instant latest_start = std::max(vm.created, now - kComing);
  return latest_start + life(vm.limits, vm.expected, certain);
}

}  // namespace

Duration expected_run(const World& world, const std::string& profile, const Profile& settings,
                      const JobHint& job) {
  auto run = world.estimates.find(estimate_key(job.repository, job.workflow, job.name));
  if (!run) run = world.estimates.find(estimate_key(profile));
  return std::min(run.value_or(settings.limits.job), settings.limits.job);
}

Timeline::Timeline(const World& world, Instant now, bool certain) : now_(now), certain_(certain) {
  const Capacity& all = world.capacity;
  Free free{static_cast<std::int64_t>(all.memory.value), all.vcpus,
            static_cast<std::int64_t>(all.disk.value), all.vms};
  struct End {
    Instant at{};
    const Resources* size = nullptr;
  };
  std::vector<End> ends;
  for (const auto& [slot, vm] : world.vms) {
    if (vm.removed) continue;
    free = sum(free, vm.size, -1);
    if (const auto end = end_of(vm, now, certain)) ends.push_back(End{*end, &vm.size});
  }
  std::ranges::sort(ends, {}, &End::at);
  steps_.push_back(Step{now, free});
  for (const End& end : ends) {
    free = sum(free, *end.size, 1);
    if (steps_.back().at == end.at) {
      steps_.back().free = free;
    } else {
      steps_.push_back(Step{end.at, free});
    }
  }
}

Instant Timeline::end_of_new(const Limits& limits, Duration expected) const {
  return now_ + life(limits, expected, certain_);
}

Timeline::Free Timeline::sum(const Free& free, const Resources& size, std::int64_t sign) {
  return Free{free.memory + sign * static_cast<std::int64_t>(size.memory.value),
              free.vcpus + sign * static_cast<std::int64_t>(size.vcpus),
              free.disk + sign * static_cast<std::int64_t>(size.disk.value), free.vms + sign};
}

bool Timeline::holds(const Free& free, const Resources& size) {
  return free.memory >= static_cast<std::int64_t>(size.memory.value) &&
         free.vcpus >= static_cast<std::int64_t>(size.vcpus) &&
         free.disk >= static_cast<std::int64_t>(size.disk.value) && free.vms >= 1;
}

bool Timeline::fits_until(const Resources& size, Instant end) const {
  if (!holds(steps_.front().free, size)) return false;
  for (const Step& step : steps_) {
    if (step.at > now_ && step.at >= end) return true;
    if (!holds(step.free, size)) return false;
  }
  return true;
}

std::optional<Instant> Timeline::when(const Resources& size) const {
  std::optional<Instant> since;
  for (const Step& step : steps_) {
    if (!holds(step.free, size)) {
      since.reset();
    } else if (!since) {
      since = step.at;
    }
  }
  return since;
}

void Timeline::change(Instant at, const Resources& size, std::int64_t sign) {
  auto step = std::ranges::lower_bound(steps_, at, {}, &Step::at);
  if (step == steps_.end() || step->at != at) {
    const Free before = std::prev(step)->free;
    step = steps_.insert(step, Step{at, before});
  }
  for (; step != steps_.end(); ++step) step->free = sum(step->free, size, sign);
}

void Timeline::take(const Resources& size, Instant end) {
  change(now_, size, -1);
  change(std::max(end, now_ + Duration{1}), size, 1);
}

void Timeline::reserve(const Resources& size, Instant start) {
  change(std::max(start, now_), size, -1);
}

void Timeline::release(const Resources& size) { change(now_ + kGoing, size, 1); }

}  // namespace mvr::core
