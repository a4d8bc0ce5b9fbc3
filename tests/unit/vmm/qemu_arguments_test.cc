#include <algorithm>

#include "catch.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

MachineSpec example() {
  MachineSpec spec;
  spec.name = "mv-ci-7";
  spec.kernel = "/k/vmlinuz";
  spec.initramfs = "/k/initramfs";
  spec.command_line = "mvr.hostname=mv-ci-7";
  spec.vcpus = 2;
  spec.memory = gib(4);
  spec.drives = {{"base", "/i/rootfs.ext4", true}, {"scratch", "/v/7/scratch", false}};
  spec.mac = "06:00:00:00:00:07";
  spec.tap_fd = 12;
  return spec;
}

std::vector<std::string> arguments(const MachineSpec& spec) {
  return qemu_arguments(spec, "qemu-system-x86_64", QemuFds{}, {2'600'000, false});
}

// All values of an option, in order.
std::vector<std::string> values(const std::vector<std::string>& words, const std::string& option) {
  std::vector<std::string> found;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == option) found.push_back(words[i + 1]);
  }
  return found;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool any_contains(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return contains(text, part); });
}

TEST_CASE("the binary comes first and sizes are passed in MiB") {
  const auto words = arguments(example());
  CHECK(words.front() == "qemu-system-x86_64");
  CHECK(values(words, "-m") == std::vector<std::string>{"4096"});
  CHECK(values(words, "-smp") == std::vector<std::string>{"2"});
}

TEST_CASE("emulation gets the TSC frequency, a bounded code cache and no KVM") {
  const auto words = arguments(example());
  const std::string append = values(words, "-append").at(0);
  CHECK(contains(append, "tsc_early_khz=2600000 tsc=reliable"));
  CHECK(values(words, "-accel") == std::vector<std::string>{"tcg,thread=multi,tb-size=128"});
  CHECK(values(words, "-cpu") == std::vector<std::string>{"max"});
}

TEST_CASE("KVM gets the host's CPU and finds out about its clock itself") {
  MachineSpec spec = example();
  spec.accel = Accel::kvm;
  const auto words = arguments(spec);
  CHECK_FALSE(contains(values(words, "-append").at(0), "tsc"));
  CHECK(values(words, "-accel") == std::vector<std::string>{"kvm"});
  CHECK(values(words, "-cpu") == std::vector<std::string>{"host"});
}

TEST_CASE("threads of one core are shown in pairs when the spec says so") {
  MachineSpec spec = example();
  spec.smt = true;
  CHECK(values(arguments(spec), "-smp") == std::vector<std::string>{"2,threads=2"});
  const auto cpu = [&](bool is_amd) {
    return values(qemu_arguments(spec, "q", QemuFds{}, {0, is_amd}), "-cpu").at(0);
  };
  CHECK(cpu(true) == "max,vendor=GenuineIntel");
  spec.accel = Accel::kvm;
  CHECK(cpu(true) == "host,topoext=on");
  CHECK(cpu(false) == "host");
}

TEST_CASE("pages of the host's pool are a file in memory; others need no word") {
  MachineSpec spec = example();
  spec.huge_pages = HugePages::transparent;
  CHECK_FALSE(any_contains(arguments(spec), "memory-backend"));
  spec.huge_pages = HugePages::reserved;
  const auto words = arguments(spec);
  CHECK(contains(values(words, "-M").at(0), ",memory-backend=ram"));
  CHECK(values(words, "-object").at(0) ==
        "memory-backend-memfd,id=ram,size=4096M,share=on,hugetlb=on,hugetlbsize=2M");
}

TEST_CASE("a drive with rates is throttled by a node above it") {
  MachineSpec spec = example();
  spec.drives[1].rate.bytes = TokenBucket{1000, 0, Duration(500)};
  spec.drives[1].rate.operations = TokenBucket{70};
  const auto words = arguments(spec);
  CHECK(values(words, "-object").at(0) ==
        R"({"id":"rate-scratch","limits":{"bps-total":2000,"iops-total":70},)"
        R"("qom-type":"throttle-group"})");
  CHECK(values(words, "-blockdev").at(2) ==
        "driver=throttle,node-name=scratch-limited,throttle-group=rate-scratch,file=scratch");
  CHECK(any_contains(values(words, "-device"), "drive=scratch-limited,serial=scratch"));
  CHECK(any_contains(values(words, "-device"), "drive=base,serial=base"));
}

TEST_CASE("an unknown TSC frequency is left out") {
  const auto words = qemu_arguments(example(), "q", QemuFds{}, {});
  CHECK_FALSE(contains(values(words, "-append").at(0), "tsc"));
}

TEST_CASE("the caller's words end the kernel command line") {
  const std::string append = values(arguments(example()), "-append").at(0);
  CHECK(append.substr(append.size() - 21) == " mvr.hostname=mv-ci-7");
  CHECK(contains(append, "reboot=t panic=-1"));
}

