// Prints every document and call that we send to Firecracker, as one JSON array, for the contract
// test: [{"name", "document"} | {"method", "path", "body"}].
#include <cstdio>

#include <nlohmann/json.hpp>

#include "vmm/firecracker_api.h"
#include "vmm/firecracker_config.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::json;

MachineSpec plain() {
  MachineSpec spec;
  spec.name = "ci-abcdef";
  spec.memory = mib(512);
  spec.accel = Accel::kvm;
  return spec;
}

// With all that a document can have.
MachineSpec full() {
  const TokenBucket bucket{1'000'000, 5'000, Duration(1'000)};
  MachineSpec spec = plain();
  spec.command_line = "mvr.hostname=ci-abcdef";
  spec.vcpus = 32;
  spec.drives = {{"base", "/b", true}, {"scratch", "/s", false}, {"tools", "/t", true}};
  spec.drives[1].rate = {bucket, bucket};
  spec.mac = "02:6d:76:00:00:07";
  spec.tap_name = "mvt7";
  spec.receive = {bucket, bucket};
  spec.transmit = {bucket, bucket};
  spec.huge_pages = HugePages::reserved;
  return spec;
}

Json document(const char* name, const MachineSpec& spec, const FirecrackerVersion& version,
              Arch arch) {
  const auto text = firecracker_config(spec, version, arch);
  if (text) return {{"name", name}, {"document", Json::parse(*text)}};
  return {{"name", name}, {"error", text.error().what}};
}

Json call(const sys::HttpRequest& request) {
  constexpr std::size_t kHost = std::string_view("http://localhost").size();
  Json json{{"method", request.method}, {"path", request.url.substr(kHost)}};
  if (!request.body.empty()) json["body"] = Json::parse(request.body);
  return json;
}

int print_calls() {
  MachineSpec threads = full();
  threads.smt = true;
  threads.huge_pages = HugePages::transparent;
  const Json calls{document("plain", plain(), {1, 15, 0}, Arch::x86_64),
                   document("full", full(), {1, 16, 1}, Arch::x86_64),
                   document("threads", threads, {1, 17, 0}, Arch::x86_64),
                   document("arm64", full(), {1, 16, 1}, Arch::arm64),
                   call(describe_request()),
                   call(quit_request()),
                   call(pause_request()),
                   call(save_request()),
                   call(resume_request()),
                   call(load_request(full()))};
  return std::puts(calls.dump(1).c_str()) < 0 ? 1 : 0;
}

}  // namespace
}  // namespace mvr::vmm

int main() { return mvr::vmm::print_calls(); }
