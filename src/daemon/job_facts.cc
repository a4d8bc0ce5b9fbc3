#include "daemon/job_facts.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "daemon/journal.h"
#include "github/url.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostListed = 20'000;
constexpr std::size_t kMostRuns = 10;  // to look through for one job
constexpr Duration kWhileScarce{300'000};
constexpr std::uint32_t kMostDoublings = 4;

Duration distance(WallTime a, WallTime b) { return a < b ? b - a : a - b; }

}  // namespace

std::string encode_runs(const std::vector<RunRef>& runs) {
  std::string text;
  for (const RunRef& run : runs) {
    text += (text.empty() ? "" : " ") + run.repository + "#" + std::to_string(run.run);
  }
  return text;
}

std::vector<RunRef> decode_runs_wanted(std::string_view text) {
  std::vector<RunRef> runs;
  for (const std::string_view part : split(text, ' ')) {
    const std::size_t mark = part.find('#');
    if (mark == std::string_view::npos || runs.size() == kMostRuns) continue;
    const auto run = parse_i64(part.substr(mark + 1));
    const std::string_view repository = part.substr(0, mark);
    if (!run || *run <= 0 || !github::is_repository_name(repository)) continue;
    runs.push_back(RunRef{std::string(repository), *run});
  }
  return runs;
}

JobFactFetcher::JobFactFetcher(sys::Loop& loop, const core::Config& config,
                               history::History& history, Patience patience)
    : loop_(loop),
      config_(config),
      history_(history),
      patience_(patience),
      listed_(kMostListed, patience.mind) {}

void JobFactFetcher::use(github::Client* client) {
  client_ = client;
  arm();
}

void JobFactFetcher::note(const core::DemandSeen& seen) {
  if (seen.scope == core::kCommandScope) return;
  const WallTime wall = sys::wall_now();
  for (const auto& demand : seen.demands) {
    for (const core::JobHint& job : demand.jobs) {
      if (job.run_id <= 0) continue;
      Listed listed{seen.scope, {job.repository, job.run_id}, job.name, job.created, wall};
      listed_.put(job.id, std::move(listed), loop_.now());
    }
  }
}

// Best: jobs of that name that were listed about when it started, the oldest first, as GitHub hands
// them out. Then other runs of its repository: what `needs:` others may start unlisted.
std::string JobFactFetcher::wanted_of(const history::FinishedJob& job, std::int64_t run) const {
  if (job.job.empty() || job.runner.empty() || job.scope == core::kCommandScope) return {};
  using Rank = std::tuple<bool, Duration, WallTime>;
  std::vector<std::pair<Rank, RunRef>> ranked;
  const WallTime started = job.started.value_or(sys::wall_now());
  listed_.each([&](const Listed& listed) {
    const bool is_named = listed.name == job.job;
    if (listed.scope != job.scope) return;
    if (!is_named && listed.run.repository != job.repository) return;
    const Rank rank(!is_named, distance(listed.seen, started), listed.created);
    ranked.emplace_back(rank, listed.run);
  });
  std::ranges::sort(ranked);
  std::vector<RunRef> runs;
  const auto add = [&runs](const RunRef& ref) {
    const bool is_new = std::ranges::find(runs, ref) == runs.end();
    if (is_new && runs.size() < kMostRuns) runs.push_back(ref);
  };
  if (run > 0 && github::is_repository_name(job.repository)) add({job.repository, run});
  for (const auto& [rank, ref] : ranked) add(ref);
  return encode_runs(runs);
}

void JobFactFetcher::fetch(const history::FinishedJob& job) {
  auto runs = decode_runs_wanted(job.wanted);
  if (runs.empty() || job.runner.empty() || !job.ended || entries_.contains(job.vm)) return;
  if (entries_.size() == kMostWaiting) return;  // as good as unknown; a restart may yet find it
  const Duration since = std::max(sys::wall_now() - *job.ended, Duration{0});
  const Instant due = loop_.now() + std::max(patience_.first - since, Duration{0});
  entries_[job.vm] = Entry{job.scope, job.runner, std::move(runs), *job.ended, due, 0};
  arm();
}

void JobFactFetcher::resume() {
  const auto entries = history_.wanting(sys::wall_now() - patience_.give_up, kMostWaiting);
  if (!entries) {
    return log(Level::warn, "history_not_read", {{"error", entries.error().what}});
  }
  for (const auto& job : *entries) fetch(job);
}

void JobFactFetcher::arm() {
  timer_ = {};
  if (is_asking_ || client_ == nullptr || entries_.empty()) return;
  const auto next =
      std::ranges::min_element(entries_, {}, [](const auto& each) { return each.second.due; });
  timer_ = loop_.call_at(std::max(next->second.due, not_before_), [this] { look(); });
}

void JobFactFetcher::look() {
  const auto next =
      std::ranges::min_element(entries_, {}, [](const auto& each) { return each.second.due; });
  const core::Scope* scope = config_.scope(next->second.scope);
  if (scope == nullptr) {  // it left the configuration
    entries_.erase(next);
    return arm();
  }
  const Instant allowed = client_->not_before(*scope);
  if (client_->stretch(*scope) > 1 || allowed > loop_.now()) {
    next->second.due = std::max(loop_.now() + kWhileScarce, allowed);
    return arm();
  }
  is_asking_ = true;
  const std::string vm = next->first;
  ask(vm, 0);
}

void JobFactFetcher::ask(const std::string& vm, std::size_t next) {
  const Entry& entry = entries_.at(vm);
  const core::Scope* scope = config_.scope(entry.scope);
  if (scope == nullptr || next == entry.runs.size()) return try_again(vm);
  const RunRef& run = entry.runs[next];
  client_->job_facts(*scope, {run.repository, run.run, entry.runner},
                     [this, vm, next, alive = std::weak_ptr<bool>(alive_)](
                         Result<std::optional<core::JobFacts>> answer) {
                       if (!alive.expired()) answered(vm, next, std::move(answer));
                     });
}

void JobFactFetcher::answered(const std::string& vm, std::size_t asked,
                              Result<std::optional<core::JobFacts>> answer) {
  not_before_ = loop_.now() + patience_.gap;
  if (answer && *answer) return finish(vm, **answer);
  const bool is_over =
      !answer && answer.error().code != Errc::not_found && answer.error().code != Errc::denied;
  if (is_over) return try_again(vm);
  ask(vm, asked + 1);
}

// Until it is too late: then the entry stays without facts.
void JobFactFetcher::try_again(const std::string& vm) {
  Entry& entry = entries_.at(vm);
  const Duration pause =
      patience_.retry * (std::int64_t{1} << std::min(entry.failures++, kMostDoublings));
  if (sys::wall_now() + pause > entry.ended + patience_.give_up) return finish(vm, {});
  entry.due = loop_.now() + pause;
  is_asking_ = false;
  arm();
}

void JobFactFetcher::finish(const std::string& vm, const core::JobFacts& facts) {
  entries_.erase(vm);
  listed_.drop(facts.job);
  is_asking_ = false;
  arm();
  log(Level::debug, facts.job == 0 ? "job_facts_not_found" : "job_facts",
      {{"vm", vm}, {"conclusion", facts.conclusion}, {"id", std::to_string(facts.job)}});
  if (auto added = history_.add_facts(vm, facts); !added) {
    log(Level::warn, "history_not_written", {{"vm", vm}, {"error", added.error().what}});
  }
}

}  // namespace mvr::daemon
