// Whether GitHub still takes the runner release that VMs get: GitHub is asked once a day, and a
// listener that it turned away says so at once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::daemon {

// What VMs run as their listener: a release of the runner store, or what an image brings.
struct Release {
  std::string key;      // another one for anything else, be it by the same name
  std::string title;    // "runner release 2.336.0"
  std::string version;  // "2.336.0"; empty: nobody has told
  std::string remedy;   // how to get another one
};

// Of the configured release; nothing when images bring their own, or when it is not installed.
std::optional<Release> configured_release(const core::Config& config);
// Of the listener in VMs of a profile.
std::optional<Release> release_of(const core::Config& config, const core::Profile& profile);

enum class ReleaseVerdict {
  good,     // or unknown
  warning,  // 14 days or less
  urgent,   // 3 days or less
  out,      // one of the dates is past
};
struct ReleaseState {
  ReleaseVerdict verdict = ReleaseVerdict::good;
  std::string text;  // empty: good
};
// The first of the two dates counts (pure).
std::optional<WallTime> end_of(const github::ReleaseDates& dates);
ReleaseState judge_release(const Release& release, const github::ReleaseDates& dates, WallTime now);

class ReleaseWatch {
 public:
  // `changed`: GitHub has told other dates, so that why_not() may answer otherwise.
  explicit ReleaseWatch(sys::Loop& loop, std::function<void()> changed = {})
      : loop_(loop), changed_(std::move(changed)) {}
  ~ReleaseWatch() = default;
  ReleaseWatch(const ReleaseWatch&) = delete;
  ReleaseWatch& operator=(const ReleaseWatch&) = delete;

  // Asks what is due, for one scope of each account, and says in the log once a day what is near
  // its end. `release`: the configured one; call it now and then. `client` may be null.
  void tend(const core::Config& config, github::Client* client,
            const std::optional<Release>& release);
  // GitHub turned the listener of a VM away: its release is out of use for a day, after which one
  // VM may find out whether that still holds.
  void refused(const Release& release);
  // Why no new VM may have this release; empty: it may.
  [[nodiscard]] std::string why_not(const Release& release) const;
  // False: why_not() is empty whatever it is asked.
  [[nodiscard]] bool knows_any() const { return !refusals_.empty() || end_of(dates()); }
  // How long GitHub takes the configured release; below 0: so long no more. Empty: unknown.
  [[nodiscard]] std::optional<Duration> left() const;
  [[nodiscard]] const std::string& version() const { return version_; }

 private:
  struct Asked {
    Instant due{};
    bool is_under_way = false;
    github::ReleaseDates dates;
  };
  struct Refusal {
    Instant until{};
    WallTime since{};
  };
  void ask(const core::Scope& scope, const core::Credentials& account, github::Client& client);
  void answered(const core::Credentials& account, const Result<github::ReleaseDates>& answer);
  void tell(const Release& release);
  [[nodiscard]] github::ReleaseDates dates() const;

  sys::Loop& loop_;
  std::function<void()> changed_;
  std::string version_;
  std::map<core::Credentials, Asked> accounts_;
  std::map<std::string, Refusal> refusals_;  // by key
  ReleaseVerdict told_ = ReleaseVerdict::good;
  Instant tell_again_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::daemon
