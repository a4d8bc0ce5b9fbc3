// A scope of runner scale sets at a scripted server, which has one set for the profile "small".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "github/discovery.h"
#include "scale_set_samples.h"
#include "scripted_server.h"

namespace mvr::test {

// What is asked of the server, as ScriptedServer::log() has it.
inline const std::string kRegistrationToken =
    "POST /repos/acme/app/actions/runners/registration-token";
inline const std::string kRegister = "POST /actions/runner-registration";
inline const std::string kFindSet =
    "GET /svc/_apis/runtime/runnerscalesets?runnerGroupId=1&name=mv&api-version=6.0-preview";
inline const std::string kMakeSet =
    "POST /svc/_apis/runtime/runnerscalesets?api-version=6.0-preview";
std::string set_call(const std::string& method, const std::string& rest, int set = 5);
inline const std::string kOpen = set_call("POST", "/sessions");
inline const std::string kSession = "/sessions/0b5f1a2c-1111-2222-3333-444455556666";
inline const std::string kRefresh = set_call("PATCH", kSession);
inline const std::string kClose = set_call("DELETE", kSession);
inline const std::string kPoll = "GET /queue?s=1";
std::string poll_after(int message);
std::string ack_of(int message);

struct SetBench : Bench {
  // Sets, sessions and the way to them are there; the queue is silent.
  SetBench();
  explicit SetBench(github::Tuning tuning);

  core::Config config() const;
  void listen(const core::Config& config);
  void listen() { listen(config()); }
  // The level of the profile in the last report; -1: none so far.
  [[nodiscard]] int level(const std::string& profile = "small") const;
  [[nodiscard]] std::size_t count(const std::string& request) const;
  void run_until_asked(const std::string& request, std::size_t times = 1) const;
  void run_until_level(int wanted) const;
  // Waits for the next failure; answers its text.
  std::string run_until_failure() const;
  [[nodiscard]] SeenRequest last(const std::string& request) const;

  core::Scope scope;
  std::uint32_t capacity = 4;
  std::shared_ptr<std::vector<core::DemandSeen>> demands =
      std::make_shared<std::vector<core::DemandSeen>>();
  std::shared_ptr<std::vector<core::DiscoveryFailed>> failures =
      std::make_shared<std::vector<core::DiscoveryFailed>>();
  std::unique_ptr<github::Discovery> discovery;
};

Answer session_answer(const SetBench& bench, const std::string& token,
                      const std::string& statistics);
Answer status(int code, std::string body = {});

}  // namespace mvr::test
