#include "core/replay.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "base/assert.h"
#include "core/plan.h"
#include "core/replay_lanes.h"
#include "core/rules.h"
#include "core/run_times.h"

namespace mvr::core {
namespace {

// Without a job starting or coming in so many steps, none will: a mistake of ours must not hang.
constexpr std::uint32_t kMostIdleSteps = 100'000;
// A queue that only got shorter is listed again once this part of it is gone: until then the
// world knows how many were taken, though not which.
constexpr std::size_t kStaleParts = 4;

class Replay {
 public:
  Replay(const Config& config, const Capacity& capacity, const std::vector<ReplayJob>& jobs,
         const ReplaySettings& settings)
      : jobs_(jobs), settings_(settings), lanes_(config, capacity) {
    MVR_ASSERT(settings.poll > Duration::zero());
    MVR_ASSERT(settings.boot >= Duration::zero());
    world_.capacity = capacity;
    result_.waits.resize(jobs.size());
    keeps_warm_ =
        std::ranges::any_of(config.profiles, [](const auto& each) { return each.warm > 0; });
    for (std::size_t n = 0; n < jobs.size(); ++n) {
      lane_of_job_.push_back(lanes_.lane_for(jobs[n], result_));
      if (lane_of_job_.back()) order_.push_back(n);
    }
    std::ranges::stable_sort(order_, {}, [&jobs](std::size_t n) { return jobs[n].created; });
  }

  Replayed run() {
    if (order_.empty()) return std::move(result_);
    first_ = jobs_[order_.front()].created;
    now_ = last_end_ = counted_until_ = first_;
    // Warm VMs are there when the first job comes.
    if (keeps_warm_) now_ = first_ - settings_.boot;
    is_changed_ = true;
    settle();
    while (const auto next = next_time()) {
      if (++idle_steps_ > kMostIdleSteps) break;
      now_ = std::max(*next, now_);
      step();
    }
    return finished();
  }

 private:
  struct Live {  // what runs in a slot
    std::uint64_t generation = 0;
    std::optional<std::size_t> job;
    std::size_t lane = 0;
  };
  struct Timer {  // a VM has booted, or its job is done
    Instant at{};
    std::uint64_t number = 0;
    Slot slot = 0;
    std::uint64_t generation = 0;
    friend bool operator>(const Timer& a, const Timer& b) {
      return std::pair(a.at, a.number) > std::pair(b.at, b.number);
    }
  };

  // --- time ---

  [[nodiscard]] std::optional<Instant> next_time() const {
    std::optional<Instant> next;
    const auto consider = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
    if (arrived_ < order_.size()) consider(jobs_[order_[arrived_]].created);
    if (!timers_.empty()) consider(timers_.top().at);
    if (poll_at_) consider(*poll_at_);
    // Time alone changes nothing where no VM is; and warm VMs go on for ever.
    const bool is_idle_for_good = !next && std::ranges::all_of(world_.vms, [](const auto& entry) {
      return is_idle(entry.second);
    });
    if (wake_at_ && !is_idle_for_good && !world_.vms.empty()) consider(*wake_at_);
    return next;
  }

  void step() {
    while (!timers_.empty() && timers_.top().at <= now_) {
      const Timer timer = timers_.top();
      timers_.pop();
      const Live& live = lives_[timer.slot];
      if (live.generation != timer.generation) continue;
      live.job ? finish(timer.slot) : booted(timer.slot);
    }
    while (arrived_ < order_.size() && jobs_[order_[arrived_]].created <= now_) {
      arrive(order_[arrived_++]);
    }
    if (poll_at_ && *poll_at_ <= now_) poll();
    if (wake_at_ && *wake_at_ <= now_) is_changed_ = true;
    settle();
  }

  void settle() {
    while (is_changed_) {
      is_changed_ = false;
      Plan made = plan(lanes_.config(), world_, now_);
      wake_at_ = made.wake_at;
      has_waits_ = !made.waits.empty();
      for (const Action& action : made.actions) {
        note(Dispatched{action});
        std::visit([this](const auto& each) { perform(each); }, action);
      }
      if (made.actions.size() == kMaxActions) is_changed_ = true;
    }
  }

  void note(const Event& event) { (void)observe(world_, event, now_); }

  void start_timer(Slot slot, Duration delay) {
    timers_.push(Timer{now_ + delay, timers_made_++, slot, lives_[slot].generation});
  }

  // --- GitHub ---

  void arrive(std::size_t job) {
    idle_steps_ = 0;
    Lane& lane = lanes_[*lane_of_job_[job]];
    lane.queued.push_back(job);
    lanes_.scope(lane.scope).has_news = true;
    if (!lane.listening.empty()) give_job(*lane.listening.begin());
    poll_soon();
  }

