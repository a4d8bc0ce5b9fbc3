#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "catch.h"

namespace mvr {
namespace {

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int raw) { return ::fcntl(raw, F_GETFD) >= 0; }

TEST_CASE("a descriptor is closed when its owner goes") {
  const int raw = open_null();
  { const Fd fd(raw); }
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("an empty owner is false and closes nothing") {
  Fd fd;
  CHECK_FALSE(static_cast<bool>(fd));
  CHECK(fd.get() == -1);
  CHECK(fd.close());
}

TEST_CASE("moving hands the descriptor over") {
  Fd first(open_null());
  const int raw = first.get();
  const Fd second(std::move(first));
  CHECK(first.get() == -1);  // NOLINT(bugprone-use-after-move): the moved-from state is the test
  CHECK(second.get() == raw);
  CHECK(is_open(raw));
}

TEST_CASE("move assignment closes what was owned before") {
  Fd target(open_null());
  const int old = target.get();
  Fd source(open_null());
  const int kept = source.get();
  target = std::move(source);
  CHECK_FALSE(is_open(old));
  CHECK(target.get() == kept);
  CHECK(is_open(kept));
}

TEST_CASE("assigning to itself keeps the descriptor") {
  Fd fd(open_null());
  Fd& same = fd;
  fd = std::move(same);
  CHECK(is_open(fd.get()));
}

TEST_CASE("release gives the number away without closing it") {
  Fd fd(open_null());
  const int raw = fd.release();
  CHECK_FALSE(static_cast<bool>(fd));
  CHECK(is_open(raw));
  (void)::close(raw);
}

TEST_CASE("closing twice is ok, closing a stale number is reported") {
  Fd fd(open_null());
  CHECK(fd.close());
  CHECK(fd.close());
  const int raw = open_null();
  Fd stale(raw);
  (void)::close(raw);
  const auto closed = stale.close();
  REQUIRE_FALSE(closed);
  CHECK(closed.error().what == "close: Bad file descriptor");
}

TEST_CASE("a duplicate is another close-on-exec number for the same file") {
  const Fd fd(open_null());
  const auto copy = fd.duplicate();
  REQUIRE(copy);
  CHECK(copy->get() != fd.get());
  CHECK((::fcntl(copy->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("duplicating nothing is an error") {
  const Fd fd;
  CHECK_FALSE(fd.duplicate());
}

}  // namespace
}  // namespace mvr
