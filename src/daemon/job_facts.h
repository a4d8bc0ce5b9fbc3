// Asks GitHub, a while after a VM has ended, about the job it ran, for history.
//
// The runner tells a job's display name and nothing else. So the listings are kept in mind: the
// runs that had such a job waiting are looked through for the one this runner completed. It is the
// least urgent of all requests: one at a time, and none while the budget of requests is low.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/event.h"
#include "core/job_facts.h"
#include "github/client.h"
#include "github/recent.h"
#include "history/history.h"
#include "sys/loop.h"

namespace mvr::daemon {

// A run where a job may be found.
struct RunRef {
  std::string repository;
  std::int64_t run = 0;
  friend auto operator<=>(const RunRef&, const RunRef&) = default;
};
// "acme/app#17 acme/web#3", how history keeps them. Decoding leaves out what is none, and what is
// more than a few. Pure.
std::string encode_runs(const std::vector<RunRef>& runs);
std::vector<RunRef> decode_runs_wanted(std::string_view text);

class JobFactFetcher {
 public:
  // How patient it is; tests shorten it.
  struct Patience {
    Duration first{45'000};       // after the VM's end: GitHub is late, too
    Duration retry{60'000};       // doubled each time
    Duration give_up{1'800'000};  // after the VM's end
    Duration gap{1'000};          // between two questions
    Duration mind{7'200'000};     // how long a job is kept in mind after it was listed
  };
  static constexpr std::size_t kMostWaiting = 1'000;

  // `config` and `history` outlive it; without a client it asks nothing.
  JobFactFetcher(sys::Loop& loop, const core::Config& config, history::History& history)
      : JobFactFetcher(loop, config, history, Patience{}) {}
  JobFactFetcher(sys::Loop& loop, const core::Config& config, history::History& history,
                 Patience patience);
  void use(github::Client* client);

  // Keeps in mind what a listing shows.
  void note(const core::DemandSeen& seen);
  // Where to look for the job of a VM that has ended, as an entry's `wanted`; `run`: where it
  // probably was, 0: not known. Empty: nothing is known, or no job of GitHub's ran.
  [[nodiscard]] std::string wanted_of(const history::FinishedJob& job, std::int64_t run) const;
  // Of an entry of history that wants facts: they are added to it later. Again: nothing happens.
  void fetch(const history::FinishedJob& job);
  // What a former daemon had not got yet.
  void resume();
  [[nodiscard]] std::size_t waiting() const { return entries_.size(); }

 private:
  // A job as it was listed last.
  struct Listed {
    std::string scope;
    RunRef run;
    std::string name;
    WallTime created{};
    WallTime seen{};
  };
  struct Entry {
    std::string scope;
    std::string runner;
    std::vector<RunRef> runs;
    WallTime ended{};
    Instant due{};
    std::uint32_t failures = 0;
  };
  void arm();
  void look();
  void ask(const std::string& vm, std::size_t next);
  void answered(const std::string& vm, std::size_t asked,
                Result<std::optional<core::JobFacts>> answer);
  void try_again(const std::string& vm);
  void finish(const std::string& vm, const core::JobFacts& facts);

  sys::Loop& loop_;
  const core::Config& config_;
  history::History& history_;
  Patience patience_;
  github::Client* client_ = nullptr;
  github::Recent<std::int64_t, Listed> listed_;  // by job
  std::map<std::string, Entry> entries_;         // by VM
  bool is_asking_ = false;
  Instant not_before_{};
  sys::Timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::daemon
