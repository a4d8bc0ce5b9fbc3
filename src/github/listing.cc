#include "github/listing.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/match.h"
#include "github/url.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

constexpr std::size_t kKeptForOthers = 10;  // of kMaxRunsOpened
constexpr Duration kRefreshRepositories{600'000};
constexpr Duration kActive{3'600'000};
constexpr Duration kRunLife = std::chrono::minutes(30);  // of what is known of a run's jobs
constexpr std::chrono::hours kOldestJob{24};

// By id, each once; ids of runs grow with time, so this is oldest first.
std::vector<Run> sorted(std::vector<Run> runs) {
  std::ranges::sort(runs, {}, &Run::id);
  const auto same = [](const Run& a, const Run& b) { return a.id == b.id; };
  runs.erase(std::unique(runs.begin(), runs.end(), same), runs.end());
  return runs;
}

// Both sorted.
std::vector<Run> without(const std::vector<Run>& runs, const std::vector<Run>& others) {
  std::vector<Run> left;
  std::ranges::set_difference(runs, others, std::back_inserter(left), {}, &Run::id, &Run::id);
  return left;
}

}  // namespace

struct Lister::Finding {
  core::Scope scope;
  Done<std::vector<std::string>> done;
  std::vector<std::string> addresses;  // still to ask, the next one last
  bool is_installation = false;
  std::vector<std::string> repositories;
};

struct Lister::Search {
  core::Scope scope;
  std::string repository;
  Done<JobListing> done;
  JobListing listing;
  bool has_begun = false;  // the first request has left
  WallTime date{};
  std::vector<Run> queued;
  std::vector<Run> others;
  std::vector<Run> open;  // runs to open, the next one last

  template <class T>
  void saw(const Pages<T>& pages) {
    if (!std::exchange(has_begun, true)) listing.as_of = pages.sent;
    date = std::max(date, pages.date);
  }
};

std::vector<Run> turn_of(const std::vector<Run>& runs, std::size_t most, std::uint64_t round) {
  if (runs.size() <= most) return runs;
  if (most == 0) return {};
  const std::size_t turns = (runs.size() + most - 1) / most;
  const std::size_t from = (round % turns) * most;
  const std::size_t to = std::min(from + most, runs.size());
  return {runs.begin() + static_cast<std::ptrdiff_t>(from),
          runs.begin() + static_cast<std::ptrdiff_t>(to)};
}

std::optional<std::string_view> other_state(std::uint64_t round, bool is_quiet) {
  constexpr std::uint64_t kEvery = 12;
  constexpr std::uint64_t kEveryWhereQuiet = 720;  // half a day of looks once a minute
  if (round % 3 == 0) return "in_progress";
  switch (round % (is_quiet ? kEveryWhereQuiet : kEvery)) {
    case 4:
      return "waiting";
    case 7:
      return "pending";
    case 10:
      return "requested";
    default:
      return std::nullopt;
  }
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
PageQuery<T> Lister::query(const core::Scope& scope, Endpoint endpoint, std::string url) const {
  PageQuery<T> query;
  query.about = CallInfo{endpoint, scope.kind, request_label("GET", url)};
  query.url = std::move(url);
  return query;
}

void Lister::repositories(const core::Scope& scope, bool is_installation,
                          Done<std::vector<std::string>> done) {
  if (scope.kind == core::ScopeKind::repository) return done(std::vector{scope.id()});
  if (core::are_named(scope)) {
    std::vector<std::string> named;
    for (const std::string& name : scope.repositories) {
      if (core::is_selected(scope, name)) named.push_back(scope.owner + "/" + name);
    }
    return done(std::move(named));
  }
  const Found& known = scopes_[scope.id()];
  if (loop_.now() < known.refresh_at) return done(known.repositories);
  auto finding = std::make_shared<Finding>();
  finding->scope = scope;
  finding->done = std::move(done);
  finding->is_installation = is_installation;
  if (is_installation) {
    finding->addresses = {installed_repositories_url(base_)};
  } else if (scope.kind == core::ScopeKind::organization) {
    finding->addresses = {repositories_url(base_, scope.owner)};
  }
  for (const std::string& organization : scope.organizations) {
    finding->addresses.push_back(repositories_url(base_, organization));
  }
  find_next(finding);
}

void Lister::find_next(const std::shared_ptr<Finding>& finding) {
  if (finding->addresses.empty()) return keep(finding);
  auto question = query<std::string>(finding->scope, Endpoint::list_repositories,
                                     std::move(finding->addresses.back()));
  finding->addresses.pop_back();
  question.decode = finding->is_installation ? decode_installed_repositories : decode_repositories;
  fetcher_.fetch<std::string>(
      std::move(question), [this, finding](Result<Pages<std::string>> pages) {
        if (!pages) return finding->done(fail(std::move(pages.error())));
        for (std::string& full_name : pages->items) {
          const std::string name = full_name.substr(full_name.find('/') + 1);
          if (!core::is_selected(finding->scope, name)) continue;
          finding->repositories.push_back(std::move(full_name));
        }
        find_next(finding);
      });
}

// While it is paged through, the list may shift: a name can come twice. An empty list is asked for
// again each time.
void Lister::keep(const std::shared_ptr<Finding>& finding) {
  Found& found = scopes_[finding->scope.id()];
  const auto former = std::exchange(found.repositories, std::move(finding->repositories));
  auto& names = found.repositories;
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const std::string& name : former) {
    if (!std::ranges::binary_search(names, name)) repositories_.erase(name);
  }
  if (!names.empty()) found.refresh_at = loop_.now() + kRefreshRepositories;
  finding->done(names);
}

