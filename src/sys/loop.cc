#include "sys/loop.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/assert.h"

namespace mvr::sys {

// Entries are owned through pointers and, when they end during a dispatch, parked in `parked`
// until no handler is on the stack: a handler may end itself while it runs.
struct Loop::State {
  struct Watched {
    int fd = -1;
    Handler handler;
  };
  struct Timed {
    Instant when;
    std::function<void()> handler;
  };

  Fd epoll;
  Fd signals;
  Watch signal_watch;
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, std::unique_ptr<Watched>> watches;
  // Whose registration a number is now: its owner may have closed it without telling, and the
  // number may be in use again.
  std::unordered_map<int, std::uint64_t> id_of_fd;
  std::unordered_map<std::uint64_t, std::unique_ptr<Timed>> timers;
  std::map<std::pair<Instant, std::uint64_t>, Timed*> order;
  std::vector<std::unique_ptr<Watched>> parked_watches;
  std::vector<std::unique_ptr<Timed>> parked_timers;
  unsigned depth = 0;

  [[nodiscard]] int timeout(std::optional<Duration> limit) const;
  void end_watch(std::uint64_t id);
  void end_timer(std::uint64_t id);
  void dispatch(std::uint64_t id, std::uint32_t events);
  void run_timers(Instant now);
  void leave();
};

namespace {

timespec clock_value(clockid_t clock) {
  timespec value{};
  MVR_ASSERT(::clock_gettime(clock, &value) == 0);
  return value;
}
std::chrono::milliseconds since_epoch(const timespec& value) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::seconds(value.tv_sec) + std::chrono::nanoseconds(value.tv_nsec));
}

Result<void> control(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t id) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll, operation, fd, &event) == 0) return {};
  return fail_errno(errno, "watch descriptor " + std::to_string(fd));
}

}  // namespace

Instant monotonic_now() { return Instant(since_epoch(clock_value(CLOCK_MONOTONIC))); }
WallTime wall_now() { return WallTime(since_epoch(clock_value(CLOCK_REALTIME))); }

Watch::Watch(Watch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), id_(std::exchange(other.id_, 0)) {}
Watch& Watch::operator=(Watch&& other) noexcept {
  if (this == &other) return *this;
  if (loop_ != nullptr) loop_->state_->end_watch(id_);
  loop_ = std::exchange(other.loop_, nullptr);
  id_ = std::exchange(other.id_, 0);
  return *this;
}
Watch::~Watch() {
  if (loop_ != nullptr) loop_->state_->end_watch(id_);
}

Result<void> Watch::set_events(std::uint32_t events) {
  if (loop_ == nullptr) return fail(Errc::invalid, "change a watch that has ended");
  Loop::State& state = *loop_->state_;
  return control(state.epoll.get(), EPOLL_CTL_MOD, state.watches.at(id_)->fd, events, id_);
}

Timer::Timer(Timer&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), id_(std::exchange(other.id_, 0)) {}
Timer& Timer::operator=(Timer&& other) noexcept {
  if (this == &other) return *this;
  if (loop_ != nullptr) loop_->state_->end_timer(id_);
  loop_ = std::exchange(other.loop_, nullptr);
  id_ = std::exchange(other.id_, 0);
  return *this;
}
Timer::~Timer() {
  if (loop_ != nullptr) loop_->state_->end_timer(id_);
}

void Loop::State::end_watch(std::uint64_t id) {
  const auto found = watches.find(id);
  if (found == watches.end()) return;
  const int fd = found->second->fd;
  const auto owner = id_of_fd.find(fd);
  if (owner != id_of_fd.end() && owner->second == id) {
    (void)control(epoll.get(), EPOLL_CTL_DEL, fd, 0, id);  // fails when it was closed before
    id_of_fd.erase(owner);
  }
  parked_watches.push_back(std::move(found->second));
  watches.erase(found);
  if (depth == 0) leave();
}

void Loop::State::end_timer(std::uint64_t id) {
  const auto found = timers.find(id);
  if (found == timers.end()) return;  // it fired
  order.erase({found->second->when, id});
  parked_timers.push_back(std::move(found->second));
  timers.erase(found);
  if (depth == 0) leave();
}