TEST_CASE("a shared drive is read-only and unlocked, the scratch gives space back") {
  const auto blocks = values(arguments(example()), "-blockdev");
  REQUIRE(blocks.size() == 2);
  CHECK(contains(blocks[0], "node-name=base,read-only=on,file.locking=off"));
  CHECK(contains(blocks[0], "file.filename=/i/rootfs.ext4"));
  CHECK(contains(blocks[1], "node-name=scratch,discard=unmap"));
  CHECK_FALSE(contains(blocks[1], "read-only"));
}

TEST_CASE("the guest finds its drives by serial") {
  const auto devices = values(arguments(example()), "-device");
  CHECK(any_contains(devices, "virtio-blk-device,drive=base,serial=base"));
  CHECK(any_contains(devices, "virtio-blk-device,drive=scratch,serial=scratch"));
}

TEST_CASE("a comma in a path does not start another property") {
  MachineSpec spec = example();
  spec.drives = {{"base", "/i/a,read-only=off", true}};
  const auto blocks = values(arguments(spec), "-blockdev");
  CHECK(contains(blocks.at(0), "file.filename=/i/a,,read-only=off"));
}

TEST_CASE("the tap is used by number, and only when there is one") {
  MachineSpec spec = example();
  CHECK(values(arguments(spec), "-netdev").at(0) == "tap,id=net0,fd=3,vhost=off");
  CHECK(any_contains(values(arguments(spec), "-device"), "mac=06:00:00:00:00:07"));
  spec.tap_fd = -1;
  CHECK(values(arguments(spec), "-netdev").empty());
  CHECK_FALSE(any_contains(values(arguments(spec), "-device"), "virtio-net"));
}

TEST_CASE("the agent's port has the name the agent looks for") {
  const auto words = arguments(example());
  CHECK(any_contains(values(words, "-device"), "name=dev.mvrunner.agent.0"));
  CHECK(any_contains(values(words, "-chardev"), "id=agent,fd=4,server=on,wait=off"));
}

TEST_CASE("the console appends, so that emptying the file bounds it") {
  const auto words = arguments(example());
  CHECK(values(words, "-add-fd") == std::vector<std::string>{"fd=6,set=1"});
  CHECK(any_contains(values(words, "-chardev"), "id=console,path=/dev/fdset/1,append=on"));
}

TEST_CASE("the VMM is confined and never restarts a guest") {
  const auto words = arguments(example());
  CHECK(std::find(words.begin(), words.end(), "-no-reboot") != words.end());
  CHECK(values(words, "-sandbox").at(0) ==
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

TEST_CASE("a version is read from the first line of QEMU's answer") {
  CHECK(parse_qemu_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright")
            .value() == "7.2.22");
  CHECK(parse_qemu_version("QEMU emulator version 10.0.2").value() == "10.0.2");
  CHECK(parse_qemu_version("QEMU emulator version 9.2.50-rc1 (v9)").value() == "9.2.50");
}

TEST_CASE("what is not QEMU's answer has no version") {
  const std::string text =
      GENERATE(as<std::string>{}, "", "QEMU emulator version ", "QEMU emulator version 7",
               "QEMU emulator version 7..2", "QEMU emulator version 7.99999", "bash 5.2.15");
  CHECK(parse_qemu_version(text).error().code == Errc::protocol);
}

TEST_CASE("the TSC frequency is measured the same twice") {
  const std::uint64_t first = measure_tsc_khz();
  const std::uint64_t second = measure_tsc_khz();
  REQUIRE(first > 100'000);
  const std::uint64_t difference = first > second ? first - second : second - first;
  CHECK(difference * 10'000 < first);
}

TEST_CASE("a machine that is to be saved shares its memory, one that begins there has its own") {
  MachineSpec spec = example();
  const auto object = [&](const std::string& share) {
    return "memory-backend-file,id=ram,size=" + std::to_string(spec.memory.value >> 20U) +
           "M,share=" + share + ",mem-path=/proc/self/fd/8";
  };
  CHECK(values(arguments(spec), "-incoming").empty());
  CHECK(values(arguments(spec), "-M").at(0).find("memory-backend") == std::string::npos);
  spec.memory_fd = 20;
  spec.may_be_saved = true;
  CHECK(values(arguments(spec), "-object").at(0) == object("on"));
  CHECK(values(arguments(spec), "-M").at(0).ends_with(",memory-backend=ram"));
  spec.may_be_saved = false;
  spec.restore_from = "/s/saved/1";
  CHECK(values(arguments(spec), "-object").at(0) == object("off"));
  CHECK(values(arguments(spec), "-M").at(0).ends_with(",memory-backend=ram"));
  CHECK(values(arguments(spec), "-incoming") == std::vector<std::string>{"defer"});
}

}  // namespace
}  // namespace mvr::vmm
