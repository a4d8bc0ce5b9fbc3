#include "image/progress.h"

#include <algorithm>
#include <chrono>

namespace mvr::image {
namespace {
constexpr std::chrono::milliseconds kEvery{100};
}  // namespace

Watcher::Watcher(Bar bar, Bytes all, std::function<Bytes()> measure) {
  if (!bar || all.value == 0) return;
  thread_ = std::thread([this, bar = std::move(bar), all, measure = std::move(measure)] {
    std::unique_lock lock(mutex_);
    while (!over_.wait_for(lock, kEvery, [this] { return is_over_; })) {
      bar(std::min(measure(), all), all);
    }
    bar(all, all);
  });
}

Watcher::~Watcher() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  over_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace mvr::image
