// Finds the repositories of a scope, and the queued jobs of one of them: its runs, and the jobs of
// those runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/world.h"
#include "github/client.h"
#include "github/errors.h"
#include "github/pages.h"
#include "github/wire.h"
#include "sys/loop.h"

namespace mvr::github {

inline constexpr std::size_t kMaxRunsOpened = 50;  // a repository and listing

// At most `most` of `runs`, another part of them in each round, so that many runs with nothing for
// us cannot hide one that has. Pure.
std::vector<Run> turn_of(const std::vector<Run>& runs, std::size_t most, std::uint64_t round);

// The runs to list in this round beside those that are queued: a run shows the state of its least
// advanced job, as far as is known, so that one of another state hardly has a queued job. Where
// nothing happens that is looked for less often still: a new token of an App makes every address
// that was asked cost a request. Pure.
std::optional<std::string_view> other_state(std::uint64_t round, bool is_quiet);

// Oldest first, each job once, none of 24 hours or more: GitHub cancels those, what is still
// listed is a leftover. Pure.
std::vector<core::JobHint> current_jobs(std::vector<core::JobHint> jobs, WallTime now);

class Lister {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  Lister(sys::Loop& loop, Fetcher& fetcher, std::string base)
      : loop_(loop), fetcher_(fetcher), base_(std::move(base)) {}

  // "owner/name" of all repositories of the scope, by name. Asks GitHub, at most every ten minutes,
  // where they are not all named; `is_installation`: as an App's installation. Calls back once,
  // perhaps before it returns.
  void repositories(const core::Scope& scope, bool is_installation,
                    Done<std::vector<std::string>> done);
  // The queued jobs of one repository of the scope. Calls back once, from the loop.
  void list(const core::Scope& scope, const std::string& repository, Done<JobListing> done);

 private:
  struct KnownRun {
    Run run;
    std::vector<core::JobHint> jobs;
  };
  // What the listings of one repository learn for the next ones.
  struct Repository {
    std::uint64_t rounds = 0;
    Instant quiet_from{};  // an hour after runs were seen last
    // Runs that had waiting jobs when they were last opened.
    std::map<std::int64_t, KnownRun> known;
  };
  struct Found {
    std::vector<std::string> repositories;
    Instant refresh_at{};
  };
  struct Finding;  // of repositories, under way
  struct Search;   // one listing under way
  using Shared = std::shared_ptr<Search>;

  void find_next(const std::shared_ptr<Finding>& finding);
  void keep(const std::shared_ptr<Finding>& finding);
  void list_runs(const Shared& search, std::string_view state);
  void choose_runs(const Shared& search);
  void next_run(const Shared& search);
  void finish(const Shared& search);
  template <class T>
  PageQuery<T> query(const core::Scope& scope, Endpoint endpoint, std::string url) const;

  sys::Loop& loop_;
  Fetcher& fetcher_;
  std::string base_;
  std::map<std::string, Found> scopes_;
  std::map<std::string, Repository> repositories_;
};

}  // namespace mvr::github
