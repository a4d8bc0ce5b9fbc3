// One identity at GitHub, a token or an installation of an App: its order of requests, its limits,
// its cache of pages, and what it asks for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "github/client.h"
#include "github/groups.h"
#include "github/job_facts.h"
#include "github/listing.h"
#include "github/pages.h"
#include "github/token_source.h"
#include "github/transport.h"
#include "github/wire.h"
#include "sys/loop.h"

namespace mvr::github {

// True for what concerns one repository only and will not pass by itself.
bool is_local(const Error& error);

// Requests and their answers are those of Client.
class Account {
 public:
  template <class T>
  using Done = Client::Done<T>;
  // `source` outlives the account.
  Account(sys::Loop& loop, std::string base, TokenSource& source,
          std::unique_ptr<Transport> transport);

  // Registers with exactly these labels.
  void generate_jit(const core::Scope& scope, const std::string& runner_name,
                    std::vector<std::string> labels, Done<JitConfig> done);
  void list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done);
  void delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done);
  void runner_release(const core::Scope& scope, const std::string& version,
                      Done<ReleaseDates> done);
  void runner_downloads(const core::Scope& scope, Done<std::vector<RunnerDownload>> done);
  // Calls back once, perhaps before it returns.
  void repositories(const core::Scope& scope, Done<std::vector<std::string>> done);
  // Err denied also where only a permission for something else than listing is missing: jobs
  // that no runner can be registered for are no demand.
  void repository_jobs(const core::Scope& scope, const std::string& repository,
                       Done<JobListing> done);
  void queued_jobs(const core::Scope& scope, Done<JobListing> done);
  [[nodiscard]] AccountState state(std::string name) const;
  [[nodiscard]] Groups& groups() { return groups_; }
  // What opens the way to the scope's scale sets.
  void registration_token(const core::Scope& scope, Done<Secret> done);
  // Calls back once, perhaps before it returns.
  void is_public(const core::Scope& scope, Done<bool> done);
  [[nodiscard]] JobFactReader& job_facts() { return job_facts_; }
  [[nodiscard]] Transport& transport() { return *transport_; }

 private:
  struct Round;  // over all repositories of a scope

  void look_at_next(const std::shared_ptr<Round>& round);
  void check_rights(const core::Scope& scope, Result<JobListing>& listing);
  void ask_group(const core::Scope& scope, const std::string& repository, JobListing listing,
                 Done<JobListing> done);
  void post_jit(const core::Scope& scope, JitRequest request, Done<JitConfig> done);
  [[nodiscard]] std::optional<Error> lacking(const core::Scope& scope) const;

  sys::Loop& loop_;
  std::string base_;
  TokenSource& source_;
  // In this order: what is below uses what is above.
  std::unique_ptr<Transport> transport_;
  Fetcher fetcher_;
  Groups groups_;
  Lister lister_;
  JobFactReader job_facts_;
};

}  // namespace mvr::github
