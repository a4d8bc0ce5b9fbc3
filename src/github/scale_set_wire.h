// The JSON of runner scale sets and of their message queues <-> values. Pure, strict and bounded.
//
// GitHub does not document this protocol; what we know is from its own client (actions/scaleset)
// and others that speak it. Answers may begin with a byte order mark.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"
#include "core/demand.h"
#include "github/client.h"

namespace mvr::github {

// Of POST {scope}/actions/runners/registration-token. Err texts never hold a part of the body.
Result<Secret> decode_registration_token(std::string_view body);

// Where the scope's scale sets are, and what opens them.
struct AdminConnection {
  std::string url;  // ends with "/"
  Secret token;     // a JWT
};
// `url`: the web address of the scope.
std::string encode_registration(const std::string& url);
// `may_be_plain`: http, where GitHub's own API is plain http, too.
Result<AdminConnection> decode_admin_connection(std::string_view body, bool may_be_plain);

// `exp` of a JWT, whose signature is not for us to verify.
std::optional<WallTime> jwt_expiry(std::string_view token);

// A scale set as we want it.
struct SetWish {
  std::string name;   // at most one of a name in a runner group
  std::string group;  // its name; empty = the default group
  std::vector<std::string> labels;
};
struct ScaleSet {
  std::int64_t id = 0;
  std::string name;
  std::vector<std::string> labels;
  bool is_update_disabled = false;  // runners do not replace themselves by a newer release
  friend bool operator==(const ScaleSet&, const ScaleSet&) = default;
};
std::string encode_scale_set(const SetWish& wish, std::int64_t group);
Result<ScaleSet> decode_scale_set(std::string_view body);
Result<std::vector<ScaleSet>> decode_scale_sets(std::string_view body);
// True when the set's labels, whatever their case and order, or its setting differ from the wish.
bool differs(const ScaleSet& set, const SetWish& wish);
// The id of the group of that name in a list of groups; nothing when it is not there.
Result<std::optional<std::int64_t>> decode_group_id(std::string_view body, std::string_view name);

struct QueueStatistics {
  std::uint32_t available = 0;  // jobs nobody has acquired
  std::uint32_t acquired = 0;
  std::uint32_t assigned = 0;  // to the set, those that run among them
  std::uint32_t running = 0;
  friend bool operator==(const QueueStatistics&, const QueueStatistics&) = default;
};

// The right to a set's message queue. There is one at a time.
struct QueueSession {
  std::string id;
  std::string queue;  // the queue's URL, with a query
  Secret token;       // of the queue, a JWT
  QueueStatistics statistics;
};
std::string encode_session(const std::string& owner);
Result<QueueSession> decode_session(std::string_view body, bool may_be_plain);

struct JobMessage {
  enum class Kind { available, assigned, started, completed };
  Kind kind = Kind::assigned;
  std::int64_t request = 0;  // 0: GitHub gave none, see JobHint::id below
  // Its id is the request, or where that is 0 a hash of the job's uuid.
  core::JobHint job;
};
struct QueueMessage {
  std::int64_t id = 0;
  std::vector<JobMessage> jobs;  // entries of other kinds, or without any id, are left out
  std::optional<QueueStatistics> statistics;
};
Result<QueueMessage> decode_queue_message(std::string_view body);
std::string encode_acquired(const std::vector<std::int64_t>& requests);

// The queue's URL for what comes after the message `last` (0: for all), and of one message.
std::string queue_poll_url(const std::string& queue, std::int64_t last);
std::string queue_message_url(const std::string& queue, std::int64_t message);

std::string encode_set_jit_request(const std::string& runner);
// As decode_jit() of wire.h.
Result<JitConfig> decode_set_jit(std::string_view body);

// True for the service's own description of what is wrong.
bool is_fault(std::string_view body);

// Of an answer of the service that is not 2xx: what was asked, GitHub's own words, what helps, and
// the ids under which GitHub finds the request. not_found also for a runner, exists for a name,
// busy for a runner with a job and for a session of somebody else.
Error explain_service(int status, const std::map<std::string, std::string>& headers,
                      std::string_view body, std::string_view label);

}  // namespace mvr::github
