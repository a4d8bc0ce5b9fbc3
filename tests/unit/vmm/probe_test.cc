#include "vmm/probe.h"

#include <signal.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "catch.h"
#include "firecracker_fixture.h"
#include "vmm/firecracker.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

// A VMM in perl: accepts on the agent's socket (descriptor 4) and writes `bytes` there. The socket
// is nonblocking: a VMM that is faster than its host asks again.
std::string answering(const std::string& bytes) {
  return "exec perl -e 'open(my $l, \"+<&=\", 4); my $c; until (accept($c, $l)) "
         "{ select(undef, undef, undef, 0.01) } syswrite($c, \"" +
         bytes + "\"); sleep 60'";
}

constexpr const char* kHello =
    R"(\x1e{\"v\":1,\"type\":\"hello\",\"agent_version\":\"0.1.0\",\"kernel\":\"6.1\",\"boot_ms\":900}\n)";

// A host whose KVM is what the fake makes of it. The device is a file that always opens.
class Host {
 public:
  explicit Host(const std::string& body)
      : qemu_(make_qemu(fake_qemu(directory_, "echo $$ >>" + (directory_ / "pids") + "\n" + body))
                  .value()) {
    const MachineSpec spec = launchable_spec(directory_);
    (void)sys::write_file(directory_ / "kvm", "");
    input_.backend = qemu_.get();
    input_.kernel = spec.kernel;
    input_.kernel_id = "sha256:1";
    input_.initramfs = spec.initramfs;
    input_.work_dir = directory_ / "probe";
    input_.cache_dir = directory_ / "accel";
    input_.kvm_device = directory_ / "kvm";
  }
  ProbeInput& input() { return input_; }
  Result<ProbeResult> probe() { return probe_accel(input_); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }

  [[nodiscard]] std::vector<pid_t> started() const {
    std::vector<pid_t> pids;
    const std::string text = sys::read_file(directory_ / "pids").value_or("");
    for (const std::string_view line : split(text, '\n')) {
      if (const auto pid = parse_u64(line)) pids.push_back(static_cast<pid_t>(*pid));
    }
    return pids;
  }
  [[nodiscard]] bool is_clean() const {
    for (const pid_t pid : started()) {
      if (::kill(pid, 0) == 0 || errno != ESRCH) return false;
    }
    return !sys::exists(directory_ / "probe");
  }

 private:
  TempDir directory_;
  std::unique_ptr<Backend> qemu_;
  ProbeInput input_;
};

TEST_CASE("KVM is chosen when the agent says hello, and the VM is gone afterwards") {
  Host host(answering(kHello));
  const auto result = host.probe().value();
  CHECK(result.reason == "");
  CHECK(result.accel == Accel::kvm);
  CHECK_FALSE(result.from_cache);
  CHECK(host.is_clean());
}

TEST_CASE("an agent that comes to us is heard as well") {
  const JailFiles files;
  const std::string fakes = MVR_SOURCE_DIR "/tests/fakes/vmm/";
  const auto backend = make_firecracker(fakes + "firecracker", fakes + "jailer").value();
  ProbeInput input;
  input.backend = backend.get();
  input.kernel = files.spec.kernel;
  input.initramfs = files.spec.initramfs;
  input.work_dir = files.directory / "probe";
  input.cache_dir = files.directory / "accel";
  input.kvm_device = files.spec.kernel;  // a file that always opens
  input.uid = files.spec.uid;
  SECTION("and KVM is chosen") {
    const auto result = probe_accel(input).value();
    CHECK(result.reason == "");
    CHECK(result.accel == Accel::kvm);
  }
  SECTION("and a VM that cannot be launched is a reason") {
    input.uid = 0;
    const auto result = probe_accel(input).value();
    CHECK(result.reason.find("Firecracker needs a user of its own") != std::string::npos);
    CHECK(result.accel == Accel::tcg);
  }
  CHECK_FALSE(sys::exists(input.work_dir));
}

TEST_CASE("the second probe of the same host boots nothing") {
  Host host(answering(kHello));
  REQUIRE(host.probe());
  const auto again = host.probe().value();
  CHECK(again.accel == Accel::kvm);
  CHECK(again.from_cache);
  CHECK(host.started().size() == 1);
}

TEST_CASE("another kernel is probed anew") {
  Host host(answering(kHello));
  REQUIRE(host.probe());
  host.input().kernel_id = "sha256:2";
  CHECK_FALSE(host.probe().value().from_cache);
  CHECK(host.started().size() == 2);
}

TEST_CASE("a VMM that ends says why in the reason") {
  Host host("echo 'failed to set MSR 0x480' >&2; exit 1");
  const auto result = host.probe().value();
  CHECK(result.accel == Accel::tcg);
  CHECK(result.reason == "the VMM ended (exit 1): failed to set MSR 0x480");
  CHECK(host.is_clean());
}

TEST_CASE("a guest that says nothing is killed at the deadline") {
  Host host("exec sleep 60");
  host.input().deadline = Duration(200);
  const auto result = host.probe().value();
  CHECK(result.accel == Accel::tcg);
  CHECK(result.reason == "the agent did not say hello within 200ms");
  CHECK(host.is_clean());
}

TEST_CASE("a failure is remembered for this boot of the host") {
  Host host("exit 1");
  REQUIRE(host.probe());
  const auto again = host.probe().value();
  CHECK(again.accel == Accel::tcg);
  CHECK(again.from_cache);
  CHECK(again.reason == "the VMM ended (exit 1)");
}

TEST_CASE("a guest that talks nonsense is not KVM that works") {
  Host host(answering(R"(\x1e{\"v\":1,\"type\":\"bye\"}\n)"));
  const auto result = host.probe().value();
  CHECK(result.accel == Accel::tcg);
  CHECK(result.reason.substr(0, 18) == "the channel failed");
  CHECK(host.is_clean());
}

TEST_CASE("without the device there is no boot and no cache") {
  Host host(answering(kHello));
  host.input().kvm_device = host.path("none");
  const auto result = host.probe().value();
  CHECK(result.accel == Accel::tcg);
  CHECK(result.reason == host.path("none") + ": No such file or directory");
  CHECK(host.started().empty());
  CHECK_FALSE(sys::exists(host.path("accel")));
}

TEST_CASE("a cache that cannot be written does not spoil the answer") {
  Host host(answering(kHello));
  REQUIRE(sys::write_file(host.path("accel"), "in the way"));
  CHECK(host.probe().value().accel == Accel::kvm);
}

TEST_CASE("a missing kernel is an error, not an answer") {
  Host host(answering(kHello));
  host.input().kernel = host.path("none");
  CHECK(host.probe().error().code == Errc::not_found);
  CHECK_FALSE(sys::exists(host.path("accel")));
}

}  // namespace
}  // namespace mvr::vmm
