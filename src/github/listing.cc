#include "github/listing.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr std::uint64_t kInProgressEvery = 3;   // listings
constexpr std::size_t kKeptForInProgress = 10;  // of kMaxRunsOpened
constexpr Duration kRefreshRepositories{600'000};
constexpr std::chrono::hours kOldestJob{24};

std::vector<std::int64_t> sorted(std::vector<std::int64_t> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Both sorted; ids of runs grow with time, so this is oldest first.
std::vector<std::int64_t> without(const std::vector<std::int64_t>& ids,
                                  const std::vector<std::int64_t>& others) {
  std::vector<std::int64_t> left;
  std::set_difference(ids.begin(), ids.end(), others.begin(), others.end(),
                      std::back_inserter(left));
  return left;
}

// True for what concerns one repository only and will not pass by itself.
bool is_local(const Error& error) {
  return error.code == Errc::not_found || error.code == Errc::denied;
}

}  // namespace

struct Lister::Search {
  core::Scope scope;
  Done done;
  JobListing listing;
  bool has_begun = false;  // the first request has left
  WallTime date{};
  std::vector<std::string> repositories;
  std::size_t next = 0;    // repository; the one before is under way
  std::size_t failed = 0;  // repositories
  // Of the repository under way.
  std::vector<std::int64_t> queued;
  std::optional<std::vector<std::int64_t>> in_progress;  // empty: not asked this time
  std::vector<std::int64_t> open;                        // runs to open, the next one last

  [[nodiscard]] const std::string& repository() const { return repositories[next - 1]; }

  template <class T>
  void saw(const Pages<T>& pages) {
    if (!std::exchange(has_begun, true)) listing.as_of = pages.sent;
    date = std::max(date, pages.date);
  }
};

std::vector<std::int64_t> turn_of(const std::vector<std::int64_t>& runs, std::size_t most,
                                  std::uint64_t round) {
  if (runs.size() <= most) return runs;
  if (most == 0) return {};
  const std::size_t turns = (runs.size() + most - 1) / most;
  const std::size_t from = (round % turns) * most;
  const std::size_t to = std::min(from + most, runs.size());
  return {runs.begin() + static_cast<std::ptrdiff_t>(from),
          runs.begin() + static_cast<std::ptrdiff_t>(to)};
}

std::vector<core::JobHint> current_jobs(std::vector<core::JobHint> jobs, WallTime now) {
  const auto is_old = [now](const core::JobHint& job) { return now - job.created >= kOldestJob; };
  jobs.erase(std::remove_if(jobs.begin(), jobs.end(), is_old), jobs.end());
  std::sort(jobs.begin(), jobs.end(), [](const core::JobHint& a, const core::JobHint& b) {
    return std::pair(a.created, a.id) < std::pair(b.created, b.id);
  });
  const auto same = [](const core::JobHint& a, const core::JobHint& b) { return a.id == b.id; };
  jobs.erase(std::unique(jobs.begin(), jobs.end(), same), jobs.end());
  return jobs;
}

template <class T>
PageQuery<T> Lister::query(const Search& search, Endpoint endpoint, std::string url) const {
  PageQuery<T> query;
  query.about = CallInfo{endpoint, search.scope.kind, request_label("GET", url)};
  query.url = std::move(url);
  return query;
}

Lister::Repository& Lister::repository_of(const Search& search) {
  return scopes_[search.scope.id()].by_name[search.repository()];
}

void Lister::list(const core::Scope& scope, Done done) {
  auto search = std::make_shared<Search>();
  search->scope = scope;
  search->done = std::move(done);
  if (scope.kind == core::ScopeKind::repository) {
    search->repositories.push_back(scope.id());
    next_repository(search);
  } else if (!scope.repositories.empty()) {
    for (const std::string& name : scope.repositories) {
      search->repositories.push_back(scope.owner + "/" + name);
    }
    next_repository(search);
  } else {
    find_repositories(search);
  }
}

// An empty list is asked for again each time, so that there is always something to ask and the
// answer always comes from the loop.
void Lister::find_repositories(const Shared& search) {
  const Known& known = scopes_[search->scope.id()];
  if (!known.repositories.empty() && loop_.now() < known.refresh_at) {
    search->repositories = known.repositories;
    next_repository(search);
    return;
  }
  auto question = query<std::string>(*search, Endpoint::list_repositories,
                                     repositories_url(base_, search->scope.owner));
  question.decode = decode_repositories;
  fetcher_.fetch<std::string>(std::move(question), [this,
                                                    search](Result<Pages<std::string>> pages) {
    if (!pages) return search->done(fail(std::move(pages.error())));
    search->saw(*pages);
    // While it is paged through, the list may shift: a name can come twice.
    std::sort(pages->items.begin(), pages->items.end());
    pages->items.erase(std::unique(pages->items.begin(), pages->items.end()), pages->items.end());
    Known& found = scopes_[search->scope.id()];
    found.repositories = std::move(pages->items);
    found.refresh_at = loop_.now() + kRefreshRepositories;
    search->repositories = found.repositories;
    next_repository(search);
  });
}

void Lister::next_repository(const Shared& search) {
  if (search->next == search->repositories.size()) {
    finish(search);
    return;
  }
  ++search->next;
  search->queued.clear();
  search->in_progress.reset();
  list_runs(search, "queued");
}

void Lister::list_runs(const Shared& search, const std::string& status) {
  auto question = query<std::int64_t>(*search, Endpoint::list_runs,
                                      runs_url(base_, search->repository(), status));
  question.decode = decode_runs;
  const bool is_queued = status == "queued";
  fetcher_.fetch<std::int64_t>(std::move(question),
                               [this, search, is_queued](Result<Pages<std::int64_t>> pages) {
                                 if (!pages)
                                   return repository_failed(search, std::move(pages.error()));
                                 search->saw(*pages);
                                 if (!is_queued) {
                                   search->in_progress = sorted(std::move(pages->items));
                                   return choose_runs(search);
                                 }
                                 search->queued = sorted(std::move(pages->items));
                                 if (repository_of(*search).rounds % kInProgressEvery == 0) {
                                   return list_runs(search, "in_progress");
                                 }
                                 choose_runs(search);
                               });
}

// A run that is neither listed nor was worth opening last time is forgotten. Between two looks at
// the runs in progress, those that had waiting jobs are opened again.
void Lister::choose_runs(const Shared& search) {
  Repository& repository = repository_of(*search);
  std::vector<std::int64_t> others;
  if (search->in_progress) {
    others = std::move(*search->in_progress);
  } else {
    for (const auto& [run, jobs] : repository.known) others.push_back(run);
  }
  others = without(others, search->queued);
  for (auto entry = repository.known.begin(); entry != repository.known.end();) {
    const bool is_listed =
        std::binary_search(search->queued.begin(), search->queued.end(), entry->first) ||
        std::binary_search(others.begin(), others.end(), entry->first);
    entry = is_listed ? std::next(entry) : repository.known.erase(entry);
  }
  const std::size_t kept = std::min(others.size(), kKeptForInProgress);
  search->open = turn_of(search->queued, kMaxRunsOpened - kept, repository.rounds);
  const auto more =
      turn_of(others, kMaxRunsOpened - search->open.size(), repository.rounds / kInProgressEvery);
  search->open.insert(search->open.end(), more.begin(), more.end());
  std::reverse(search->open.begin(), search->open.end());
  ++repository.rounds;
  next_run(search);
}

void Lister::next_run(const Shared& search) {
  if (search->open.empty()) {
    for (const auto& [run, jobs] : repository_of(*search).known) {
      search->listing.jobs.insert(search->listing.jobs.end(), jobs.begin(), jobs.end());
    }
    next_repository(search);
    return;
  }
  const std::int64_t run = search->open.back();
  search->open.pop_back();
  auto question = query<core::JobHint>(*search, Endpoint::list_jobs,
                                       run_jobs_url(base_, search->repository(), run));
  question.decode = [name = search->repository()](std::string_view body) {
    return decode_waiting_jobs(body, name);
  };
  fetcher_.fetch<core::JobHint>(std::move(question),
                                [this, search, run](Result<Pages<core::JobHint>> pages) {
                                  auto& known = repository_of(*search).known;
                                  if (!pages && pages.error().code != Errc::not_found) {
                                    return repository_failed(search, std::move(pages.error()));
                                  }
                                  known.erase(run);  // also when the run was deleted meanwhile
                                  if (pages) search->saw(*pages);
                                  if (pages && !pages->items.empty())
                                    known[run] = std::move(pages->items);
                                  next_run(search);
                                });
}

// One repository that is gone or closed to the token must not stop all others of an organisation.
void Lister::repository_failed(const Shared& search, Error error) {
  const bool is_alone = search->repositories.size() == 1;
  if (is_alone || !is_local(error)) return search->done(fail(std::move(error)));
  repository_of(*search).known.clear();
  ++search->failed;
  if (!search->listing.gap) search->listing.gap = std::move(error);
  next_repository(search);
}

void Lister::finish(const Shared& search) {
  if (search->failed > 0 && search->failed == search->repositories.size()) {
    return search->done(fail(std::move(*search->listing.gap)));
  }
  Known& known = scopes_[search->scope.id()];
  for (auto entry = known.by_name.begin(); entry != known.by_name.end();) {
    const auto& names = search->repositories;
    const bool is_listed = std::find(names.begin(), names.end(), entry->first) != names.end();
    entry = is_listed ? std::next(entry) : known.by_name.erase(entry);
  }
  search->listing.jobs = current_jobs(std::move(search->listing.jobs), search->date);
  search->done(std::move(search->listing));
}

}  // namespace mvr::github