void Lister::list(const core::Scope& scope, const std::string& repository, Done<JobListing> done) {
  auto search = std::make_shared<Search>();
  search->scope = scope;
  search->repository = repository;
  search->done = std::move(done);
  list_runs(search, "queued");
}

void Lister::list_runs(const Shared& search, std::string_view state) {
  auto question =
      query<Run>(search->scope, Endpoint::list_runs, runs_url(base_, search->repository, state));
  question.decode = decode_runs;
  const bool is_queued = state == "queued";
  fetcher_.fetch<Run>(std::move(question), [this, search, is_queued](Result<Pages<Run>> pages) {
    if (!pages) return search->done(fail(std::move(pages.error())));
    search->saw(*pages);
    (is_queued ? search->queued : search->others) = std::move(pages->items);
    const Repository& known = repositories_[search->repository];
    const auto other = other_state(known.rounds, loop_.now() >= known.quiet_from);
    if (is_queued && other) return list_runs(search, *other);
    choose_runs(search);
  });
}

// Runs that had waiting jobs are opened again, listed or not, until they have none.
void Lister::choose_runs(const Shared& search) {
  Repository& repository = repositories_[search->repository];
  search->queued = sorted(std::move(search->queued));
  std::vector<Run> others = std::move(search->others);
  others.reserve(others.size() + repository.known.size());
  for (const auto& [id, known] : repository.known) others.push_back(known.run);
  others = without(sorted(std::move(others)), search->queued);
  search->listing.is_active = !search->queued.empty() || !others.empty();
  if (search->listing.is_active) repository.quiet_from = loop_.now() + kActive;
  const std::size_t kept = std::min(others.size(), kKeptForOthers);
  search->open = turn_of(search->queued, kMaxRunsOpened - kept, repository.rounds);
  const auto more = turn_of(others, kMaxRunsOpened - search->open.size(), repository.rounds / 3);
  search->open.insert(search->open.end(), more.begin(), more.end());
  std::reverse(search->open.begin(), search->open.end());
  ++repository.rounds;
  next_run(search);
}

void Lister::next_run(const Shared& search) {
  if (search->open.empty()) return finish(search);
  const Run run = search->open.back();
  search->open.pop_back();
  auto question = query<core::JobHint>(search->scope, Endpoint::list_jobs,
                                       run_jobs_url(base_, search->repository, run.id));
  question.life = kRunLife;
  question.decode = [name = search->repository](std::string_view body) {
    return decode_waiting_jobs(body, name);
  };
  fetcher_.fetch<core::JobHint>(std::move(question),
                                [this, search, run](Result<Pages<core::JobHint>> pages) {
                                  auto& known = repositories_[search->repository].known;
                                  if (!pages && pages.error().code != Errc::not_found) {
                                    return search->done(fail(std::move(pages.error())));
                                  }
                                  known.erase(run.id);  // also when the run was deleted meanwhile
                                  if (pages) search->saw(*pages);
                                  if (pages && !pages->items.empty()) {
                                    for (core::JobHint& job : pages->items) {
                                      job.is_public = run.is_public;
                                      job.is_fork = run.is_fork;
                                    }
                                    known[run.id] = KnownRun{run, std::move(pages->items)};
                                  }
                                  next_run(search);
                                });
}

void Lister::finish(const Shared& search) {
  std::vector<core::JobHint>& jobs = search->listing.jobs;
  for (const auto& [id, known] : repositories_[search->repository].known) {
    jobs.insert(jobs.end(), known.jobs.begin(), known.jobs.end());
  }
  jobs = current_jobs(std::move(jobs), search->date);
  search->done(std::move(search->listing));
}

}  // namespace mvr::github
