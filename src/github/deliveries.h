// The list of what a GitHub App's webhook sent, read as hints: it shows which repository has a new
// job, of all installations at once, and needs no port. Whether the deliveries arrived anywhere
// does not matter. https://docs.github.com/en/rest/apps/webhooks
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "github/app.h"
#include "github/client.h"
#include "github/recent.h"
#include "sys/loop.h"

namespace mvr::github {

// One entry of the list.
struct ListedDelivery {
  std::int64_t id = 0;
  std::int64_t repository = 0;  // 0: of none
  bool is_queued_job = false;
  friend bool operator==(const ListedDelivery&, const ListedDelivery&) = default;
};
Result<std::vector<ListedDelivery>> decode_deliveries(std::string_view body);
// The name of the repository one delivery, in full, is about. Err protocol.
Result<std::string> decode_delivery_repository(std::string_view body);

class AppDeliveries {
 public:
  struct Hooks {
    std::function<void(const std::string& repository)> hint;  // "": which one is not known
    // A list cannot be read; once, until recovered.
    std::function<void(const std::string& app, const Error&)> failed;
    std::function<void(const std::string& app)> recovered;
  };
  static constexpr Duration kEvery{10'000};

  // `client` outlives this object. Tests shorten the time between two looks.
  AppDeliveries(sys::Loop& loop, Client& client, Duration every = kEvery)
      : loop_(loop), client_(client), every_(every) {}

  // Reads the lists of the Apps that serve the settings' scopes; answers how many there are. What
  // was sent before is no hint: who starts looks at all repositories anyway.
  std::size_t start(const core::GithubSettings& settings, Hooks hooks);

 private:
  struct Feed {
    App* app = nullptr;
    sys::Timer timer;
    std::string etag;
    bool has_begun = false;
    std::set<std::int64_t> seen;  // ids of the list read last
    Recent<std::int64_t, std::string> names;
    std::uint32_t failures = 0;
    Feed();
  };
  void arm(std::size_t i, Instant when);
  void look(std::size_t i);
  Result<void> take(Feed& feed, const ApiReply& reply);
  void hint_new(Feed& feed, const std::vector<ListedDelivery>& deliveries);
  void find_name(std::size_t i, const ListedDelivery& delivery);
  void looked(std::size_t i, Result<void> outcome);

  sys::Loop& loop_;
  Client& client_;
  Duration every_;
  Hooks hooks_;
  std::vector<Feed> feeds_;  // of fixed size once started
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::github
