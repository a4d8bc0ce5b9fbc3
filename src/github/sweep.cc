#include "github/sweep.h"

#include <memory>

#include "core/names.h"

namespace mvr::github {
namespace {

struct Sweep {
  Client& client;
  core::Scope scope;
  std::string host_id;
  IsLive is_live;
  Client::Done<SweepReport> done;
  std::vector<RunnerRecord> ghosts;  // the next one last
  SweepReport report;
};
using Shared = std::shared_ptr<Sweep>;

// Errors that would meet every other deletion as well.
bool ends_sweep(const Error& error) {
  return error.code == Errc::rate_limited || error.code == Errc::unauthorized ||
         error.code == Errc::denied;
}

void choose(Sweep& sweep, std::vector<RunnerRecord> records) {
  for (RunnerRecord& record : records) {
    const bool is_ours = core::is_our_runner(sweep.host_id, record.name);
    if (!is_ours || sweep.is_live(record.name)) {
      ++sweep.report.kept;
      if (is_ours) sweep.report.live.push_back(std::move(record));
    } else if (record.busy) {
      sweep.report.busy.push_back(std::move(record));
    } else {
      sweep.ghosts.push_back(std::move(record));
    }
  }
}

void delete_next(const Shared& sweep);

void deleted(const Shared& sweep, RunnerRecord record, const Result<bool>& outcome) {
  if (outcome) {
    sweep->report.deleted.push_back(std::move(record));
  } else if (outcome.error().code == Errc::busy) {
    sweep->report.busy.push_back(std::move(record));
  } else {
    if (ends_sweep(outcome.error())) sweep->ghosts.clear();
    sweep->report.failed.emplace_back(std::move(record), outcome.error());
  }
  delete_next(sweep);
}

void delete_next(const Shared& sweep) {
  while (!sweep->ghosts.empty() && sweep->is_live(sweep->ghosts.back().name)) {
    sweep->ghosts.pop_back();
    ++sweep->report.kept;
  }
  if (sweep->ghosts.empty()) return sweep->done(std::move(sweep->report));
  RunnerRecord record = std::move(sweep->ghosts.back());
  sweep->ghosts.pop_back();
  const std::int64_t id = record.id;
  sweep->client.delete_runner(
      sweep->scope, id, [sweep, record](Result<bool> outcome) { deleted(sweep, record, outcome); });
}

}  // namespace

void sweep_ghosts(Client& client, const core::Scope& scope, std::string host_id, IsLive is_live,
                  Client::Done<SweepReport> done) {
  const Shared sweep(
      new Sweep{client, scope, std::move(host_id), std::move(is_live), std::move(done), {}, {}});
  client.list_runners(scope, [sweep](Result<std::vector<RunnerRecord>> records) {
    if (!records) return sweep->done(fail(std::move(records.error())));
    choose(*sweep, std::move(*records));
    delete_next(sweep);
  });
}

}  // namespace mvr::github
