// How much of GitHub's hourly limit looking for jobs may use up. Pure.
//
// GitHub counts in windows of an hour; unchanged answers (304) cost nothing. Of a window's limit
// polling takes its share at most: half of the share at once, as after a start or when an App's new
// token makes every answer a changed one, the rest as the hour goes on. Where GitHub sets no limit,
// as an Enterprise Server by default, neither do we.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/units.h"
#include "github/errors.h"

namespace mvr::github {

class Quota {
 public:
  explicit Quota(double share) : share_(share) {}

  void set_share(double share) { share_ = share; }
  // What an answer told of the limit; `resets`: when the window ends.
  void learn(const Budget& budget, Instant resets) {
    budget_ = budget;
    if (resets != ends_) begin(resets);
  }
  // A poll that was answered with more than "unchanged".
  void charge(Instant now) {
    if (now >= ends_) begin(now + kHour);
    ++charged_;
  }
  // When the next poll may go.
  [[nodiscard]] Instant ready_at(Instant now) const {
    const std::uint64_t all = allowance();
    if (budget_.limit == 0 || now >= ends_ || charged_ < all / 2) return now;
    if (charged_ >= all) return ends_;
    // charged_ < all * (1 + elapsed / hour) / 2
    const double elapsed = 2 * static_cast<double>(charged_) / static_cast<double>(all) - 1;
    const Duration wait{
        static_cast<Duration::rep>(std::ceil(elapsed * static_cast<double>(kHour.count())))};
    return std::clamp(ends_ - kHour + wait, now, std::max(now, ends_));
  }
  // Of one window, in requests; 0: GitHub has told no limit.
  [[nodiscard]] std::uint64_t allowance() const {
    return static_cast<std::uint64_t>(static_cast<double>(budget_.limit) * share_);
  }
  // Of the window that now is in.
  [[nodiscard]] std::uint64_t charged(Instant now) const { return now >= ends_ ? 0 : charged_; }
  [[nodiscard]] const Budget& budget() const { return budget_; }

 private:
  static constexpr Duration kHour{3'600'000};

  // GitHub tells whole seconds: an end near the known one is the same.
  void begin(Instant ends) {
    constexpr Duration kSame{60'000};
    const bool is_same = ends < ends_ + kSame && ends_ < ends + kSame;
    if (!is_same) charged_ = 0;
    ends_ = ends;
  }

  double share_;
  Budget budget_{};
  Instant ends_{};
  std::uint64_t charged_ = 0;
};

}  // namespace mvr::github
