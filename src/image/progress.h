// How far a long step is, for whoever waits at a terminal.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/units.h"

namespace mvr::image {

// Called with a line for whoever waits.
using Progress = std::function<void(const std::string&)>;
// Called several times a second from a thread of its own, and never by two steps at once. `done` is
// at most `all`.
using Bar = std::function<void(Bytes done, Bytes all)>;

// While it lives, tells the bar what `measure` says. Does nothing without a bar.
class Watcher {
 public:
  Watcher(Bar bar, Bytes all, std::function<Bytes()> measure);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  Watcher(Watcher&&) = delete;
  Watcher& operator=(Watcher&&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace mvr::image
