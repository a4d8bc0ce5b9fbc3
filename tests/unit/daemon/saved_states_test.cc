#include "daemon/saved_states.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catch.h"
#include "sys/files.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

const Instant kNow{Duration{1'000'000}};

class Store {
 public:
  [[nodiscard]] std::string path() const { return directory_ / "saved"; }
  [[nodiscard]] SavedStates open(const std::string& boot = "boot-1") const {
    SavedStates states(path(), boot, Bytes{20'000});
    REQUIRE(states.sweep());
    return states;
  }
  // One of so many bytes.
  void fill(SavedStates& states, const std::string& key, std::size_t size = 10) const {
    const std::string draft = states.begin(key).value();
    REQUIRE(sys::write_file(draft + "/machine", std::string(size, 'm'), 0600));
  }
  void keep(SavedStates& states, const std::string& key, std::size_t size = 10) const {
    fill(states, key, size);
    REQUIRE(states.publish(key, mib(100)));
  }
  void age(const std::string& key, time_t seconds) const {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    const std::string about = path() + "/" + key + "/about.json";
    REQUIRE(::utimensat(AT_FDCWD, about.c_str(), times, 0) == 0);
  }

 private:
  test::TempDir directory_;
};

TEST_CASE("kinds of VMs are told apart by a name that is a directory's") {
  CHECK(saved_state_key("a").size() == 32);
  CHECK(saved_state_key("a") != saved_state_key("b"));
}

TEST_CASE("a state is found once it is published, by us alone") {
  const Store store;
  SavedStates states = store.open();
  CHECK_FALSE(states.find("k"));
  CHECK(states.is_wanted("k", kNow));
  store.fill(states, "k");
  CHECK_FALSE(states.find("k"));
  REQUIRE(states.publish("k", mib(1)));
  const std::string found = states.find("k").value();
  CHECK(sys::read_file(found + "/machine").value() == "mmmmmmmmmm");
  CHECK_FALSE(states.is_wanted("k", kNow));
  struct stat info {};
  REQUIRE(::stat(store.path().c_str(), &info) == 0);
  CHECK((info.st_mode & 07777U) == 0700);
}

TEST_CASE("one VM at a time writes a state") {
  const Store store;
  SavedStates states = store.open();
  store.fill(states, "k");
  CHECK_FALSE(states.is_wanted("k", kNow));
  CHECK(states.begin("k").error().code == Errc::busy);
  CHECK(states.is_wanted("other", kNow));
  states.abandon("k");
  CHECK(states.is_wanted("k", kNow));
  CHECK(sys::list_directory(store.path()).value().empty());
}

TEST_CASE("what failed is not tried again at once") {
  const Store store;
  SavedStates states = store.open();
  states.pause("k", kNow);
  CHECK_FALSE(states.is_wanted("k", kNow + Duration(60'000)));
  CHECK(states.is_wanted("other", kNow));
  CHECK(states.is_wanted("k", kNow + Duration(600'000)));
}

TEST_CASE("a state that is not whole does not count") {
  const Store store;
  SavedStates states = store.open();
  store.keep(states, "k");
  const std::string path = store.path() + "/k";
  SECTION("cut") { REQUIRE(::truncate((path + "/machine").c_str(), 9) == 0); }
  SECTION("a file more") { REQUIRE(sys::write_file(path + "/more", "")); }
  SECTION("none") { REQUIRE(sys::remove_file(path + "/machine")); }
  SECTION("no description") { REQUIRE(sys::remove_file(path + "/about.json")); }
  SECTION("a damaged one") { REQUIRE(sys::write_file(path + "/about.json", "[1")); }
  SECTION("an odd one") { REQUIRE(sys::write_file(path + "/about.json", R"({"version":"1"})")); }
  SECTION("dropped") { REQUIRE(states.drop("k")); }
  CHECK_FALSE(states.find("k"));
  CHECK(states.is_wanted("k", kNow));
  store.keep(states, "k");
  CHECK(states.find("k"));
}

TEST_CASE("a start removes what is half done or of another boot, and nothing else") {
  const Store store;
  {
    SavedStates states = store.open();
    store.keep(states, "good");
    store.keep(states, "bad");
    store.fill(states, "half");
    REQUIRE(sys::remove_file(store.path() + "/bad/machine"));
  }
  CHECK(store.open().find("good"));
  CHECK(sys::list_directory(store.path()).value() == std::vector<std::string>{"good"});
  CHECK_FALSE(store.open("boot-2").find("good"));
  CHECK(sys::list_directory(store.path()).value().empty());
}

TEST_CASE("a host that keeps none any more has none left") {
  const Store store;
  SavedStates states = store.open();
  store.keep(states, "k");
  REQUIRE(states.clear());
  CHECK_FALSE(sys::exists(store.path()));
  REQUIRE(states.clear());
  store.keep(states, "k");
  CHECK(states.find("k"));
}

TEST_CASE("those used longest ago make room") {
  const Store store;
  SavedStates states = store.open();
  for (const char* key : {"a", "b", "c"}) store.keep(states, key, 100'000);
  store.age("a", 300);
  store.age("b", 100);
  store.age("c", 200);
  REQUIRE(states.find("b"));  // used now
  store.fill(states, "d", 100'000);
  REQUIRE(states.publish("d", Bytes{350'000}));
  CHECK_FALSE(states.find("c"));
  for (const char* key : {"a", "b", "d"}) CHECK(states.find(key));
}

TEST_CASE("one that takes more than all may is not kept, and costs no other") {
  const Store store;
  SavedStates states = store.open();
  store.keep(states, "small");
  store.fill(states, "large", 1 << 20);
  CHECK(states.publish("large", Bytes{1 << 19}).error().code == Errc::too_large);
  states.abandon("large");
  CHECK(sys::list_directory(store.path()).value() == std::vector<std::string>{"small"});
}

std::string memory_at(int number) {
  return sys::read_file("/proc/self/fd/" + std::to_string(number)).value();
}

TEST_CASE("the memory of a state is read once, and nobody changes it") {
  const Store store;
  SavedStates states = store.open();
  const auto keep = [&](const std::string& text) {
    store.fill(states, "k");
    REQUIRE(sys::write_file(store.path() + "/draft-k/memory", text));
    REQUIRE(states.publish("k", mib(100)));
  };
  keep("first");
  const int memory = states.memory("k").value();
  CHECK(memory_at(memory) == "first");
  CHECK(::write(memory, "x", 1) == -1);
  REQUIRE(sys::write_file(store.path() + "/k/memory", "other"));
  CHECK(states.memory("k").value() == memory);
  CHECK(memory_at(memory) == "first");
  keep("second");
  CHECK(memory_at(states.memory("k").value()) == "second");
  REQUIRE(states.drop("k"));
  CHECK(states.memory("k").error().code == Errc::not_found);
}

TEST_CASE("the memories used last are held, and not more than all may take") {
  const Store store;
  SavedStates states = store.open();
  const std::string text(8'000, 'm');  // two blocks: two of them are held
  const auto path = [&](const std::string& key) { return store.path() + "/" + key + "/memory"; };
  for (const std::string key : {"a", "b", "c"}) {
    store.fill(states, key);
    REQUIRE(sys::write_file(store.path() + "/draft-" + key + "/memory", text));
    REQUIRE(states.publish(key, mib(100)));
  }
  const auto is_held = [&](const std::string& key) {
    const std::string away = store.path() + "/away";
    REQUIRE(::rename(path(key).c_str(), away.c_str()) == 0);
    const bool is_there = states.memory(key).has_value();
    REQUIRE(::rename(away.c_str(), path(key).c_str()) == 0);
    return is_there;
  };
  for (const std::string key : {"a", "b", "a", "c"}) CHECK(memory_at(*states.memory(key)) == text);
  CHECK(is_held("a"));
  CHECK(is_held("c"));
  CHECK_FALSE(is_held("b"));
}

}  // namespace
}  // namespace mvr::daemon
