#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

#include "base/text.h"
#include "catch.h"
#include "firecracker_fixture.h"
#include "vmm/firecracker.h"
#include "vmm/jailer.h"

namespace mvr::vmm {
namespace {

using sys::Exit;

const std::string kFirecracker = MVR_SOURCE_DIR "/tests/fakes/vmm/firecracker";
const std::string kJailer = MVR_SOURCE_DIR "/tests/fakes/vmm/jailer";

std::string read(const std::string& path) { return sys::read_file(path).value_or("?"); }

// A launched stand-in; whatever is left of it ends with the test.
class Launched {
 public:
  explicit Launched(const std::string& words = "") {
    backend_ = make_firecracker(kFirecracker, kJailer).value();
    loop_ = sys::Loop::create().value();
    launch(words);
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;
  ~Launched() {
    (void)process_.signal(SIGKILL);
    (void)process_.wait(Duration(5'000));
  }

  void launch(const std::string& words) {
    files_.spec.command_line = words;
    files_.spec.may_be_saved = true;
    auto process = backend_->launch(files_.spec);
    INFO((process ? "" : process.error().what));
    REQUIRE(process);
    process_ = std::move(*process);
  }
  [[nodiscard]] JailFiles& files() { return files_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] sys::Process& process() { return process_; }
  sys::Loop& loop() { return *loop_; }
  [[nodiscard]] std::string root() const { return jail_of(files_.spec, kFirecracker).value().root; }
  [[nodiscard]] std::string console() const { return read(files_.spec.console); }

  // The connection that the agent makes to us.
  Fd accept() {
    std::optional<Fd> channel;
    (void)run_until(*loop_, [&] {
      if (!channel) channel = *sys::accept_unix(files_.listener);
      return channel.has_value() || process_.reap().value().has_value();
    });
    INFO(console());
    REQUIRE(channel);
    return std::move(*channel);
  }
  std::unique_ptr<Monitor> attach() {
    std::unique_ptr<Monitor> monitor;
    (void)run_until(*loop_, [&] {
      auto attached = backend_->attach(*loop_, files_.spec.monitor_socket);
      if (attached) monitor = std::move(*attached);
      return monitor != nullptr;
    });
    REQUIRE(monitor);
    return monitor;
  }
  // Lets the loop run while the VMM lives, `limit` at most.
  bool ends_within(Duration limit) {
    const Instant deadline = loop_->now() + limit;
    while (loop_->now() < deadline) {
      if (*process_.reap()) return true;
      if (!loop_->run_once(Duration(20))) return false;
    }
    return false;
  }
  Exit exit() { return process_.wait(Duration(10'000)).value(); }

 private:
  JailFiles files_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<sys::Loop> loop_;
  sys::Process process_;
};

TEST_CASE("both programs are found, of one release") {
  const auto backend = make_firecracker(kFirecracker, kJailer).value();
  CHECK(backend->name() == "firecracker");
  CHECK(backend->version() == "1.16.1");
  CHECK(backend->channel_style() == ChannelStyle::listen);
  CHECK(backend->opens_tap_by_name());
  CHECK(backend->overhead(Accel::kvm) == mib(64));
}

TEST_CASE("programs that are missing, too old or of two releases are refused") {
  const TempDir directory;
  const auto program = [&](const std::string& name, const std::string& answer) {
    REQUIRE(sys::write_file(directory / name, "#!/bin/sh\necho '" + answer + "'\n", 0755));
    return directory / name;
  };
  CHECK(make_firecracker("mvr-no-such", kJailer).error().code == Errc::not_found);
  CHECK(make_firecracker(kFirecracker, "mvr-no-such").error().code == Errc::not_found);
  const auto old = make_firecracker(program("f14", "Firecracker v1.14.3"), kJailer);
  CHECK(old.error().code == Errc::unsupported);
  const auto mixed = make_firecracker(kFirecracker, program("j15", "Jailer v1.15.0"));
  CHECK(mixed.error().code == Errc::unsupported);
  CHECK(mixed.error().what.find("firecracker is 1.16.1 but jailer 1.15.0") != std::string::npos);
  CHECK(make_firecracker(program("sh", "GNU bash"), kJailer).error().code == Errc::protocol);
}

TEST_CASE("the process we start becomes the VMM, and its agent comes to us") {
  Launched vm;
  const Fd channel = vm.accept();
  std::array<char, 4096> buffer{};
  const ssize_t got = ::recv(channel.get(), buffer.data(), buffer.size(), 0);
  REQUIRE(got > 0);
  CHECK(std::string(buffer.data(), static_cast<std::size_t>(got)).find("\"hello\"") !=
        std::string::npos);
  const std::string command = read("/proc/" + std::to_string(vm.process().pid()) + "/cmdline");
  CHECK(command.find(std::string("\0--config-file\0/vm.json\0", 24)) != std::string::npos);
  CHECK(vm.console() == "the guest's console\n");
}

TEST_CASE("the VMM runs as the VM's user in no group") {
  Launched vm;
  vm.accept();
  const std::string status = read("/proc/" + std::to_string(vm.process().pid()) + "/status");
  const std::string id = "\t" + std::to_string(vm.files().spec.uid);
  CHECK(status.find("\nUid:" + id + id + id + id + "\n") != std::string::npos);
  if (is_root()) CHECK(status.find("\nGroups:\t \n") != std::string::npos);
}

TEST_CASE("the agent comes again to a daemon that was restarted") {
  Launched vm;
  vm.accept();
  REQUIRE(vm.files().listener.close());
  vm.files().listen();
  REQUIRE(vm.backend().offer_channel(vm.files().spec));
  CHECK(vm.accept());
}

TEST_CASE("a request to quit reboots the guest, which ends the VMM") {
  Launched vm;
  vm.accept();
  const auto monitor = vm.attach();
  CHECK(monitor->end_reason().empty());
  monitor->request_quit();
  REQUIRE(vm.ends_within(Duration(10'000)));
  CHECK(vm.exit().ok());
  CHECK(monitor->end_reason() == "guest-reset");
}

TEST_CASE("a VMM that takes its time is waited for") {
  Launched vm("fake.slow=1500");
  CHECK(vm.backend().attach(vm.loop(), vm.files().spec.monitor_socket).error().code ==
        Errc::not_found);
  vm.accept();
  CHECK(vm.attach());
}

TEST_CASE("a VMM whose API never comes serves its agent all the same") {
  Launched vm("fake.nosocket");
  vm.accept();
  CHECK(vm.backend().attach(vm.loop(), vm.files().spec.monitor_socket).error().code ==
        Errc::not_found);
}

TEST_CASE("a VMM that refuses, is somebody else or talks nonsense is not told to quit") {
  const std::string words = GENERATE(as<std::string>{}, "fake.refuse", "fake.answer=ci-other",
                                     "fake.answer=garbage", "fake.hang");
  Launched vm(words);
  vm.accept();
  const auto monitor = vm.attach();
  monitor->request_quit();
  CHECK_FALSE(vm.ends_within(Duration(300)));
  CHECK(monitor->end_reason().empty());
}

TEST_CASE("a VMM that ended leaves a socket that nobody answers") {
  Launched vm;
  vm.accept();
  vm.attach();
  REQUIRE(vm.process().signal(SIGKILL));
  CHECK(vm.exit().signal == SIGKILL);
  CHECK(vm.backend().attach(vm.loop(), vm.files().spec.monitor_socket).error().code ==
        Errc::unavailable);
}

TEST_CASE("a VMM that fails at any step says so in its exit, its log and on the console") {
  const std::string step = GENERATE(as<std::string>{}, "start", "config", "drives", "api", "boot");
  Launched vm("fake.crash=" + step + " fake.exit=148");
  CHECK(vm.exit() == Exit{148, 0});
  CHECK(vm.console().find("Error: told to end at " + step) != std::string::npos);
  const std::string log = read(vm.files().directory / "firecracker.log");
  // Before it has read where its log is, the console is all it has.
  CHECK((log.find("exit_code=148") != std::string::npos) == (step != "start"));
}

TEST_CASE("a jailer that fails says so in its exit and on the console") {
  Launched vm("fake.jailer=3");
  CHECK(vm.exit() == Exit{3, 0});
  CHECK(vm.console() == "Error: the jailer was told to fail\n");
}

TEST_CASE("a VM can be launched again after any end") {
  Launched vm("fake.crash=boot");
  CHECK(vm.exit() == Exit{1, 0});
  vm.launch("");
  CHECK(vm.accept());
}

TEST_CASE("a launch that fails leaves nothing and names the VM") {
  JailFiles files;
  const auto backend = make_firecracker(kFirecracker, kJailer).value();
  const auto before = sys::list_directory(files.directory.path()).value();
  SECTION("a missing drive") { files.spec.drives[0].path = files.directory / "none"; }
  SECTION("no CPU") { files.spec.vcpus = 0; }
  SECTION("no KVM") { files.spec.accel = Accel::tcg; }
  SECTION("nobody who listens") { files.spec.agent_socket = files.directory / "other.sock"; }
  SECTION("nowhere for the console") { files.spec.console = files.directory / "none/console"; }
  SECTION("a kernel it cannot boot") {
    std::string image(0x300, '\0');
    image.replace(0x202, 4, "HdrS");
    files.spec.kernel = files.directory / "bzImage";
    REQUIRE(sys::write_file(files.spec.kernel, image, 0444));
    const auto process = backend->launch(files.spec);
    CHECK(process.error().code == Errc::unsupported);
    REQUIRE(sys::remove_file(files.spec.kernel));
  }
  const auto process = backend->launch(files.spec);
  REQUIRE_FALSE(process);
  CHECK(process.error().what.starts_with("launch VM ci-abcdef"));
  auto after = sys::list_directory(files.directory.path()).value();
  after.erase(std::remove(after.begin(), after.end(), "firecracker"), after.end());
  CHECK(after == before);
  CHECK_FALSE(sys::exists(files.directory / "firecracker/ci-abcdef"));
}

// The outcome of a save.
Result<void> save(Launched& vm, Monitor& monitor, const std::string& directory) {
  std::optional<Result<void>> outcome;
  monitor.save({}, directory, [&](Result<void> saved) { outcome = std::move(saved); });
  CHECK_FALSE(outcome);
  REQUIRE(run_until(vm.loop(), [&] { return outcome.has_value(); }));
  return *outcome;
}

TEST_CASE("a machine is saved, runs on, and another one begins there") {
  Launched vm;
  MachineSpec& spec = vm.files().spec;
  spec.tap_name = "mvt7";
  spec.mac = "02:6d:76:00:00:07";
  vm.accept();
  const std::string state = vm.files().directory / "state";
  REQUIRE(sys::make_directories(state));
  auto monitor = vm.attach();
  const auto saved = save(vm, *monitor, state);
  INFO((saved ? "" : saved.error().what));
  REQUIRE(saved);
  CHECK(sys::list_directory(state).value() ==
        std::vector<std::string>{"state.machine", "state.memory"});
  monitor->request_quit();
  REQUIRE(vm.ends_within(Duration(10'000)));

  spec.restore_from = state;
  spec.tap_name.clear();
  REQUIRE(sys::remove_file(spec.kernel));
  vm.launch("");
  monitor = vm.attach();
  CHECK_FALSE(*vm.process().reap());
  monitor->restore(spec);
  vm.accept();
  CHECK(sys::exists(state + "/state.memory"));
}

TEST_CASE("a state that Firecracker does not write or take is told") {
  Launched vm("fake.nosave fake.norestore");
  vm.accept();
  const std::string state = vm.files().directory / "state";
  REQUIRE(sys::make_directories(state));
  const auto monitor = vm.attach();
  CHECK(save(vm, *monitor, state).error().code == Errc::invalid);
  CHECK(sys::list_directory(state).value().empty());
}

TEST_CASE("a VMM that never began is hopeless, one that runs is left to it") {
  Launched vm;
  vm.accept();
  auto monitor = vm.attach();
  bool is_hopeless = false;
  monitor->wake([&] { is_hopeless = true; });
  CHECK_FALSE(vm.ends_within(Duration(200)));
  CHECK_FALSE(is_hopeless);
  REQUIRE(vm.process().signal(SIGKILL));
  (void)vm.exit();

  MachineSpec& spec = vm.files().spec;
  spec.restore_from = vm.files().directory.path();
  for (const char* name : {"state.machine", "state.memory"}) {
    REQUIRE(sys::write_file(vm.files().directory / name, "x", 0444));
  }
  vm.launch("");
  monitor = vm.attach();
  monitor->wake([&] { is_hopeless = true; });
  CHECK(run_until(vm.loop(), [&] { return is_hopeless; }));
}

}  // namespace
}  // namespace mvr::vmm
