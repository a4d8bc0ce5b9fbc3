// What GitHub says about a job that is over, found by the name of the runner that ran it.
// https://docs.github.com/en/rest/actions/workflow-jobs
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "core/config.h"
#include "core/job_facts.h"
#include "github/client.h"
#include "github/recent.h"
#include "github/transport.h"
#include "sys/loop.h"

namespace mvr::github {

// The job of a page that this runner has completed; nothing when it is not there, or not yet over.
// Texts are made printable. Repository, event and actor stay empty.
Result<std::optional<core::JobFacts>> decode_completed_job(std::string_view body,
                                                           std::string_view runner);

// What a run was started by.
struct RunStart {
  std::string event;
  std::string actor;
  friend bool operator==(const RunStart&, const RunStart&) = default;
};
Result<RunStart> decode_run_start(std::string_view body);

class JobFactReader {
 public:
  using Done = Client::Done<std::optional<core::JobFacts>>;
  JobFactReader(sys::Loop& loop, Transport& transport, std::string base);

  // Reads the jobs of the run's latest attempt, and once for each attempt the run. Calls back once,
  // from the loop; nothing: the runner completed none of these jobs. What was read of the job holds
  // also where the run cannot be read.
  void read(const core::Scope& scope, const JobQuestion& question, Done done);

 private:
  struct Search;
  using Shared = std::shared_ptr<Search>;
  void read_page(const Shared& search, const std::string& url);
  void read_start(const Shared& search, core::JobFacts facts);

  sys::Loop& loop_;
  Transport& transport_;
  std::string base_;
  Recent<std::pair<std::int64_t, std::int64_t>, RunStart> starts_;  // by run and attempt
};

}  // namespace mvr::github
