// One scope's runner scale sets at GitHub's Actions service: the way in, the sets, their sessions
// and message queues, their runners.
//
// These requests go beside those of the REST API, whose order and pace they leave alone; only the
// registration token, which opens the way in about once an hour, is asked for there. Where the
// service gives an answer on the way, GET is tried again on failures of GitHub's, nothing else is;
// what is refused for want of a valid token goes once more with a new one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "github/client.h"
#include "github/scale_set_wire.h"
#include "sys/http.h"
#include "sys/loop.h"

namespace mvr::github {

// All callbacks come from the loop, once, unless this object goes first; they may destroy it.
// Errors are those of explain_service(), with what was asked in front.
class ScaleSets {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  struct Place {
    std::string base;   // of the REST API's addresses
    std::string url;    // web address of the scope
    std::string scope;  // its id, for messages
  };
  // Gets a registration token of the scope from the REST API.
  using Register = std::function<void(Done<Secret>)>;
  // `http` outlives this object.
  ScaleSets(sys::Loop& loop, sys::HttpClient& http, Place place, Tuning tuning,
            Register register_scope);
  ~ScaleSets();
  ScaleSets(const ScaleSets&) = delete;
  ScaleSets& operator=(const ScaleSets&) = delete;

  // Can the scope's sets be reached with the credentials there are?
  void reach(Done<bool> done);
  // The set's id; made, or changed to be as wished.
  void ensure(const SetWish& wish, Done<std::int64_t> done);
  // Err busy: somebody else has the set's session.
  void open_session(std::int64_t set, const std::string& owner, Done<QueueSession> done);
  // The session with a new token.
  void refresh_session(std::int64_t set, const std::string& session, Done<QueueSession> done);
  void close_session(std::int64_t set, const std::string& session, Done<bool> done);

  struct Poll {
    std::int64_t last = 0;       // message; what comes after it is asked for
    std::uint32_t capacity = 0;  // jobs the set may be assigned, those that run among them
  };
  // Waits for a message; nothing when none came for a while. Err unauthorized: refresh the session.
  // Destroying what is returned ends it.
  std::unique_ptr<sys::HttpCall> poll(const QueueSession& session, const Poll& poll,
                                      Done<std::optional<QueueMessage>> done);
  // Takes jobs that are offered (GitHub Enterprise Server); Err unauthorized as above, also below.
  void acquire(std::int64_t set, const QueueSession& session,
               const std::vector<std::int64_t>& requests, Done<bool> done);
  // Deletes a message from the queue; false: it was gone.
  void acknowledge(const QueueSession& session, std::int64_t message, Done<bool> done);

  // Registers a runner of the set. As Client::generate_jit().
  void generate_jit(const SetWish& wish, const std::string& runner, Done<JitConfig> done);
  // Err busy: it runs a job. False: it was gone.
  void delete_runner(std::int64_t id, Done<bool> done);
  [[nodiscard]] const Tuning& tuning() const { return tuning_; }

 private:
  struct Call {
    std::string method = "GET";
    std::string path;  // below the service's address
    std::string url;   // set: goes there instead
    Secret token;      // set: of the queue, instead of the service's
    std::string body;
    std::string label;  // what it is for
  };
  struct Flight;
  using ReplyDone = Done<sys::HttpResponse>;
  using SetKey = std::pair<std::string, std::string>;  // group and name

  void send(Call call, ReplyDone done);
  void launch(std::uint64_t id);
  void on_response(std::uint64_t id, Result<sys::HttpResponse> response);
  bool try_again(std::uint64_t id);
  void finish(std::uint64_t id, Result<sys::HttpResponse> result);
  void connect();
  void register_with(Secret token, std::uint32_t failures);
  void on_registered(Result<sys::HttpResponse> response, const std::shared_ptr<Secret>& token,
                     std::uint32_t failures);
  void take(sys::HttpResponse& response);
  void connected(const Error* error);
  void find_group(const SetWish& wish, Done<std::int64_t> done);
  void find_set(const SetWish& wish, std::int64_t group, Done<std::int64_t> done);
  void shape_set(const SetWish& wish, std::int64_t group, const std::optional<ScaleSet>& found,
                 Done<std::int64_t> done);
  void post_jit(std::int64_t set, const SetWish& wish, const std::string& runner,
                Done<JitConfig> done);
  void session_call(Call call, Done<QueueSession> done);
  [[nodiscard]] bool may_be_plain() const { return place_.base.starts_with("http://"); }
  [[nodiscard]] Error named(Error error) const;

  sys::Loop& loop_;
  sys::HttpClient& http_;
  Place place_;
  Tuning tuning_;
  Register register_;
  std::optional<AdminConnection> connection_;
  Instant connected_at_{};
  Instant refresh_at_{};
  Instant expires_at_{};
  bool is_connecting_ = false;
  std::map<SetKey, std::int64_t> sets_;
  std::uint64_t next_id_ = 1;
  std::vector<std::uint64_t> waiting_;  // for the connection
  // Last, so that nothing calls back into members that are gone.
  sys::Timer retry_;
  std::unique_ptr<sys::HttpCall> registration_;
  std::map<std::uint64_t, std::unique_ptr<Flight>> flights_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::github