  void poll_soon() {
    if (poll_at_) return;
    const auto since = now_.time_since_epoch();
    const auto rest = since % settings_.poll;
    Instant at = rest == Duration::zero() ? now_ : now_ + (settings_.poll - rest);
    if (polled_at_ && at <= *polled_at_) at = *polled_at_ + settings_.poll;
    poll_at_ = at;
  }

  void poll() {
    polled_at_ = *poll_at_;
    poll_at_.reset();
    for (ScopeQueue& scope : lanes_.scopes()) {
      if (scope.has_news || scope.taken * kStaleParts > scope.listed) list(scope);
    }
  }

  void list(ScopeQueue& scope) {
    DemandSeen seen{scope.id, now_, {}, {}};
    scope.listed = 0;
    for (const std::size_t lane : scope.lanes) {
      if (lanes_[lane].queued.empty()) continue;
      std::vector<JobHint> hints;
      hints.reserve(lanes_[lane].queued.size());
      for (const std::size_t job : lanes_[lane].queued) hints.push_back(hint(job));
      scope.listed += hints.size();
      seen.demands.push_back(Demand{lanes_[lane].profile, std::move(hints), {}});
    }
    scope.taken = 0;
    scope.has_news = false;
    note(seen);
    is_changed_ = true;
  }

  [[nodiscard]] JobHint hint(std::size_t n) const {
    const ReplayJob& job = jobs_[n];
    JobHint made;
    made.id = static_cast<std::int64_t>(n) + 1;
    made.repository = job.repository;
    made.workflow = job.workflow;
    made.name = job.name;
    made.created = WallTime{job.created.time_since_epoch()};
    return made;
  }

  // The oldest that waits for a VM like this, which listens.
  void give_job(Slot slot) {
    Live& live = lives_[slot];
    Lane& lane = lanes_[live.lane];
    const std::size_t job = lane.queued.front();
    lane.queued.pop_front();
    lane.listening.erase(slot);
    ScopeQueue& scope = lanes_.scope(lane.scope);
    ++scope.taken;
    if (scope.taken * kStaleParts > scope.listed) poll_soon();
    idle_steps_ = 0;
    live.job = job;
    result_.waits[job] = now_ - jobs_[job].created;
    note(JobStarted{slot, jobs_[job].name});
    start_timer(slot, jobs_[job].run);
    // plan() gives this deadline only when it is asked again, which nothing else calls for.
    const Instant limit = now_ + world_.vms.at(slot).limits.job;
    wake_at_ = wake_at_ ? std::min(*wake_at_, limit) : limit;
  }

  // --- the host ---

  void booted(Slot slot) {
    note(AgentReady{slot});
    const Vm& vm = world_.vms.at(slot);
    if (is_idle(vm)) return;
    claim_if_wanted(vm);
  }

  void claim_if_wanted(const Vm& vm) {
    const bool has_job = !lanes_[lives_[vm.slot].lane].queued.empty();
    if (!has_job || !vm.jit_ready || vm.phase != Phase::warm) {
      is_changed_ = true;  // plan() knows what becomes of it
      return;
    }
    note(Dispatched{Claim{vm.slot}});
    listen(vm.slot);
  }

  void listen(Slot slot) {
    note(RunnerListening{slot});
    Lane& lane = lanes_[lives_[slot].lane];
    lane.listening.insert(slot);
    if (lane.queued.empty()) {
      is_changed_ = true;
    } else {
      give_job(slot);
    }
  }

  void register_runner(Slot slot) {
    lives_[slot].lane = lanes_.lane_of_vm(world_.vms.at(slot));
    note(JitReady{slot, Runner{++runners_made_, "mv"}});
  }

  void request_jit(Slot slot) {
    const std::string& scope = world_.vms.at(slot).scope;
    note(Dispatched{RequestJit{slot, scope, "mv", "", 0, {}}});
    register_runner(slot);
  }

  void finish(Slot slot) {
    const std::size_t job = *lives_[slot].job;
    note(JobFinished{slot, "Succeeded"});
    note(RunnerExited{slot, 0});
    if (settings_.learns) learn(job, world_.vms.at(slot).profile);
    gone(slot);
  }

  void learn(std::size_t n, const std::string& profile) {
    const ReplayJob& job = jobs_[n];
    const Run run{profile, job.repository, job.workflow, job.name, job.run};
    times_.add(run);
    note(Learned{times_.of(run)});
  }

  // The VMM has ended, and all that was left of the VM goes.
  void gone(Slot slot) {
    count_use();
    const Vm& vm = world_.vms.at(slot);
    used_memory_ -= static_cast<double>(vm.size.memory.value);
    used_vcpus_ -= vm.size.vcpus;
    const bool has_runner = vm.runner.has_value();
    Live& live = lives_[slot];
    lanes_[live.lane].listening.erase(slot);
    if (live.job) note_end();
    ++live.generation;
    live.job.reset();
    note(VmExited{slot, {}, EndCause::vm_died});
    if (has_runner) note(Deregistered{slot});
    note(Dispatched{Remove{slot}});
    note(Removed{slot});
    MVR_ASSERT(!world_.vms.contains(slot));
    // Where all demand has VMs, room that is free again changes nothing.
    if (has_waits_ || keeps_warm_) is_changed_ = true;
  }

