#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "base/text.h"
#include "catch.h"
#include "fixture.h"
#include "sys/files.h"
#include "sys/memory_file.h"
#include "sys/unix_socket.h"
#include "vmm/qemu.h"
#include "vmm/qmp.h"

namespace mvr::vmm {
namespace {

constexpr const char* kNotYet =
    R"({"error": {"class": "GenericError", "desc": "Migration is not finalized yet"}})";

std::string migration(const std::string& status) {
  return R"({"timestamp": {"seconds": 1, "microseconds": 5}, "event": "MIGRATION", "data": )"
         R"({"status": ")" +
         status + R"("}})";
}

// QEMU's end, which answers each command as told, and what became of a save.
class Saving {
 public:
  explicit Saving(bool is_ready = true) {
    loop_ = sys::Loop::create().value();
    const std::string path = directory_ / "q";
    const Fd listener = sys::listen_unix(path, 0600).value();
    monitor_ = attach_qmp(*loop_, path).value();
    client_ = std::move(*sys::accept_unix(listener).value());
    REQUIRE(sys::make_directories(state()));
    if (!is_ready) return;
    say(R"({"QMP": {"version": {}, "capabilities": []}})");
    expect("qmp_capabilities");
    REQUIRE(loop_->run_once(Duration(1'000)));  // has seen the answer
  }
  void save() {
    MachineSpec spec;
    spec.memory_fd = memory_.get();
    monitor_->save(spec, state(), [this](Result<void> outcome) { outcome_ = std::move(outcome); });
    CHECK_FALSE(outcome_);  // never from inside
  }
  void say(const std::string& line) {
    const std::string text = line + "\r\n";
    REQUIRE(::send(client_.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0);
  }
  // The next command, which is answered.
  std::string expect(const std::string& command, const std::string& answer = R"({"return": {}})") {
    std::string line;
    REQUIRE(run_until(*loop_, [&] {
      std::array<char, 1> byte{};
      while (!line.ends_with('\n') &&
             ::recv(client_.get(), byte.data(), 1, MSG_DONTWAIT | MSG_PEEK) == 1) {
        auto got = sys::receive_with_fd(client_.get(), 1).value();
        if (got.fd) handed_ = std::move(got.fd);
        line += got.text;
      }
      return line.ends_with('\n');
    }));
    INFO(line);
    CHECK(line.find("\"" + command + "\"") != std::string::npos);
    say(answer);
    return line;
  }
  void begin() {
    save();
    CHECK(expect("migrate-set-capabilities").find("x-ignore-shared") != std::string::npos);
    expect("migrate-set-parameters");
    expect("getfd");
    expect("migrate");
  }
  Result<void> outcome() {
    REQUIRE(run_until(*loop_, [this] { return outcome_.has_value(); }));
    return *outcome_;
  }
  void hang_up() { client_ = Fd(); }
  Monitor& monitor() { return *monitor_; }
  sys::Loop& loop() { return *loop_; }
  [[nodiscard]] const Fd& handed() const { return handed_; }
  [[nodiscard]] std::string state() const { return directory_ / "state"; }
  [[nodiscard]] std::string file() const { return state() + std::string(kQemuState); }
  [[nodiscard]] std::string saved_memory() const { return state() + std::string(kSavedMemory); }
  [[nodiscard]] const Fd& memory() const { return memory_; }

 private:
  TempDir directory_;
  Fd memory_ = sys::make_empty_memory_file("guest", mib(1)).value();
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<Monitor> monitor_;
  Fd client_;
  Fd handed_;
  std::optional<Result<void>> outcome_;
};

TEST_CASE("a state is written to a file that QEMU is handed, and the machine runs on") {
  Saving qemu;
  qemu.begin();
  REQUIRE(qemu.handed());
  REQUIRE(::write(qemu.handed().get(), "devices", 7) == 7);
  qemu.say(migration("active"));
  REQUIRE(::pwrite(qemu.memory().get(), "of the end", 10, 8192) == 10);
  qemu.say(migration("completed"));
  qemu.expect("cont", kNotYet);
  REQUIRE(::pwrite(qemu.memory().get(), "no more of", 10, 8192) == 10);
  qemu.expect("cont");
  CHECK(qemu.outcome());
  CHECK(sys::read_file(qemu.file()).value() == "devices");
  const std::string memory = sys::read_file(qemu.saved_memory(), mib(2).value).value();
  CHECK(memory.size() == mib(1).value);
  CHECK(memory.substr(8192, 10) == "of the end");
  CHECK(sys::allocated_size(qemu.saved_memory()) < Bytes{64U << 10U});
  for (const std::string& path : {qemu.file(), qemu.saved_memory()}) {
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0600));
  }
}

TEST_CASE("a state that cannot be written is told, and the machine runs on") {
  Saving qemu;
  SECTION("at its end") {
    qemu.begin();
    qemu.say(migration("failed"));
    qemu.expect("cont");
    CHECK(qemu.outcome().error().code == Errc::io);
  }
  SECTION("with its memory") {
    qemu.begin();
    REQUIRE(sys::write_file(qemu.saved_memory(), "another"));
    qemu.say(migration("completed"));
    qemu.expect("cont");
    CHECK(qemu.outcome().error().code == Errc::exists);
    CHECK(sys::read_file(qemu.saved_memory()).value() == "another");
  }
  SECTION("at a step") {
    qemu.save();
    qemu.expect("migrate-set-capabilities",
                R"({"error": {"class": "GenericError", "desc": "no such thing"}})");
    qemu.expect("cont");
    CHECK(qemu.outcome().error().what == "QEMU refused: no such thing");
  }
  SECTION("because its file is there") {
    REQUIRE(sys::write_file(qemu.file(), "another"));
    qemu.save();
    CHECK(qemu.outcome().error().code == Errc::exists);
    CHECK(sys::read_file(qemu.file()).value() == "another");
  }
}

TEST_CASE("a QEMU that ends or has not begun to talk fails the save") {
  SECTION("it ends") {
    Saving qemu;
    qemu.begin();
    qemu.hang_up();
    CHECK(qemu.outcome().error().code == Errc::unavailable);
  }
  SECTION("it has not begun") {
    Saving qemu(false);
    qemu.save();
    CHECK(qemu.outcome().error().code == Errc::unavailable);
  }
}

TEST_CASE("a monitor that goes while it saves calls nobody") {
  bool is_called = false;
  const TempDir directory;
  const auto loop = sys::Loop::create().value();
  const Fd listener = sys::listen_unix(directory / "q", 0600).value();
  auto monitor = attach_qmp(*loop, directory / "q").value();
  monitor->save({}, directory.path(), [&](const Result<void>&) { is_called = true; });
  monitor.reset();
  REQUIRE(loop->run_once(Duration(20)));
  CHECK_FALSE(is_called);
}

TEST_CASE("a restored machine is told that its memory is there, and where its devices are") {
  Saving qemu(false);
  qemu.monitor().restore({});
  qemu.say(R"({"QMP": {"version": {}, "capabilities": []}})");
  qemu.expect("qmp_capabilities");
  SECTION("and begins") {
    CHECK(qemu.expect("migrate-set-capabilities").find("x-ignore-shared") != std::string::npos);
    CHECK(qemu.expect("migrate-incoming").find(R"("fd:7")") != std::string::npos);
  }
  SECTION("and ends when it cannot") {
    qemu.expect("migrate-set-capabilities");
    qemu.expect("migrate-incoming", R"({"error": {"class": "GenericError", "desc": "no"}})");
    qemu.expect("quit");
  }
}

TEST_CASE("a machine whose daemon ended in the middle of a save or a restore is woken") {
  Saving qemu(false);
  qemu.monitor().wake({});
  qemu.say(R"({"QMP": {"version": {}, "capabilities": []}})");
  qemu.expect("qmp_capabilities");
  qemu.expect("migrate-set-capabilities");
  qemu.expect("migrate-incoming", R"({"error": {"class": "GenericError", "desc": "no"}})");
  qemu.expect("migrate_cancel");
  qemu.expect("cont", kNotYet);
  qemu.expect("cont");
}

}  // namespace
}  // namespace mvr::vmm
