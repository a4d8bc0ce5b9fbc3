#include "daemon/hub_quota.h"

#include "../github/scripted_server.h"
#include "base/text.h"
#include "catch.h"

namespace mvr::daemon {
namespace {

constexpr const char* kToken = "GET /token?service=registry.docker.io&scope=";
constexpr const char* kManifest = "HEAD /v2/ratelimitpreview/test/manifests/latest";

class Hub {
 public:
  explicit Hub(std::string login = "") {
    auto loop = sys::Loop::create();
    REQUIRE(loop);
    loop_ = std::move(*loop);
    server_ = std::make_unique<test::ScriptedServer>(*loop_);
    auto client = sys::HttpClient::create(*loop_, "test");
    REQUIRE(client);
    client_ = std::move(*client);
    MirrorLogin who;
    if (!login.empty()) who = std::move(*parse_mirror_login(login));
    watch_ = std::make_unique<HubQuotaWatch>(*client_, std::move(who),
                                             HubPlaces{server_->url(), server_->url()});
  }
  [[nodiscard]] test::ScriptedServer& server() const { return *server_; }
  Result<std::optional<HubQuota>> ask() {
    std::optional<Result<std::optional<HubQuota>>> got;
    watch_->ask([&](Result<std::optional<HubQuota>> answer) { got = std::move(answer); });
    const Instant end = loop_->now() + Duration{20'000};
    while (!got && loop_->now() < end) REQUIRE(loop_->run_once(Duration{50}));
    REQUIRE(got);
    return *got;
  }

 private:
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<test::ScriptedServer> server_;
  std::unique_ptr<sys::HttpClient> client_;
  std::unique_ptr<HubQuotaWatch> watch_;
};

test::Answer limits(std::string limit, std::string remaining, int status = 200) {
  test::Answer answer;
  answer.status = status;
  answer.headers = {{"ratelimit-limit", std::move(limit)},
                    {"ratelimit-remaining", std::move(remaining)}};
  return answer;
}

std::string token_request() {
  return std::string(kToken) + "repository:ratelimitpreview/test:pull";
}

}  // namespace

TEST_CASE("Docker Hub's limits are read out of its headers") {
  CHECK(parse_hub_quota(
            {{"ratelimit-limit", "100;w=21600"}, {"ratelimit-remaining", "76;w=21600"}}) ==
        HubQuota{100, 76, Duration{21'600'000}});
  CHECK(parse_hub_quota({{"ratelimit-limit", "200"}, {"ratelimit-remaining", "0"}}) ==
        HubQuota{200, 0, Duration{}});
  CHECK_FALSE(parse_hub_quota({}));
  CHECK_FALSE(parse_hub_quota({{"ratelimit-limit", "100;w=21600"}}));
  for (const auto* bad : {"", "x", "-1", "1;w=", "1;w=x", "1;w=99999999999", "1, 2"}) {
    CHECK_FALSE(parse_hub_quota({{"ratelimit-limit", bad}, {"ratelimit-remaining", "1"}}));
    CHECK_FALSE(parse_hub_quota({{"ratelimit-limit", "1"}, {"ratelimit-remaining", bad}}));
  }
}

TEST_CASE("the limits are asked for with a token of its own, by a request that is no pull") {
  Hub hub;
  hub.server().always(token_request(), {200, R"({"token":"t0k3n"})", {}});
  hub.server().always(kManifest, limits("100;w=21600", "76;w=21600"));
  const auto quota = hub.ask();
  REQUIRE(quota);
  CHECK(*quota == HubQuota{100, 76, Duration{21'600'000}});
  REQUIRE(hub.server().seen().size() == 2);
  CHECK(hub.server().seen()[0].headers.count("authorization") == 0);
  CHECK(hub.server().seen()[1].headers.at("authorization") == "Bearer t0k3n");
}

TEST_CASE("a login is shown to the place of tokens only") {
  Hub hub("robot:pass");
  hub.server().always(token_request(), {200, R"({"token":"t0k3n"})", {}});
  hub.server().always(kManifest, {200, "", {}});
  const auto quota = hub.ask();
  REQUIRE(quota);
  CHECK_FALSE(*quota);  // an account without a limit
  CHECK(hub.server().seen()[0].headers.at("authorization") ==
        "Basic " + base64_encode("robot:pass"));
  CHECK(hub.server().seen()[1].headers.at("authorization") == "Bearer t0k3n");
}

TEST_CASE("that nothing is left is an answer, others are errors") {
  Hub hub;
  hub.server().always(token_request(), {200, R"({"token":"t0k3n"})", {}});
  hub.server().add(kManifest, limits("100;w=21600", "0;w=21600", 429));
  const auto none = hub.ask();
  REQUIRE(none);
  CHECK(*none == HubQuota{100, 0, Duration{21'600'000}});
  hub.server().add(kManifest, {500, "", {}});
  CHECK(hub.ask().error().code == Errc::unavailable);
  for (const auto* body : {"", "[]", "{}", R"({"token":1})", R"({"token":""})"}) {
    hub.server().add(token_request(), {200, body, {}});
    CHECK(hub.ask().error().code == Errc::invalid);
  }
  hub.server().add(token_request(), {401, "", {}});
  const auto refused = hub.ask();
  CHECK(refused.error().code == Errc::denied);
  CHECK(refused.error().what.find("registry_mirror") != std::string::npos);
}

}  // namespace mvr::daemon
