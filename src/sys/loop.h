// One thread, one epoll: every completion is a readable descriptor. The one real clock.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

Instant monotonic_now();
WallTime wall_now();

class Loop;

// Registration of a descriptor; destroying it ends the registration, also from inside its own
// handler. Does not own the descriptor; must not outlive the Loop.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();
  Result<void> set_events(std::uint32_t events);  // EPOLLIN | EPOLLOUT ...
  explicit operator bool() const { return loop_ != nullptr; }

 private:
  friend class Loop;
  Watch(Loop* loop, std::uint64_t id) : loop_(loop), id_(id) {}
  Loop* loop_ = nullptr;
  std::uint64_t id_ = 0;
};

// A one-shot call at a time; destroying it cancels.
class Timer {
 public:
  Timer() = default;
  Timer(Timer&& other) noexcept;
  Timer& operator=(Timer&& other) noexcept;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();
  explicit operator bool() const { return loop_ != nullptr; }  // armed or already fired

 private:
  friend class Loop;
  Timer(Loop* loop, std::uint64_t id) : loop_(loop), id_(id) {}
  Loop* loop_ = nullptr;
  std::uint64_t id_ = 0;
};

class Loop {
 public:
  using Handler = std::function<void(std::uint32_t events)>;

  static Result<std::unique_ptr<Loop>> create();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Level-triggered. The handler may destroy any Watch or Timer, itself included.
  Result<Watch> watch(int fd, std::uint32_t events, Handler handler);
  Timer call_at(Instant when, std::function<void()> handler);
  // Blocks the signals for this process and delivers them as calls. Once per loop.
  Result<void> on_signals(const std::vector<int>& signals, std::function<void(int)> handler);

  // Waits for at least one event (at most `limit`), runs all handlers that are due.
  Result<void> run_once(std::optional<Duration> limit = std::nullopt);
  // NOLINTNEXTLINE(readability-convert-member-functions-to-static): time belongs to the loop
  [[nodiscard]] Instant now() const { return monotonic_now(); }

 private:
  friend class Watch;
  friend class Timer;
  Loop();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mvr::sys
