#include "github/deliveries.h"

#include <algorithm>

#include "catch.h"
#include "keys.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;

const std::string kList = "GET /app/hook/deliveries";

std::string entry(int id, int repository, const std::string& event = "workflow_job",
                  const std::string& action = "\"queued\"") {
  return R"({"id":)" + std::to_string(id) + R"(,"guid":"g","event":")" + event + R"(","action":)" +
         action + R"(,"repository_id":)" + (repository == 0 ? "null" : std::to_string(repository)) +
         R"(,"status_code":502})";
}

std::string list_of(const std::vector<std::string>& entries) {
  std::string all;
  for (const std::string& each : entries) all += (all.empty() ? "" : ",") + each;
  return "[" + all + "]";
}

Answer detail(const std::string& name) {
  return answer(R"({"id":1,"request":{"headers":{},"payload":{"action":"queued","repository":)"
                R"({"id":5,"full_name":")" +
                name + R"(","owner":{"full_name":"x/y"}}}}})");
}

struct DeliveriesBench : Bench {
  DeliveriesBench() {
    settings.credentials = {"", "", "", core::AppSettings{"Iv23li", "/app.pem", "", 0}};
    settings.scopes = {repository_scope(), organization_scope()};
    Keyring keyring;
    keyring[settings.credentials] = Proof{{}, *AppKey::parse(Secret(rsa_key().pkcs1))};
    client = std::move(*Client::create(*loop, settings, std::move(keyring), quick()));
    feed = std::make_unique<AppDeliveries>(*loop, *client, Duration(5));
  }
  std::size_t start() {
    AppDeliveries::Hooks hooks;
    hooks.hint = [this](const std::string& name) { hints.push_back(name); };
    hooks.failed = [this](const std::string& app, const Error& error) {
      failures.push_back(app + ": " + full_text(error));
    };
    hooks.recovered = [this](const std::string& app) { recovered.push_back(app); };
    return feed->start(settings, std::move(hooks));
  }
  [[nodiscard]] long looks() const {
    const auto log = server->log();
    return std::count_if(log.begin(), log.end(), [](const std::string& line) {
      return line.starts_with(kList) && line.find("deliveries/") == std::string::npos;
    });
  }
  void look_on(long more = 2) const {
    const long before = looks();
    run_until([&] { return looks() >= before + more; });
  }

  std::vector<std::string> hints;
  std::vector<std::string> failures;
  std::vector<std::string> recovered;
  std::unique_ptr<AppDeliveries> feed;
};

}  // namespace

TEST_CASE("a list of deliveries tells ids, repositories and which are of queued jobs") {
  const auto listed =
      decode_deliveries(list_of({entry(9, 5), entry(8, 5, "workflow_job", "\"completed\""),
                                 entry(7, 0, "ping", "null"), entry(6, 4, "push", "\"queued\"")}));
  CHECK(listed.value() ==
        std::vector<ListedDelivery>{{9, 5, true}, {8, 5, false}, {7, 0, false}, {6, 4, false}});
  for (const char* body : {"", "{}", "[1]", R"([{"id":0,"event":"push"}])", R"([{"id":1}])",
                           R"([{"id":1,"event":"push","repository_id":"5"}])"}) {
    CAPTURE(body);
    CHECK(decode_deliveries(body).error().code == Errc::protocol);
  }
}

TEST_CASE("a delivery in full tells the name of its repository") {
  CHECK(decode_delivery_repository(detail("acme/app").body).value() == "acme/app");
  for (const char* body : {"", "null", "{}", R"({"request":null})", R"({"request":{"payload":[]}})",
                           R"({"request":{"payload":{"repository":{"full_name":7}}}})",
                           R"({"request":{"payload":{"repository":{"full_name":"a/../b"}}}})",
                           R"({"request":{"payload":null},"repository":{"full_name":"a/b"}})"}) {
    CAPTURE(body);
    CHECK(decode_delivery_repository(body).error().code == Errc::protocol);
  }
}

TEST_CASE("what is new since the last look is a hint, and names are asked for once") {
  DeliveriesBench bench;
  bench.server->always(kList, answer(list_of({entry(1, 5)}), "\"a\""));
  CHECK(bench.start() == 1);  // two scopes, one App
  bench.look_on();
  CHECK(bench.hints.empty());  // sent before the start
  bench.server->always("GET /app/hook/deliveries/2", detail("acme/app"));
  bench.server->always(kList,
                       answer(list_of({entry(3, 5), entry(2, 6, "push"), entry(1, 5)}), "\"b\""));
  bench.server->always("GET /app/hook/deliveries/3", detail("acme/app"));
  bench.run_until([&] { return !bench.hints.empty(); });
  bench.server->always(kList, answer(list_of({entry(4, 5), entry(3, 5)}), "\"c\""));
  bench.run_until([&] { return bench.hints.size() >= 2; });
  bench.look_on();
  CHECK(bench.hints == std::vector<std::string>{"acme/app", "acme/app"});
  const auto log = bench.server->log();
  CHECK(std::count(log.begin(), log.end(), "GET /app/hook/deliveries/3") == 1);
  CHECK(std::count(log.begin(), log.end(), "GET /app/hook/deliveries/4") == 0);
  CHECK(bench.server->seen().back().headers.at("if-none-match") == "\"c\"");
}

TEST_CASE("where the repository stays unknown, all are looked at") {
  DeliveriesBench bench;
  bench.server->always(kList, answer(list_of({})));
  bench.start();
  bench.look_on();
  bench.server->always("GET /app/hook/deliveries/1", refusal(404));
  bench.server->always(kList, answer(list_of({entry(1, 5)})));
  bench.run_until([&] { return !bench.hints.empty(); });
  CHECK(bench.hints == std::vector<std::string>{""});
  std::vector<std::string> many;
  for (int i = 200; i > 100; --i) many.push_back(entry(i, i, "push"));
  bench.server->always(kList, answer(list_of(many)));
  bench.run_until([&] { return bench.hints.size() >= 2; });
  CHECK(bench.hints.back().empty());
  CHECK(bench.failures.empty());
}

TEST_CASE("an App without a webhook is said once, with what to do") {
  DeliveriesBench bench;
  bench.server->always(kList, refusal(404));
  bench.start();
  bench.run_until([&] { return !bench.failures.empty(); });
  CHECK(bench.failures[0].find("Workflow job") != std::string::npos);
  CHECK(bench.failures[0].find("app_deliveries") != std::string::npos);
  CHECK(bench.looks() == 1);
}

TEST_CASE("a list that cannot be read is said once, and so is its return") {
  DeliveriesBench bench;
  bench.server->add(kList, answer("no list"));
  bench.server->always(kList, answer(list_of({})));
  bench.start();
  bench.run_until([&] { return !bench.recovered.empty(); });
  CHECK(bench.failures.size() == 1);
  CHECK(bench.recovered == std::vector<std::string>{"Iv23li"});
}

TEST_CASE("it may go while a question is under way; a client without Apps has nothing to read") {
  DeliveriesBench bench;
  bench.start();
  bench.feed.reset();
  Bench other;
  AppDeliveries none(*other.loop, *other.client);
  CHECK(none.start(other.settings, {}) == 0);
}

}  // namespace mvr::github
