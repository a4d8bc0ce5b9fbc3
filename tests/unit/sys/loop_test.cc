#include "sys/loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>

#include "helpers.h"

namespace mvr::sys {
namespace {

std::unique_ptr<Loop> make_loop() {
  auto loop = Loop::create();
  REQUIRE(loop);
  return std::move(*loop);
}

// Readable at once, and stays so: the loop is level-triggered.
Fd ready_fd() { return Fd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }
Fd idle_fd() { return Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

TEST_CASE("a readable descriptor calls its handler") {
  const auto loop = make_loop();
  const Fd fd = ready_fd();
  std::uint32_t seen = 0;
  const auto watch = loop->watch(fd.get(), EPOLLIN, [&](std::uint32_t events) { seen = events; });
  REQUIRE(watch);
  REQUIRE(loop->run_once());
  CHECK(seen == EPOLLIN);
}

TEST_CASE("a watch that is gone is not called") {
  const auto loop = make_loop();
  const Fd fd = ready_fd();
  int calls = 0;
  {
    const auto watch = loop->watch(fd.get(), EPOLLIN, [&](std::uint32_t) { ++calls; });
  }
  REQUIRE(loop->run_once(Duration(0)));
  CHECK(calls == 0);
}

TEST_CASE("a handler may end its own watch and still use what it captured") {
  const auto loop = make_loop();
  const Fd fd = ready_fd();
  Watch watch;
  std::string result;
  const std::string captured(100, 'c');
  auto made = loop->watch(fd.get(), EPOLLIN, [&result, &watch, captured](std::uint32_t) {
    watch = Watch();
    result = captured;  // a use after free under ASan, were the handler gone
  });
  REQUIRE(made);
  watch = std::move(*made);
  REQUIRE(loop->run_once());
  CHECK(result == captured);
  result.clear();
  REQUIRE(loop->run_once(Duration(0)));
  CHECK(result.empty());
}

TEST_CASE("a handler may end another watch that is due in the same round") {
  const auto loop = make_loop();
  const Fd first_fd = ready_fd();
  const Fd second_fd = ready_fd();
  Watch first;
  Watch second;
  int calls = 0;
  // Whichever comes first ends both.
  const auto handler = [&](std::uint32_t) {
    ++calls;
    first = Watch();
    second = Watch();
  };
  auto one = loop->watch(first_fd.get(), EPOLLIN, handler);
  auto two = loop->watch(second_fd.get(), EPOLLIN, handler);
  REQUIRE(one);
  REQUIRE(two);
  first = std::move(*one);
  second = std::move(*two);
  REQUIRE(loop->run_once());
  CHECK(calls == 1);
}

TEST_CASE("a number that is used again belongs to the new watch only") {
  const auto loop = make_loop();
  const Fd ready = ready_fd();
  Fd old = idle_fd();
  const int number = old.get();
  int old_calls = 0;
  int new_calls = 0;
  auto stale = loop->watch(number, EPOLLIN, [&](std::uint32_t) { ++old_calls; });
  REQUIRE(stale);
  REQUIRE(old.close());  // before its watch ended
  const Fd reused(::fcntl(ready.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE(reused.get() == number);
  const auto fresh = loop->watch(number, EPOLLIN, [&](std::uint32_t) { ++new_calls; });
  REQUIRE(fresh);
  *stale = Watch();  // must not take the new registration with it
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(old_calls == 0);
  CHECK(new_calls == 1);
}

TEST_CASE("the events of a watch can be changed") {
  const auto loop = make_loop();
  const Fd fd = ready_fd();
  std::uint32_t seen = 0;
  auto watch = loop->watch(fd.get(), 0, [&](std::uint32_t events) { seen = events; });
  REQUIRE(watch);
  REQUIRE(loop->run_once(Duration(0)));
  CHECK(seen == 0);
  REQUIRE(watch->set_events(EPOLLIN | EPOLLOUT));
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(seen == (EPOLLIN | EPOLLOUT));
  CHECK_FALSE(Watch().set_events(EPOLLIN));
}

TEST_CASE("what epoll refuses is an error") {
  const auto loop = make_loop();
  const TempDir dir;
  REQUIRE(write_file(dir / "a", ""));
  const auto file = open_read(dir / "a");
  REQUIRE(file);
  CHECK_FALSE(loop->watch(file->get(), EPOLLIN, [](std::uint32_t) {}));
  CHECK_FALSE(loop->watch(-1, EPOLLIN, [](std::uint32_t) {}));
  const Fd fd = ready_fd();
  const auto first = loop->watch(fd.get(), EPOLLIN, [](std::uint32_t) {});
  REQUIRE(first);
  CHECK(loop->watch(fd.get(), EPOLLIN, [](std::uint32_t) {}).error().code == Errc::exists);
}

TEST_CASE("timers fire in the order of their times, not before them") {
  const auto loop = make_loop();
  const Instant start = loop->now();
  std::vector<int> fired;
  std::vector<Duration> after;
  const auto note = [&](int which) {
    fired.push_back(which);
    after.push_back(loop->now() - start);
  };
  const Timer third = loop->call_at(start + Duration(30), [&] { note(3); });
  const Timer first = loop->call_at(start + Duration(10), [&] { note(1); });
  const Timer second = loop->call_at(start + Duration(20), [&] { note(2); });
  REQUIRE(run_until(*loop, [&] { return fired.size() == 3; }));
  CHECK(fired == std::vector<int>{1, 2, 3});
  for (std::size_t i = 0; i < 3; ++i) CHECK(after[i] >= Duration(10 * (static_cast<int>(i) + 1)));
}

TEST_CASE("a time in the past is due at once") {
  const auto loop = make_loop();
  int calls = 0;
  const Timer epoch = loop->call_at(Instant(), [&] { ++calls; });
  const Timer before = loop->call_at(Instant(Duration(-5)), [&] { ++calls; });
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(calls == 2);
}

TEST_CASE("a cancelled timer does not fire, and the next one still does") {
  const auto loop = make_loop();
  int early = 0;
  int late = 0;
  Timer first = loop->call_at(loop->now() + Duration(5), [&] { ++early; });
  const Timer second = loop->call_at(loop->now() + Duration(15), [&] { ++late; });
  first = Timer();
  REQUIRE(run_until(*loop, [&] { return late == 1; }));
  CHECK(early == 0);
}

TEST_CASE("a handler may replace its own timer") {
  const auto loop = make_loop();
  Timer timer;
  int calls = 0;
  const std::string captured(100, 'c');
  std::function<void()> tick = [&, captured] {
    ++calls;
    if (calls < 3) timer = loop->call_at(loop->now(), tick);
    CHECK(captured.size() == 100);
  };
  timer = loop->call_at(loop->now(), tick);
  REQUIRE(run_until(*loop, [&] { return calls == 3; }));
  timer = Timer();
}

TEST_CASE("a timer that asks for now again does not keep the round from ending") {
  const auto loop = make_loop();
  Timer timer;
  int calls = 0;
  std::function<void()> again = [&] {
    ++calls;
    timer = loop->call_at(Instant(), again);
  };
  timer = loop->call_at(Instant(), again);
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(calls == 1);
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(calls == 2);
  timer = Timer();
}

TEST_CASE("a handler may end timers that are due in the same round") {
  const auto loop = make_loop();
  int calls = 0;
  Timer first;
  Timer second;
  const auto handler = [&] {
    ++calls;
    first = Timer();
    second = Timer();
  };
  first = loop->call_at(Instant(), handler);
  second = loop->call_at(Instant(), handler);
  REQUIRE(loop->run_once(Duration(1000)));
  CHECK(calls == 1);
}

TEST_CASE("handlers that own watches and timers are freed with their loop") {
  auto loop = make_loop();
  const Fd fd = ready_fd();
  const Fd other = idle_fd();
  auto inner = loop->watch(other.get(), EPOLLIN, [](std::uint32_t) {});
  REQUIRE(inner);
  auto owned = std::make_shared<Watch>(std::move(*inner));
  auto timer = std::make_shared<Timer>(loop->call_at(loop->now() + Duration(60'000), [] {}));
  auto self = std::make_shared<Timer>();
  *self = loop->call_at(loop->now() + Duration(60'000), [owned, timer, self] {});
  const std::weak_ptr<Timer> gone = timer;
  owned.reset();
  timer.reset();
  self.reset();
  loop.reset();
  CHECK(gone.expired());
}

TEST_CASE("waiting ends at the limit") {
  const auto loop = make_loop();
  const Instant start = loop->now();
  REQUIRE(loop->run_once(Duration(20)));
  CHECK(loop->now() - start >= Duration(19));
}

TEST_CASE("signals arrive as calls") {
  const auto loop = make_loop();
  sigset_t before;
  REQUIRE(::pthread_sigmask(SIG_SETMASK, nullptr, &before) == 0);
  std::vector<int> seen;
  REQUIRE(loop->on_signals({SIGUSR1, SIGUSR2}, [&](int number) { seen.push_back(number); }));
  CHECK(loop->on_signals({SIGHUP}, [](int) {}).error().code == Errc::exists);
  REQUIRE(::kill(::getpid(), SIGUSR2) == 0);
  REQUIRE(::kill(::getpid(), SIGUSR1) == 0);
  REQUIRE(run_until(*loop, [&] { return seen.size() == 2; }));
  CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR2});
  REQUIRE(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
}

}  // namespace
}  // namespace mvr::sys
