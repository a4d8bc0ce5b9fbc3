#include "vmm/accel_cache.h"

#include "catch.h"
#include "fixture.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

std::string only_file(const std::string& directory) {
  return directory + "/" + sys::list_directory(directory).value().at(0);
}

TEST_CASE("the answer that KVM works outlives a boot of the host") {
  const TempDir directory;
  const std::string cache = directory / "accel";
  REQUIRE(remember_accel(cache, "key", "boot-1", ProbeResult{Accel::kvm, "", false}));
  const auto found = cached_accel(cache, "key", "boot-2");
  REQUIRE(found);
  CHECK(found->accel == Accel::kvm);
  CHECK(found->reason.empty());
  CHECK(found->from_cache);
}

TEST_CASE("the answer that KVM fails keeps its reason until the host boots again") {
  const TempDir directory;
  const std::string cache = directory / "accel";
  REQUIRE(remember_accel(cache, "key", "boot-1", ProbeResult{Accel::tcg, "no \"VMX\"", false}));
  const auto found = cached_accel(cache, "key", "boot-1");
  REQUIRE(found);
  CHECK(found->accel == Accel::tcg);
  CHECK(found->reason == "no \"VMX\"");
  CHECK_FALSE(cached_accel(cache, "key", "boot-2"));
}

TEST_CASE("another key has no answer") {
  const TempDir directory;
  const std::string cache = directory / "accel";
  REQUIRE(remember_accel(cache, "key", "boot", ProbeResult{Accel::kvm, "", false}));
  CHECK_FALSE(cached_accel(cache, "key2", "boot"));
}

TEST_CASE("a file under another key's name is no answer") {
  const TempDir directory;
  REQUIRE(remember_accel(directory / "a", "key", "boot", ProbeResult{Accel::kvm, "", false}));
  REQUIRE(remember_accel(directory / "b", "other", "boot", ProbeResult{Accel::kvm, "", false}));
  const std::string stolen = sys::read_file(only_file(directory / "b")).value();
  REQUIRE(sys::write_file(only_file(directory / "a"), stolen));
  CHECK_FALSE(cached_accel(directory / "a", "key", "boot"));
}

TEST_CASE("a damaged cache is no answer") {
  const TempDir directory;
  const std::string cache = directory / "accel";
  REQUIRE(remember_accel(cache, "key", "boot", ProbeResult{Accel::tcg, "why", false}));
  const std::string whole = sys::read_file(only_file(cache)).value();
  for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
    REQUIRE(sys::write_file(only_file(cache), whole.substr(0, length)));
    REQUIRE_FALSE(cached_accel(cache, "key", "boot"));
  }
  for (const char* text :
       {"[]", "7", R"({"schema":1})", R"({"schema":"1","key":"key"})",
        R"({"schema":1,"key":"key","accel":"warp","boot_id":"boot"})",
        R"({"schema":2,"key":"key","accel":"kvm"})", R"({"schema":1,"key":7,"accel":"kvm"})"}) {
    REQUIRE(sys::write_file(only_file(cache), text));
    CHECK_FALSE(cached_accel(cache, "key", "boot"));
  }
}

TEST_CASE("the CPU model is the first one listed") {
  CHECK(cpu_model("processor\t: 0\nmodel\t\t: 106\nmodel name\t: Xeon 8\nmodel name\t: Other\n") ==
        "Xeon 8");
  CHECK(cpu_model("").empty());
  CHECK(cpu_model("model name\n").empty());
}

TEST_CASE("a new kernel, QEMU, host kernel or user is a new question") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 1")).value();
  ProbeInput input;
  input.backend = qemu.get();
  input.kernel_id = "sha256:1";
  const std::string key = accel_key(input, "6.1", "Xeon");
  CHECK(key.find("7.2.9") != std::string::npos);
  CHECK(accel_key(input, "6.2", "Xeon") != key);
  CHECK(accel_key(input, "6.1", "EPYC") != key);
  input.uid = 1000;
  CHECK(accel_key(input, "6.1", "Xeon") != key);
  input.uid = 0;
  input.kernel_id = "sha256:2";
  CHECK(accel_key(input, "6.1", "Xeon") != key);
}

}  // namespace
}  // namespace mvr::vmm
