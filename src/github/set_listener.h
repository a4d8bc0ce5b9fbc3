// Listens to the message queue of one scale set: sees to the set, holds its session, and keeps the
// account of the jobs assigned to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/demand.h"
#include "github/pace.h"
#include "github/scale_set_jobs.h"
#include "github/scale_sets.h"
#include "sys/loop.h"

namespace mvr::github {

// Order of one message: jobs on offer are acquired, the account is brought up to date, `changed` is
// called; once reported() says that the demand is out, the message is deleted from the queue, and
// the next one asked for.
class SetListener {
 public:
  struct Parts {
    sys::Loop& loop;
    ScaleSets& sets;  // outlives the listener
    SetWish wish;
    std::string owner;                        // of sessions: the host
    AssignedJobs jobs;                        // empty
    std::function<std::uint32_t()> capacity;  // see make_discovery()
    // Whether jobs of the scope may be served at all; asked at the start, and once an hour.
    std::function<void(Client::Done<bool>)> permit;
    // There is news: jobs, or a failure. Comes from the loop; may destroy the listener.
    std::function<void()> changed;
  };
  struct Failure {
    Error error;
    Instant retry_at{};
  };

  explicit SetListener(Parts parts);
  ~SetListener();
  SetListener(const SetListener&) = delete;
  SetListener& operator=(const SetListener&) = delete;

  void start() { begin(); }
  // Gives the session back, so that another host or the next daemon gets it at once. `done` may
  // come from inside the call; nothing else comes after it.
  void stop(std::function<void()> done);
  void reported();

  [[nodiscard]] const AssignedJobs& jobs() const { return parts_.jobs; }
  // When the queue said last what there is; nothing: not yet.
  [[nodiscard]] std::optional<Instant> seen_at() const { return seen_at_; }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  // Messages about jobs so far.
  [[nodiscard]] std::uint64_t messages() const { return messages_; }

 private:
  void begin();
  void ensure();
  void open();
  void opened(Result<QueueSession> session);
  void adopt(QueueSession session);
  void refresh();
  void refreshed(Result<QueueSession> session);
  void next();
  void poll();
  void look_at_capacity();
  void on_poll(Result<std::optional<QueueMessage>> answer);
  void on_lost(const Error& error);
  void take(QueueMessage message);
  void apply(const QueueMessage& message);
  void acknowledge();
  void healthy();
  void failed(Error error, core::BackoffPolicy policy = core::kApiBackoff);
  void wait_for_better(Error error, core::BackoffPolicy policy);
  void give_back_session();
  void later(Instant when, void (SetListener::*act)());
  template <class T>
  Client::Done<T> guarded(void (SetListener::*act)(Result<T>));

  Parts parts_;
  std::int64_t set_ = 0;
  std::optional<QueueSession> session_;
  Instant refresh_at_ = Instant::max();
  bool was_refreshed_ = false;  // because the queue refused the token, and no answer since
  bool is_opening_ = false;
  std::int64_t applied_ = 0;  // messages of this session: up to here they are in the account,
  std::int64_t deleted_ = 0;  // and so far they are deleted
  std::optional<std::int64_t> unreported_;
  std::uint64_t messages_ = 0;
  std::uint32_t capacity_ = 0;  // as the queue was told last
  Instant permitted_until_{};
  Pace pace_;
  std::uint32_t failures_ = 0;
  std::optional<Failure> failure_;
  std::optional<Instant> seen_at_;
  std::function<void()> stopped_;  // set: stop() was called
  // Last, so that nothing calls back into members that are gone.
  sys::Timer timer_;
  sys::Timer capacity_timer_;
  std::unique_ptr<sys::HttpCall> polling_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mvr::github
