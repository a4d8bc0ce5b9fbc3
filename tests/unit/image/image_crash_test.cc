// The image store against kill -9 at every system call, and against a disk that is full at any.
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "store_fixture.h"

namespace mvr::image {
namespace {

using Step = std::function<bool()>;

// To fork a process with sanitizers takes long: there it is every fourth call.
#ifdef __SANITIZE_ADDRESS__
constexpr int kStride = 4;
#else
constexpr int kStride = 1;
#endif

// Runs `step` in a child that dies before its n-th system call; true: it ended before. Plain
// comparisons: an assertion for each of so many stops would cost more than the calls.
bool dies_at(int n, const Step& step) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    (void)::raise(SIGSTOP);
    ::_exit(step() ? 0 : 1);
  }
  int status = 0;
  // A stop at the start, then one before and one after each call.
  for (int stops = 0; ::waitpid(child, &status, 0) == child && WIFSTOPPED(status); ++stops) {
    const bool is_due = stops == 2 * n + 1;
    const bool goes_on = is_due ? ::kill(child, SIGKILL) == 0
                                : ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0;
    if (!goes_on) break;
  }
  if (WIFSIGNALED(status)) return false;
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return true;
}

bool can_trace() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

std::string text_of_tag(const ImageStore& store) {
  const auto pin = store.pin("web");
  return pin ? get(pin->path) : error_of(pin);
}

// A store in which the tag "web" has "2" and had "1"; `step` is killed at each of its calls, and
// then the store is whole, `holds` holds, and nothing is left after the next sweep.
void kill_everywhere(const std::function<bool(const ImageStore&)>& step,
                     const std::function<void(const ImageStore&, bool ended)>& holds) {
  if (!can_trace()) return skip("needs ptrace");
  bool ended = false;
  int deaths = 0;
  for (; !ended; deaths += kStride) {
    INFO("killed at call " << deaths);
    REQUIRE(deaths < 2'000);
    const TempDir state;
    const ImageStore store(state.path());
    REQUIRE(publish(store, "web", "1").has_value());
    REQUIRE(publish(store, "web", "2").has_value());
    ended = dies_at(deaths, [&] { return step(store); });
    holds(store, ended);
    const auto all = store.list();
    for (const StoredImage& image : *all) {
      const auto pin = store.pin(image.manifest.id);
      REQUIRE(pin.has_value());
      CHECK(image.manifest.digest == "sha256:" + sys::sha256_file(pin->path));
    }
    { REQUIRE(store.make_work_directory().has_value()); }
    REQUIRE(leftovers(state) == "");
    REQUIRE(names_in(state / "images/tags") == (sys::exists(state / "images/tags/web")
                                                    ? std::vector<std::string>{"web"}
                                                    : std::vector<std::string>{}));
    // It works on from here.
    REQUIRE(publish(store, "web", "4").has_value());
    CHECK(text_of_tag(store) == "4");
  }
  CHECK(deaths > 20);  // it really was killed within
}

TEST_CASE("a publication that is killed at any system call leaves the old tag or the new one") {
  kill_everywhere([](const ImageStore& store) { return publish(store, "web", "3").has_value(); },
                  [](const ImageStore& store, bool ended) {
                    const std::string text = text_of_tag(store);
                    CHECK((text == "3" || (text == "2" && !ended)));
                    if (text == "3") REQUIRE(store.rollback("web").has_value());
                    CHECK(text_of_tag(store) == "2");
                    if (text != "3") return;
                    REQUIRE(store.rollback("web").has_value());
                    CHECK(text_of_tag(store) == "1");
                  });
}

TEST_CASE("a rollback that is killed at any system call went back once or not at all") {
  kill_everywhere([](const ImageStore& store) { return store.rollback("web").has_value(); },
                  [](const ImageStore& store, bool ended) {
                    const std::string text = text_of_tag(store);
                    CHECK((text == "1" || (text == "2" && !ended)));
                    CHECK(store.former("web")->size() == (text == "1" ? 0 : 1));
                  });
}

TEST_CASE("a removal that is killed at any system call leaves no tag without its image") {
  kill_everywhere([](const ImageStore& store) { return store.remove("web").has_value(); },
                  [](const ImageStore& store, bool ended) {
                    const std::string text = text_of_tag(store);
                    CHECK(((text == "2" && !ended) || contains(text, "not_found")));
                  });
}

TEST_CASE("a clean-up that is killed at any system call takes whole images") {
  kill_everywhere(
      [](const ImageStore& store) {
        return store.prune({.keep = 0, .grace = Duration{0}}).has_value();
      },
      [](const ImageStore& store, bool ended) {
        CHECK(text_of_tag(store) == "2");
        if (ended) CHECK(store.list()->size() == 1);
      });
}

// In a child with a mount namespace of its own; its exit status says how it went.
int in_own_mounts(const std::function<int()>& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(77);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(77);
    ::_exit(body());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// 0: as it must be; else the number of what was not.
int fill_up(const std::string& place) {
  if (::mount("tmpfs", place.c_str(), "tmpfs", 0, "size=1m,nr_inodes=200") != 0) return 77;
  const ImageStore store(place);
  if (!publish(store, "web", "1") || !publish(store, "web", "2")) return 1;
  bool failed = false;
  // With each number of files that the disk can take besides.
  for (int spare = 0; spare < 40; ++spare) {
    const auto used = [&place] {
      int count = 1;
      for (const auto& each : std::filesystem::recursive_directory_iterator(place)) {
        count += each.exists() || each.is_symlink() ? 1 : 0;
      }
      return count;
    };
    const auto limit = [&place](int inodes) {
      const std::string option = "size=1m,nr_inodes=" + std::to_string(inodes);
      return ::mount(nullptr, place.c_str(), nullptr, MS_REMOUNT, option.c_str()) == 0;
    };
    if (!limit(used() + spare)) return 2;
    const auto done = publish(store, "web", "3");
    if (!limit(200)) return 3;
    const std::string text = text_of_tag(store);
    if (!done && done.error().code != Errc::full) return 4;
    if (!done && text != "2") return 5;
    if (done && text != "3") return 6;
    failed = failed || !done;
    if (done) return failed ? 0 : 7;
    if (!store.make_work_directory()) return 8;
    const auto names = sys::list_directory(place + "/images");
    for (const auto& name : *names) {
      if (name.front() == '.') return 9;
    }
  }
  return 10;
}

TEST_CASE(
    "a disk that is full at any step leaves the old image, an error that says so, no debris") {
  const TempDir dir;
  const int status = in_own_mounts([&dir] { return fill_up(dir.path()); });
  if (status == 77) return skip("needs root for a mount");
  CHECK(status == 0);
}

}  // namespace
}  // namespace mvr::image