// Destroying a handler may destroy what it captured, and with it further watches and timers:
// those land in the same lists, so take the lists apart from the front.
void Loop::State::leave() {
  while (!parked_watches.empty() || !parked_timers.empty()) {
    const auto dead_watches = std::exchange(parked_watches, {});
    const auto dead_timers = std::exchange(parked_timers, {});
  }
}

// Milliseconds for epoll_wait(): until the first timer, at most `limit`; -1 = for ever.
int Loop::State::timeout(std::optional<Duration> limit) const {
  if (!order.empty()) {
    const Duration first = order.begin()->first.first - monotonic_now();
    limit = limit ? std::min(*limit, first) : first;
  }
  if (!limit) return -1;
  return static_cast<int>(std::clamp<std::int64_t>(limit->count(), 0, INT_MAX));
}

void Loop::State::dispatch(std::uint64_t id, std::uint32_t events) {
  const auto found = watches.find(id);
  if (found == watches.end()) return;  // ended by a handler earlier in this batch
  const Watched& watched = *found->second;
  watched.handler(events);
}

void Loop::State::run_timers(Instant now) {
  // Only those due at the start: a handler that asks for "now" again gets the next round.
  std::vector<std::uint64_t> due;
  for (auto it = order.begin(); it != order.end() && it->first.first <= now; ++it) {
    due.push_back(it->first.second);
  }
  for (const std::uint64_t id : due) {
    const auto found = timers.find(id);
    if (found == timers.end()) continue;
    const auto timed = std::move(found->second);
    timers.erase(found);
    order.erase({timed->when, id});
    timed->handler();
  }
}

Loop::Loop() : state_(std::make_unique<State>()) {}

Loop::~Loop() {
  MVR_ASSERT(state_->depth == 0);
  state_->signal_watch = Watch();
  // Handlers may own watches and timers of this loop: these must find valid, emptied maps.
  const auto watches = std::exchange(state_->watches, {});
  const auto timers = std::exchange(state_->timers, {});
}

Result<std::unique_ptr<Loop>> Loop::create() {
  std::unique_ptr<Loop> loop(new Loop());
  State& state = *loop->state_;
  state.epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!state.epoll) return fail_errno(errno, "epoll_create1");
  return loop;
}

Result<Watch> Loop::watch(int fd, std::uint32_t events, Handler handler) {
  const std::uint64_t id = state_->next_id++;
  TRY(control(state_->epoll.get(), EPOLL_CTL_ADD, fd, events, id));
  state_->watches[id] = std::make_unique<State::Watched>(State::Watched{fd, std::move(handler)});
  state_->id_of_fd[fd] = id;
  return Watch(this, id);
}

Timer Loop::call_at(Instant when, std::function<void()> handler) {
  const std::uint64_t id = state_->next_id++;
  auto timed = std::make_unique<State::Timed>(State::Timed{when, std::move(handler)});
  state_->order[{when, id}] = timed.get();
  state_->timers[id] = std::move(timed);
  return Timer(this, id);
}

Result<void> Loop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  if (state_->signals) return fail(Errc::exists, "signals are handled already");
  sigset_t set;
  (void)sigemptyset(&set);
  for (const int number : signals) {
    if (sigaddset(&set, number) != 0)
      return fail_errno(errno, "handle signal " + std::to_string(number));
  }
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return fail(Errc::io, "block signals");
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "signalfd");
  const int raw = fd.get();
  auto deliver = [raw, handler = std::move(handler)](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(raw, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      handler(static_cast<int>(info.ssi_signo));
    }
  };
  TRY_ASSIGN(state_->signal_watch, watch(raw, EPOLLIN, std::move(deliver)));
  state_->signals = std::move(fd);
  return {};
}

Result<void> Loop::run_once(std::optional<Duration> limit) {
  std::array<epoll_event, 64> events{};
  const int count = ::epoll_wait(state_->epoll.get(), events.data(),
                                 static_cast<int>(events.size()), state_->timeout(limit));
  if (count < 0 && errno == EINTR) return {};
  if (count < 0) return fail_errno(errno, "epoll_wait");
  ++state_->depth;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events.at(static_cast<std::size_t>(i));
    state_->dispatch(event.data.u64, event.events);
  }
  state_->run_timers(monotonic_now());
  if (--state_->depth == 0) state_->leave();
  return {};
}

}  // namespace mvr::sys
