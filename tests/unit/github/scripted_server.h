// A small HTTP server on the loop of the test: it records every request and answers as told.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/units.h"
#include "core/config.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::test {

struct SeenRequest {
  std::string method;
  std::string target;                          // without the /api/v3 in front
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct Answer {
  int status = 200;
  std::string body;
  std::map<std::string, std::string> headers;
  Duration delay{};
  bool is_silent = false;  // takes the request and says nothing
  bool hangs_up = false;
};

class ScriptedServer {
 public:
  explicit ScriptedServer(sys::Loop& loop);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  // Answers the next request to `target` ("GET /orgs/acme"), before what was added later.
  void add(const std::string& target, Answer answer);
  // Answers every request to `target` without one of its own.
  void always(const std::string& target, Answer answer);

  [[nodiscard]] std::string url() const;
  // "GET /repos/o/r/actions/runs?status=queued", in the order of arrival; the usual query words
  // are left out (see the source).
  [[nodiscard]] std::vector<std::string> log() const;
  [[nodiscard]] const std::vector<SeenRequest>& seen() const { return seen_; }
  [[nodiscard]] std::size_t most_at_once() const { return most_at_once_; }

 private:
  struct Connection;
  void accept_all();
  void serve(Connection& connection);
  bool take_request(Connection& connection);
  void respond(std::uint64_t id, const Answer& answer);
  Answer next_answer(const SeenRequest& request);

  sys::Loop& loop_;
  Fd listener_;
  int port_ = 0;
  sys::Watch watch_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<sys::Timer> delays_;
  std::map<std::string, std::deque<Answer>> answers_;
  std::map<std::string, Answer> standing_;
  std::vector<SeenRequest> seen_;
  std::size_t under_way_ = 0;
  std::size_t most_at_once_ = 0;
};

// A client of a scripted server, with patience counted in milliseconds.
struct Bench {
  Bench();
  explicit Bench(github::Tuning tuning);
  // Runs the loop until `done` is true; fails the test after five seconds.
  void run_until(const std::function<bool()>& done) const;
  // Calls and waits for the answer.
  template <class T>
  Result<T> wait(const std::function<void(github::Client::Done<T>)>& call) const {
    auto outcome = std::make_shared<std::optional<Result<T>>>();
    call([outcome](Result<T> result) { outcome->emplace(std::move(result)); });
    run_until([&] { return outcome->has_value(); });
    return std::move(**outcome);
  }

  std::unique_ptr<sys::Loop> loop;
  std::unique_ptr<ScriptedServer> server;
  core::GithubSettings settings;
  std::unique_ptr<github::Client> client;
};

// A keyring with `token` where `settings` has its credentials.
github::Keyring keyring_of(const core::GithubSettings& settings, const std::string& token);

github::Tuning quick();
core::Scope repository_scope();    // acme/app
core::Scope organization_scope();  // acme
Answer answer(std::string body, std::string etag = {});
Answer refusal(int status, const std::string& message = "no");

}  // namespace mvr::test
