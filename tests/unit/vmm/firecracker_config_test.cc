#include "vmm/firecracker_config.h"

#include <nlohmann/json.hpp>

#include "catch.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::json;

constexpr FirecrackerVersion kVersion{1, 16, 1};

MachineSpec example() {
  MachineSpec spec;
  spec.name = "ci-abcdef";
  spec.kernel = "/k/vmlinux";
  spec.initramfs = "/k/initramfs";
  spec.command_line = "mvr.hostname=ci-abcdef";
  spec.vcpus = 2;
  spec.memory = gib(4);
  spec.drives = {{"base", "/i/rootfs.ext4", true}, {"scratch", "/v/7/scratch.ext4", false}};
  spec.mac = "02:6d:76:00:00:07";
  spec.tap_name = "mvt7";
  spec.accel = Accel::kvm;
  return spec;
}

Json document(const MachineSpec& spec, const FirecrackerVersion& version = kVersion,
              Arch arch = Arch::x86_64) {
  const auto text = firecracker_config(spec, version, arch);
  INFO((text ? "" : text.error().what));
  REQUIRE(text);
  return Json::parse(*text);
}

Error refused(const MachineSpec& spec, const FirecrackerVersion& version = kVersion,
              Arch arch = Arch::x86_64) {
  const auto text = firecracker_config(spec, version, arch);
  REQUIRE_FALSE(text);
  return text.error();
}

TEST_CASE("a machine is one document, with paths as the VMM sees them") {
  CHECK(document(example()) == Json::parse(R"({
    "boot-source": {
      "kernel_image_path": "/kernel", "initrd_path": "/initramfs",
      "boot_args": "console=ttyS0 8250.nr_uarts=1 reboot=k i8042.noaux i8042.nomux i8042.dumbkbd quiet panic=-1 swiotlb=noforce random.trust_cpu=on cryptomgr.notests mvr.drives=base,scratch mvr.hostname=ci-abcdef"
    },
    "drives": [
      {"drive_id": "base", "path_on_host": "/drive-base", "is_root_device": false,
       "is_read_only": true, "cache_type": "Unsafe", "io_engine": "Sync"},
      {"drive_id": "scratch", "path_on_host": "/drive-scratch", "is_root_device": false,
       "is_read_only": false, "cache_type": "Unsafe", "io_engine": "Sync"}
    ],
    "network-interfaces": [
      {"iface_id": "eth0", "host_dev_name": "mvt7", "guest_mac": "02:6d:76:00:00:07"}
    ],
    "machine-config": {"vcpu_count": 2, "mem_size_mib": 4096, "smt": false,
                       "track_dirty_pages": false, "huge_pages": "None"},
    "vsock": {"guest_cid": 3, "uds_path": "/run/vsock.sock"},
    "entropy": {},
    "balloon": {"amount_mib": 0, "deflate_on_oom": true, "stats_polling_interval_s": 0,
                "free_page_reporting": true},
    "logger": {"log_path": "/run/firecracker.log", "level": "Info", "show_level": true},
    "metrics": {"metrics_path": "/run/metrics.log"}
  })"));
}

TEST_CASE("arm64 has no keyboard controller to reboot by") {
  const Json json = document(example(), kVersion, Arch::arm64);
  CHECK(json["boot-source"]["boot_args"] ==
        "console=ttyS0 keep_bootcon quiet panic=-1 swiotlb=noforce random.trust_cpu=on "
        "cryptomgr.notests mvr.drives=base,scratch mvr.hostname=ci-abcdef");
}

TEST_CASE("a machine without drives says nothing of them to its agent") {
  MachineSpec spec = example();
  spec.drives.clear();
  CHECK(document(spec)["drives"] == Json::array());
  CHECK(firecracker_boot_words(spec, Arch::x86_64).find("mvr.") == std::string::npos);
}

