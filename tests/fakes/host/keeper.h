// What the daemon keeps of the jobs that ran: narration, history, facts, logs, metrics and the
// status page, all of them production code, for a host whose machines are made up.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/world.h"
#include "daemon/job_facts.h"
#include "daemon/kept_logs.h"
#include "daemon/narrator.h"
#include "daemon/samples.h"
#include "daemon/tally.h"
#include "github/client.h"
#include "github/discovery.h"
#include "history/history.h"
#include "sys/loop.h"

namespace mvr::test {

class Keeper {
 public:
  // Below the state directory of `config`, which outlives it, as do the others.
  static Result<std::unique_ptr<Keeper>> open(sys::Loop& loop, const core::Config& config,
                                              github::Client& client);

  // As Daemon::fold() and its like call them.
  void before(const core::Event& event, const core::World& world);
  void after(const core::Event& event, const core::Vm& before, const core::Vm& after);
  void launched(core::Slot slot);
  std::optional<core::Learned> removed(const core::Vm& vm);
  // What is looked at now and then; the bytes of all of it.
  std::size_t look(const core::World& world, const core::Plan& plan,
                   const github::Discovery& discovery);

 private:
  Keeper(sys::Loop& loop, const core::Config& config, github::Client& client,
         std::unique_ptr<history::History> history);
  sys::Loop& loop_;
  const core::Config& config_;
  github::Client& client_;
  std::unique_ptr<history::History> history_;
  daemon::JobFactFetcher facts_;
  daemon::Narrator narrator_;
  daemon::Tally tally_;
  daemon::Samples samples_;
  daemon::KeptLogs logs_;
  Instant give_back_due_{};
};

}  // namespace mvr::test
