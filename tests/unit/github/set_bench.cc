#include "set_bench.h"

#include <algorithm>

#include "base/text.h"
#include "catch.h"

namespace mvr::test {

std::string set_call(const std::string& method, const std::string& rest, int set) {
  return method + " /svc/_apis/runtime/runnerscalesets/" + std::to_string(set) + rest +
         "?api-version=6.0-preview";
}
std::string poll_after(int message) { return kPoll + "&lastMessageId=" + std::to_string(message); }
std::string ack_of(int message) { return "DELETE /queue/" + std::to_string(message) + "?s=1"; }

Answer status(int code, std::string body) {
  Answer made = answer(std::move(body));
  made.status = code;
  return made;
}

Answer session_answer(const SetBench& bench, const std::string& token,
                      const std::string& statistics) {
  return answer(session_json(bench.server->url() + "/queue?s=1", token, statistics));
}

SetBench::SetBench() : SetBench(quick()) {}

SetBench::SetBench(github::Tuning tuning)
    : Bench([&tuning] {
        tuning.conflict_backoff = {Duration{2}, Duration{4}};
        return tuning;
      }()) {
  scope = repository_scope();
  settings.feed = core::Feed::scale_set;
  settings.scopes = {scope};
  (void)client->renew(settings, keyring_of(settings, "ghp_test"));
  server->always("GET /repos/acme/app", answer(R"({"private":true})"));
  server->always(kRegistrationToken,
                 status(201, R"({"token":"REG","expires_at":"2026-11-20T11:00:00Z"})"));
  server->always(kRegister,
                 answer(connection_json(server->url() + "/svc", jwt(in_seconds(3600), "admin"))));
  server->always(kFindSet, answer(R"({"count":1,"value":[)" + set_json(5, "mv", "mv") + "]}"));
  server->always(kOpen, session_answer(*this, "queue-1", statistics_json(0)));
  server->always(kClose, status(204));
  Answer silent;
  silent.is_silent = true;
  for (int message = 0; message < 20; ++message) {
    server->always(message == 0 ? kPoll : poll_after(message), silent);
    if (message > 0) server->always(ack_of(message), status(204));
  }
}

core::Config SetBench::config() const {
  core::Config made;
  made.host.id = "h1";
  made.github = settings;
  core::Profile profile;
  profile.name = "small";
  profile.labels = {"mv"};
  made.profiles = {profile};
  return made;
}

void SetBench::listen(const core::Config& config) {
  discovery = github::make_discovery(
      *loop, config, *client, [this](const std::string&, const std::string&) { return capacity; });
  discovery->start([seen = demands, failed = failures](const core::Event& event) {
    if (const auto* demand = std::get_if<core::DemandSeen>(&event)) {
      seen->push_back(*demand);
      if (demand->failure) failed->push_back({demand->scope, *demand->failure, demand->retry_at});
    }
    if (const auto* down = std::get_if<core::DiscoveryFailed>(&event)) failed->push_back(*down);
  });
}

int SetBench::level(const std::string& profile) const {
  if (demands->empty()) return -1;
  const auto& all = demands->back().demands;
  const auto found = std::ranges::find(all, profile, &core::Demand::profile);
  return found == all.end() ? 0 : static_cast<int>(found->jobs.size());
}

std::size_t SetBench::count(const std::string& request) const {
  return static_cast<std::size_t>(std::ranges::count(server->log(), request));
}

void SetBench::run_until_asked(const std::string& request, std::size_t times) const {
  INFO(request);
  run_until([&] { return count(request) >= times; });
}

void SetBench::run_until_level(int wanted) const {
  run_until([&] { return level() == wanted; });
}

std::string SetBench::run_until_failure() const {
  const std::size_t before = failures->size();
  run_until([&] { return failures->size() > before; });
  return full_text(failures->back().error);
}

SeenRequest SetBench::last(const std::string& request) const {
  const auto log = server->log();
  for (std::size_t n = log.size(); n > 0; --n) {
    if (log[n - 1] == request) return server->seen()[n - 1];
  }
  FAIL("never asked: " + request);
  return {};
}

}  // namespace mvr::test
