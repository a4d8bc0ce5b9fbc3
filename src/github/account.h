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
#include "github/listing.h"
#include "github/pages.h"
#include "github/token_source.h"
#include "github/transport.h"
#include "github/wire.h"
#include "sys/loop.h"

namespace mvr::github {

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
  // Err denied also where only a permission for something else than listing is missing: jobs
  // that no runner can be registered for are no demand.
  void queued_jobs(const core::Scope& scope, Done<JobListing> done);
  [[nodiscard]] Transport& transport() { return *transport_; }

 private:
  struct Group {
    std::int64_t id = 0;
    Instant good_until{};
  };

  void find_group(const core::Scope& scope, Done<std::int64_t> done);
  void post_jit(const core::Scope& scope, JitRequest request, Done<JitConfig> done);
  [[nodiscard]] std::string lacking(const core::Scope& scope) const;

  sys::Loop& loop_;
  std::string base_;
  TokenSource& source_;
  std::map<std::pair<std::string, std::string>, Group> groups_;  // by scope and name
  // In this order: what is below uses what is above.
  std::unique_ptr<Transport> transport_;
  Fetcher fetcher_;
  Lister lister_;
};

}  // namespace mvr::github