  void perform(const Launch& action) {
    count_use();
    used_memory_ += static_cast<double>(action.size.memory.value);
    used_vcpus_ += action.size.vcpus;
    ++result_.launches;
    if (lives_.size() <= action.slot) lives_.resize(action.slot + 1);
    note(VmStarted{action.slot});
    if (!action.scope.empty()) request_jit(action.slot);
    start_timer(action.slot, settings_.boot);
  }
  void perform(const RequestJit& action) {
    register_runner(action.slot);
    const Vm& vm = world_.vms.at(action.slot);
    if (vm.phase == Phase::warm) claim_if_wanted(vm);
  }
  void perform(const Claim& action) { listen(action.slot); }
  void perform(const Warn&) {}
  void perform(const Hold&) {}  // nobody asks for it
  void perform(const Stop& action) {
    if (lives_[action.slot].job) ++result_.cut;
    gone(action.slot);
  }
  void perform(const Kill& action) { gone(action.slot); }
  void perform(const Remove& action) {
    note(Removed{action.slot});
    is_changed_ = true;
  }
  void perform(const Deregister& action) {
    // A job may have come since it was asked for: GitHub keeps the runner then.
    if (lives_[action.slot].job) {
      note(DeregisterFailed{action.slot, Error{Errc::busy, "it runs a job"}, now_});
      return;
    }
    lanes_[lives_[action.slot].lane].listening.erase(action.slot);
    note(Deregistered{action.slot});
    is_changed_ = true;
  }

  // --- the result ---

  void count_use() {
    if (now_ <= counted_until_) return;
    const auto elapsed = static_cast<double>((now_ - counted_until_).count());
    memory_time_ += used_memory_ * elapsed;
    vcpu_time_ += used_vcpus_ * elapsed;
    counted_until_ = now_;
  }

  void note_end() {
    last_end_ = now_;
    memory_until_end_ = memory_time_;
    vcpus_until_end_ = vcpu_time_;
  }

  Replayed finished() {
    result_.makespan = last_end_ - first_;
    const auto time = static_cast<double>(result_.makespan.count());
    const Capacity& all = world_.capacity;
    if (time > 0) {
      result_.memory_used = memory_until_end_ / time / static_cast<double>(all.memory.value);
      result_.vcpus_used = vcpus_until_end_ / time / all.vcpus;
    }
    for (const std::size_t job : order_) result_.stuck += result_.waits[job] ? 0U : 1U;
    return std::move(result_);
  }

  const std::vector<ReplayJob>& jobs_;
  const ReplaySettings settings_;
  Lanes lanes_;
  std::vector<std::optional<std::size_t>> lane_of_job_;
  std::vector<std::size_t> order_;  // of the jobs that can run, by age
  std::size_t arrived_ = 0;
  World world_;
  RunTimes times_;
  std::vector<Live> lives_;  // by slot
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::uint64_t timers_made_ = 0;
  std::int64_t runners_made_ = 0;
  Instant now_{};
  std::optional<Instant> poll_at_;
  std::optional<Instant> polled_at_;
  std::optional<Instant> wake_at_;
  bool is_changed_ = false;  // plan() must be asked
  bool has_waits_ = false;   // the latest plan left jobs waiting
  bool keeps_warm_ = false;
  std::uint32_t idle_steps_ = 0;
  Instant first_{};
  Instant last_end_{};
  Instant counted_until_{};
  double used_memory_ = 0;
  double used_vcpus_ = 0;
  double memory_time_ = 0;
  double vcpu_time_ = 0;
  double memory_until_end_ = 0;
  double vcpus_until_end_ = 0;
  Replayed result_;
};

Duration at_rank(const std::vector<Duration>& sorted, std::size_t percent) {
  return sorted[(sorted.size() * percent + 99) / 100 - 1];
}

}  // namespace

Replayed replay(const Config& config, const Capacity& capacity, const std::vector<ReplayJob>& jobs,
                const ReplaySettings& settings) {
  return Replay(config, capacity, jobs, settings).run();
}

WaitSummary summary(const std::vector<std::optional<Duration>>& waits) {
  std::vector<Duration> sorted;
  for (const auto& wait : waits) {
    if (wait) sorted.push_back(*wait);
  }
  if (sorted.empty()) return {};
  std::ranges::sort(sorted);
  const Duration total = std::accumulate(sorted.begin(), sorted.end(), Duration::zero());
  return WaitSummary{sorted.size(),       total / static_cast<std::int64_t>(sorted.size()),
                     at_rank(sorted, 50), at_rank(sorted, 95),
                     at_rank(sorted, 99), sorted.back()};
}

}  // namespace mvr::core