TEST_CASE("limits of the scratch and of the network are token buckets") {
  MachineSpec spec = example();
  spec.drives[1].rate = {TokenBucket{100, 50, Duration(1'000)}, TokenBucket{10, 0, Duration(200)}};
  spec.receive.bytes = TokenBucket{7, 0, Duration(1'000)};
  spec.transmit.operations = TokenBucket{8, 9, Duration(1'000)};
  const Json json = document(spec);
  CHECK(json["drives"][1]["rate_limiter"] == Json::parse(R"({
    "bandwidth": {"size": 100, "one_time_burst": 50, "refill_time": 1000},
    "ops": {"size": 10, "refill_time": 200}})"));
  CHECK_FALSE(json["drives"][0].contains("rate_limiter"));
  CHECK(json["network-interfaces"][0]["rx_rate_limiter"] ==
        Json::parse(R"({"bandwidth": {"size": 7, "refill_time": 1000}})"));
  CHECK(json["network-interfaces"][0]["tx_rate_limiter"] ==
        Json::parse(R"({"ops": {"size": 8, "one_time_burst": 9, "refill_time": 1000}})"));
}

TEST_CASE("a machine without a tap has no network interface") {
  MachineSpec spec = example();
  spec.tap_name.clear();
  spec.mac.clear();
  CHECK(document(spec)["network-interfaces"] == Json::array());
}

TEST_CASE("threads and huge pages are passed on where they exist") {
  MachineSpec spec = example();
  spec.smt = true;
  spec.huge_pages = HugePages::reserved;
  CHECK(document(spec)["machine-config"]["smt"] == true);
  CHECK(document(spec)["machine-config"]["huge_pages"] == "2M");
  CHECK(refused(spec, kVersion, Arch::arm64).code == Errc::unsupported);
  spec.huge_pages = HugePages::transparent;
  CHECK(refused(spec).code == Errc::unsupported);
  CHECK(document(spec, {1, 17, 0})["machine-config"]["huge_pages"] == "Transparent");
}

TEST_CASE("what Firecracker would not do as asked is refused") {
  MachineSpec spec = example();
  SECTION("no CPU") { spec.vcpus = 0; }
  SECTION("too many CPUs") { spec.vcpus = 33; }
  SECTION("half a pair of threads") {
    spec.smt = true;
    spec.vcpus = 3;
  }
  SECTION("too little memory") { spec.memory = mib(63); }
  SECTION("part of a MiB") { spec.memory = Bytes{mib(512).value + 1}; }
  SECTION("half a huge page") {
    spec.huge_pages = HugePages::reserved;
    spec.memory = mib(513);
  }
  SECTION("a drive's name that is a path") { spec.drives[0].serial = "../base"; }
  SECTION("a drive without a name") { spec.drives[0].serial = ""; }
  SECTION("two drives of one name") { spec.drives[1].serial = "base"; }
  SECTION("more drives than devices") {
    for (int i = 0; i < 12; ++i) spec.drives.push_back({"d" + std::to_string(i), "/d", true});
  }
  SECTION("a bucket that is no limit") { spec.receive.bytes = TokenBucket{0, 5, Duration(1)}; }
  SECTION("a bucket that never refills") {
    spec.drives[1].rate.operations = TokenBucket{1, 0, Duration(0)};
  }
  SECTION("an interface's name that is too long") { spec.tap_name = "sixteen-bytes-xx"; }
  SECTION("an interface's name that is no text") { spec.tap_name = "t\xff"; }
  SECTION("no MAC address") { spec.mac = "02:6d:76:00:00"; }
  SECTION("a MAC address with a stranger in it") { spec.mac = "02:6d:76:00:00:0g"; }
  SECTION("a line break for the kernel") { spec.command_line = "a\nb"; }
  SECTION("other than ASCII for the kernel") { spec.command_line = "\xc3\xa9"; }
  SECTION("too much for the kernel") { spec.command_line = std::string(1'900, 'x'); }
  CHECK(refused(spec).code == Errc::invalid);
}

TEST_CASE("the kernel's command line may fill what Firecracker's own words leave") {
  MachineSpec spec = example();
  spec.command_line.clear();
  const std::size_t own = firecracker_boot_words(spec, Arch::x86_64).size();
  const std::size_t devices = 6 * 48;  // two drives, network, vsock, entropy, balloon
  spec.command_line = std::string(2'047 - devices - own - 1, 'x');
  CHECK(document(spec)["boot-source"]["boot_args"].get<std::string>().size() == 2'047 - devices);
  spec.command_line += 'x';
  CHECK(refused(spec).what.find("at most 1759") != std::string::npos);
}

TEST_CASE("Firecracker does not emulate") {
  MachineSpec spec = example();
  spec.accel = Accel::tcg;
  CHECK(refused(spec).code == Errc::unsupported);
}

TEST_CASE("releases from 1.15 on are supported, another major one is not") {
  CHECK(check_firecracker_version({1, 15, 0}));
  CHECK(check_firecracker_version({1, 99, 3}));
  CHECK(check_firecracker_version({1, 14, 9}).error().code == Errc::unsupported);
  CHECK(check_firecracker_version({0, 25, 0}).error().code == Errc::unsupported);
  CHECK(check_firecracker_version({2, 0, 0}).error().code == Errc::unsupported);
  CHECK(refused(example(), {1, 14, 1}).code == Errc::unsupported);
}

TEST_CASE("features come with releases") {
  CHECK_FALSE(firecracker_features({1, 13, 1}).page_reporting);
  CHECK(firecracker_features({1, 15, 0}).page_reporting);
  CHECK_FALSE(firecracker_features({1, 16, 9}).compressed_kernel);
  CHECK(firecracker_features({1, 17, 0}).compressed_kernel);
}

TEST_CASE("the version is in the first line of either program's answer") {
  CHECK(parse_firecracker_version("Firecracker", "Firecracker v1.16.1\n\n2026-08-01T exit_code=0")
            .value() == kVersion);
  CHECK(parse_firecracker_version("Jailer", "Jailer v1.17.0-dev\n").value().to_text() == "1.17.0");
}

TEST_CASE("what is not the program's answer has no version") {
  const std::string text = GENERATE(
      as<std::string>{}, "", "Firecracker v", "Firecracker v1.16", "Firecracker v1..16",
      "Firecracker v1.16.99999", "Firecracker v1.2.3.4", "Jailer v1.16.1", "firecracker v1.16.1");
  CHECK(parse_firecracker_version("Firecracker", text).error().code == Errc::protocol);
}

TEST_CASE("which machines can be saved") {
  MachineSpec spec;
  CHECK(check_saved_states(spec, {1, 16, 0}));
  CHECK(check_saved_states(spec, {1, 15, 9}).error().code == Errc::unsupported);
  spec.huge_pages = HugePages::transparent;
  CHECK(check_saved_states(spec, {1, 17, 0}));
  spec.huge_pages = HugePages::reserved;
  CHECK(check_saved_states(spec, {1, 17, 0}).error().code == Errc::unsupported);
}

}  // namespace
}  // namespace mvr::vmm
