// Finds the queued jobs of a scope: its repositories, their runs, the jobs of those runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/world.h"
#include "github/client.h"
#include "github/errors.h"
#include "github/pages.h"
#include "sys/loop.h"

namespace mvr::github {

inline constexpr std::size_t kMaxRunsOpened = 50;  // a repository and listing

// At most `most` of `runs`, another part of them in each round, so that many runs with nothing for
// us cannot hide one that has. Pure.
std::vector<std::int64_t> turn_of(const std::vector<std::int64_t>& runs, std::size_t most,
                                  std::uint64_t round);

// Oldest first, each job once, none of 24 hours or more: GitHub cancels those, what is still
// listed is a leftover. Pure.
std::vector<core::JobHint> current_jobs(std::vector<core::JobHint> jobs, WallTime now);

class Lister {
 public:
  using Done = std::function<void(Result<JobListing>)>;
  Lister(sys::Loop& loop, Fetcher& fetcher, std::string base)
      : loop_(loop), fetcher_(fetcher), base_(std::move(base)) {}

  // Calls back once, from the loop.
  void list(const core::Scope& scope, Done done);

 private:
  // What the listings of one repository learn for the next ones.
  struct Repository {
    std::uint64_t rounds = 0;
    // Runs that had waiting jobs when they were last opened, with these jobs.
    std::map<std::int64_t, std::vector<core::JobHint>> known;
  };
  struct Known {
    std::vector<std::string> repositories;  // of an organisation, as found
    Instant refresh_at{};
    std::map<std::string, Repository> by_name;
  };
  // One listing under way.
  struct Search;
  using Shared = std::shared_ptr<Search>;

  void find_repositories(const Shared& search);
  void next_repository(const Shared& search);
  void list_runs(const Shared& search, const std::string& status);
  void choose_runs(const Shared& search);
  void next_run(const Shared& search);
  void repository_failed(const Shared& search, Error error);
  void finish(const Shared& search);
  template <class T>
  PageQuery<T> query(const Search& search, Endpoint endpoint, std::string url) const;
  Repository& repository_of(const Search& search);

  sys::Loop& loop_;
  Fetcher& fetcher_;
  std::string base_;
  std::map<std::string, Known> scopes_;
};

}  // namespace mvr::github
