#include "image/progress.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "catch.h"
#include "image/kernel_package.h"

namespace mvr::image {
namespace {

TEST_CASE("a bar is told what has been done while the step lasts, and at its end all of it") {
  std::atomic<std::uint64_t> written{0};
  std::atomic<int> calls{0};
  std::atomic<std::uint64_t> shown{0};
  {
    const Watcher watcher(
        [&](Bytes done, Bytes all) {
          CHECK(done <= all);
          shown = done.value;
          ++calls;
        },
        mib(10), [&] { return Bytes{written}; });
    written = mib(4).value;
    for (int n = 0; n < 200 && shown != mib(4).value; ++n) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    CHECK(shown == mib(4).value);
    written = mib(40).value;  // more than was thought
  }
  CHECK(shown == mib(10).value);
  CHECK(calls >= 2);
}

TEST_CASE("without a bar, or without a size, nothing is watched") {
  const auto fail_if_called = []() -> Bytes { throw std::logic_error("measured"); };
  const Watcher none({}, mib(1), fail_if_called);
  const Watcher nothing([](Bytes, Bytes) { FAIL("called"); }, Bytes{0}, fail_if_called);
}

TEST_CASE("the size of a download is the sum that apt prints") {
  CHECK(download_size("'http://d/a.deb' a_1_amd64.deb 1000 SHA256:ab\n"
                      "'http://d/b.deb' b_1_amd64.deb 234 SHA256:cd\n") == Bytes{1234});
  CHECK(download_size("W: something\n'http://d/a.deb' a_1_amd64.deb none\n") == Bytes{0});
  CHECK(download_size("") == Bytes{0});
}

}  // namespace
}  // namespace mvr::image
