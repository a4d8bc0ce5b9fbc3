#include "github/set_listener.h"

#include <algorithm>

#include "github/app.h"

namespace mvr::github {
namespace {

constexpr int kBurst = 20;  // of polls that are answered at once
constexpr Duration kPermitted{3'600'000};
constexpr Duration kPermitRetry{60'000};
constexpr std::uint32_t kPatience = 1;  // failures of a poll in a row that nobody is told of

bool is_passing(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::timed_out ||
         error.code == Errc::rate_limited;
}

}  // namespace

SetListener::SetListener(Parts parts)
    : parts_(std::move(parts)), pace_(parts_.sets.tuning().change_gap, kBurst) {}

SetListener::~SetListener() = default;

// What comes back after this object is gone, or has been stopped, is nobody's.
template <class T>
Client::Done<T> SetListener::guarded(void (SetListener::*act)(Result<T>)) {
  return [this, act, alive = std::weak_ptr<bool>(alive_)](Result<T> result) {
    if (!alive.expired() && !stopped_) (this->*act)(std::move(result));
  };
}

void SetListener::later(Instant when, void (SetListener::*act)()) {
  timer_ = parts_.loop.call_at(when, [this, act] { (this->*act)(); });
}

// ---- to a session ------------------------------------------------------------------------------

void SetListener::begin() {
  parts_.permit([this, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& may) {
    if (alive.expired() || stopped_) return;
    if (!may && session_ && is_passing(may.error())) {
      permitted_until_ = parts_.loop.now() + kPermitRetry;  // what held so far holds on
      return next();
    }
    if (!may) return failed(may.error());
    permitted_until_ = parts_.loop.now() + kPermitted;
    ensure();
  });
}

void SetListener::ensure() {
  if (session_) return next();  // it was about the permit only
  parts_.sets.ensure(parts_.wish,
                     [this, alive = std::weak_ptr<bool>(alive_)](const Result<std::int64_t>& set) {
                       if (alive.expired() || stopped_) return;
                       if (!set) return failed(set.error());
                       set_ = *set;
                       open();
                     });
}

// Not guarded against stop(): a session that comes after it is given back.
void SetListener::open() {
  is_opening_ = true;
  parts_.sets.open_session(
      set_, parts_.owner,
      [this, alive = std::weak_ptr<bool>(alive_)](Result<QueueSession> session) {
        if (!alive.expired()) opened(std::move(session));
      });
}

void SetListener::opened(Result<QueueSession> session) {
  is_opening_ = false;
  if (session) {
    applied_ = 0;
    deleted_ = 0;
    unreported_.reset();
    adopt(std::move(*session));
  }
  if (stopped_) return stop(std::exchange(stopped_, nullptr));
  if (!session) {
    const bool is_taken = session.error().code == Errc::busy;
    return failed(std::move(session.error()),
                  is_taken ? parts_.sets.tuning().conflict_backoff : core::kApiBackoff);
  }
  parts_.jobs.restart(session_->statistics, sys::wall_now());
  healthy();
  next();
  parts_.changed();
}

void SetListener::adopt(QueueSession session) {
  session_ = std::move(session);
  const auto expires = jwt_expiry(session_->token.expose());
  refresh_at_ =
      expires ? refresh_time(parts_.loop.now(), sys::wall_now(), *expires) : Instant::max();
}

void SetListener::refresh() {
  parts_.sets.refresh_session(set_, session_->id, guarded(&SetListener::refreshed));
}

void SetListener::refreshed(Result<QueueSession> session) {
  if (!session && is_passing(session.error())) {
    was_refreshed_ = false;
    return wait_for_better(std::move(session.error()), core::kApiBackoff);
  }
  if (!session) return failed(std::move(session.error()));
  adopt(std::move(*session));
  next();
}

void SetListener::give_back_session() {
  if (!session_) return;
  // If this fails, the session ends by itself after a while.
  parts_.sets.close_session(set_, session_->id, [](const Result<bool>&) {});
  session_.reset();
}

void SetListener::stop(std::function<void()> done) {
  stopped_ = std::move(done);
  timer_ = sys::Timer();
  capacity_timer_ = sys::Timer();
  polling_.reset();
  if (is_opening_) return;        // opened() comes here again
  const auto stopped = stopped_;  // it may destroy this object
  if (!session_) return stopped();
  const std::string id = session_->id;
  session_.reset();
  parts_.sets.close_session(set_, id, [stopped](const Result<bool>&) { stopped(); });
}

// ---- waiting for messages ----------------------------------------------------------------------

void SetListener::next() {
  const Instant now = parts_.loop.now();
  if (now >= permitted_until_) return begin();
  if (now >= refresh_at_) return refresh();
  later(std::max(now, pace_.ready_at()), &SetListener::poll);
}

void SetListener::poll() {
  pace_.spend(parts_.loop.now(), 1);
  capacity_ = parts_.capacity();
  polling_ = parts_.sets.poll(*session_, ScaleSets::Poll{deleted_, capacity_},
                              guarded(&SetListener::on_poll));
  look_at_capacity();
}

// The queue learns of room (or of less) with the next poll, so that is not put off for a minute. A
// message on the way is not lost: it stays in the queue until it is deleted.
void SetListener::look_at_capacity() {
  const Instant when = parts_.loop.now() + parts_.sets.tuning().capacity_look;
  capacity_timer_ = parts_.loop.call_at(when, [this] {
    if (!polling_) return;
    if (parts_.capacity() == capacity_) return look_at_capacity();
    polling_.reset();
    next();
  });
}

void SetListener::on_poll(Result<std::optional<QueueMessage>> answer) {
  polling_.reset();
  capacity_timer_ = sys::Timer();
  if (!answer) return on_lost(answer.error());
  if (*answer) return take(std::move(**answer));
  healthy();
  next();
  parts_.changed();
}

void SetListener::on_lost(const Error& error) {
  if (error.code == Errc::unauthorized && !std::exchange(was_refreshed_, true)) return refresh();
  if (is_passing(error) && failures_ < kPatience) {
    ++failures_;
    return later(parts_.loop.now() +
                     core::backoff_delay(parts_.sets.tuning().retry_backoff, 1, parts_.owner),
                 &SetListener::next);
  }
  if (!is_passing(error)) return failed(error);
  // An outage of GitHub's is not the session's end.
  wait_for_better(error, core::kApiBackoff);
}

void SetListener::take(QueueMessage message) {
  if (message.id <= applied_) {  // again: it was not deleted
    unreported_ = message.id;
    return acknowledge();
  }
  std::vector<std::int64_t> offered;
  for (const JobMessage& job : message.jobs) {
    const bool is_offer = job.kind == JobMessage::Kind::available && job.request > 0;
    if (is_offer) offered.push_back(job.request);
  }
  if (offered.empty()) return apply(message);
  auto shared = std::make_shared<QueueMessage>(std::move(message));
  parts_.sets.acquire(
      set_, *session_, offered,
      [this, shared, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& acquired) {
        if (alive.expired() || stopped_) return;
        // What was offered is offered again, as long as the message is there.
        if (!acquired) return on_lost(acquired.error());
        apply(*shared);
      });
}

void SetListener::apply(const QueueMessage& message) {
  parts_.jobs.apply(message, sys::wall_now());
  applied_ = message.id;
  unreported_ = message.id;
  if (!message.jobs.empty()) ++messages_;
  healthy();
  parts_.changed();
}

void SetListener::reported() {
  if (unreported_ && session_ && !stopped_) acknowledge();
}

void SetListener::acknowledge() {
  const std::int64_t message = *std::exchange(unreported_, std::nullopt);
  parts_.sets.acknowledge(
      *session_, message,
      [this, message, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& deleted) {
        if (alive.expired() || stopped_) return;
        if (!deleted) return on_lost(deleted.error());
        deleted_ = message;
        was_refreshed_ = false;
        next();
      });
}

void SetListener::healthy() {
  failures_ = 0;
  failure_.reset();
  was_refreshed_ = false;
  seen_at_ = parts_.loop.now();
}

// Starts over after a pause, with a new session: the one there is may be the trouble.
void SetListener::failed(Error error, core::BackoffPolicy policy) {
  give_back_session();
  unreported_.reset();
  wait_for_better(std::move(error), policy);
}

void SetListener::wait_for_better(Error error, core::BackoffPolicy policy) {
  const Instant retry =
      parts_.loop.now() + core::backoff_delay(policy, ++failures_, parts_.owner + parts_.wish.name);
  failure_ = Failure{std::move(error), retry};
  later(retry, session_ ? &SetListener::next : &SetListener::begin);
  parts_.changed();
}

}  // namespace mvr::github
