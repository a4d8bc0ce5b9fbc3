#include "keeper.h"

#include <utility>

#include <malloc.h>

#include "base/text.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "sys/files.h"

namespace mvr::test {
namespace {

constexpr std::size_t kConsole = 128 * 1024;  // bytes a guest writes, about
constexpr std::size_t kAgent = 4 * 1024;
// Jobs follow each other some ten times as fast as on a host, and GitHub seems slow to whoever's
// clock is fast: less patience, and questions about a part of the jobs only.
constexpr daemon::JobFactFetcher::Patience kPatience{
    Duration{5'000}, Duration{10'000}, Duration{300'000}, Duration{20}, Duration{300'000}};
constexpr std::uint64_t kAskedAbout = 16;  // one of so many jobs

void complain(std::string_view what, const Error& error) {
  daemon::log(daemon::Level::error, what, {{"error", error.what}});
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::open(sys::Loop& loop, const core::Config& config,
                                             github::Client& client) {
  TRY(sys::make_directories(config.state_dir, 0755));
  TRY_ASSIGN(auto history, history::History::open(config.state_dir + "/history.sqlite"));
  return std::unique_ptr<Keeper>(new Keeper(loop, config, client, std::move(history)));
}

Keeper::Keeper(sys::Loop& loop, const core::Config& config, github::Client& client,
               std::unique_ptr<history::History> history)
    : loop_(loop),
      config_(config),
      client_(client),
      history_(std::move(history)),
      facts_(loop, config, *history_, kPatience),
      narrator_(config) {
  facts_.use(&client);
}

void Keeper::before(const core::Event& event, const core::World& world) {
  narrator_.before(event, world);
  if (const auto* seen = std::get_if<core::DemandSeen>(&event)) facts_.note(*seen);
}

void Keeper::after(const core::Event& event, const core::Vm& before, const core::Vm& after) {
  if (std::holds_alternative<core::Removed>(event)) {
    tally_.ended(config_, narrator_.finished(after));
  }
  narrator_.after(event, before, after, loop_.now());
  const bool starts = before.phase < core::Phase::running && after.phase == core::Phase::running;
  if (starts && after.queued) samples_.note_wait(*after.queued, sys::wall_now());
}

void Keeper::launched(core::Slot slot) {
  const core::SlotNames names = core::slot_names(config_, slot);
  auto made = sys::make_directories(names.directory, 0700);
  if (made) made = sys::write_file(names.console, std::string(kConsole, 'c'), 0600);
  if (made) {
    made = sys::write_file(names.directory + "/agent.log", std::string(kAgent, 'a'), 0600);
  }
  if (!made) complain("not_launched", made.error());
}

std::optional<core::Learned> Keeper::removed(const core::Vm& vm) {
  const core::SlotNames names = core::slot_names(config_, vm.slot);
  auto gone = logs_.keep(config_, names, vm.name);
  if (gone) gone = sys::remove_tree(names.directory);
  if (!gone) complain("not_removed", gone.error());
  history::FinishedJob job = narrator_.finished(vm);
  job.wanted = facts_.wanted_of(job, vm.run);
  if (auto recorded = history_->record(job); !recorded) {
    complain("history_not_written", recorded.error());
    return std::nullopt;
  }
  if (job.job.empty()) return std::nullopt;
  if (stable_hash(job.vm) % kAskedAbout == 0) facts_.fetch(job);
  auto estimates = history_->estimates_of(job);
  if (!estimates) return std::nullopt;
  return core::Learned{std::move(*estimates)};
}

std::size_t Keeper::look(const core::World& world, const core::Plan& plan,
                         const github::Discovery& discovery) {
  if (loop_.now() >= give_back_due_) {
    give_back_due_ = loop_.now() + std::chrono::minutes(10);
    (void)::malloc_trim(0);
  }
  const WallTime wall = sys::wall_now();
  samples_.note_use(core::used(world), world.capacity, wall);
  daemon::Page page = daemon::make_page(config_, world, plan, loop_.now(), wall);
  page.uses = samples_.uses(wall);
  page.waited = samples_.waits(wall);
  if (auto recent = history_->recent(200)) page.recent = daemon::page_jobs(std::move(*recent));
  const std::string metrics = daemon::metrics_text(
      {config_, world, plan, tally_, loop_.now(), wall, client_.accounts(), discovery.looks()});
  return daemon::page_html(page).size() + metrics.size();
}

}  // namespace mvr::test
