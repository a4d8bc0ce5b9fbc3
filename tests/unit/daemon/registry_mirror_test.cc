// The real docker-registry under RegistryMirror, and another one as its upstream. All of 127/8 is
// this host: the addresses that are the VMs' uplink elsewhere need no interface here.
#include "daemon/registry_mirror.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "catch.h"
#include "daemon/journal.h"
#include "sys/files.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kLayer = 3'000'000;

struct Image {
  std::string manifest;  // digests, without "sha256:"
  std::string layer;
};

// The store of a registry with the image library/hello:latest in it.
Image make_store(const std::string& root) {
  const std::string v2 = root + "/docker/registry/v2/";
  const std::string repository = v2 + "repositories/library/hello/";
  const auto write = [](const std::string& path, const std::string& text) {
    REQUIRE(sys::make_directories(path.substr(0, path.rfind('/'))));
    REQUIRE(sys::write_file(path, text));
  };
  const auto add = [&](const std::string& data, const std::string& kind) {
    write(root + "/draft", data);
    const std::string digest = sys::sha256_file(root + "/draft");
    write(v2 + "blobs/sha256/" + digest.substr(0, 2) + "/" + digest + "/data", data);
    write(repository + kind + "/sha256/" + digest + "/link", "sha256:" + digest);
    return digest;
  };
  const std::string config = R"({"architecture":"amd64","os":"linux","config":{}})";
  Image image;
  image.layer = add(std::string(kLayer, 'x'), "_layers");
  const auto part = [](const char* type, const std::string& digest, std::size_t size) {
    return std::string(R"({"mediaType":"application/vnd.oci.image.)") + type +
           R"(","digest":"sha256:)" + digest + R"(","size":)" + std::to_string(size) + "}";
  };
  image.manifest = add(R"({"schemaVersion":2,)"
                       R"("mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
                           part("config.v1+json", add(config, "_layers"), config.size()) +
                           R"(,"layers":[)" + part("layer.v1.tar", image.layer, kLayer) + "]}",
                       "_manifests/revisions");
  write(repository + "_manifests/tags/latest/current/link", "sha256:" + image.manifest);
  return image;
}

class Bench {
 public:
  Bench() {
    auto loop = sys::Loop::create();
    REQUIRE(loop);
    loop_ = std::move(*loop);
    auto client = sys::HttpClient::create(*loop_, "test");
    REQUIRE(client);
    client_ = std::move(*client);
    REQUIRE(::chmod(directory_.path().c_str(), 0755) == 0);  // for the registry's own user
    image = make_store(directory_ / "upstream");
    // No other run of the tests has it: a process is numbered below 2^22.
    const auto number = static_cast<unsigned>(::getpid());
    prefix_ = "127." + std::to_string(64 + number / 65536 % 64) + "." +
              std::to_string(number / 256 % 256) + ".";
    config.state_dir = directory_ / "state";
    config.network.subnet = prefix_ + "0/24";
    config.vmm.uid_base = 2'000'000;
    config.registry_mirror = {true, "http://" + prefix_ + "1:5000", "", "", gib(1)};
  }
  ~Bench() {
    mirror.reset();  // before the loop it is watched by
    if (!upstream_) return;
    (void)upstream_.signal(SIGKILL);  // the next one wants its address
    (void)upstream_.wait(Duration{10'000});
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  Bench(Bench&&) = delete;
  Bench& operator=(Bench&&) = delete;
  void start_upstream() {
    const std::string settings = directory_ / "upstream.json";
    REQUIRE(
        sys::write_file(settings, R"({"version":"0.1","storage":{"filesystem":{"rootdirectory":")" +
                                      (directory_ / "upstream") + R"("}},"http":{"addr":")" +
                                      prefix_ + R"(1:5000"}})"));
    sys::SpawnOptions options;
    options.argv = {"docker-registry", "serve", settings};
    options.die_with_parent = true;
    auto started = sys::Process::spawn(options);
    REQUIRE(started);
    upstream_ = std::move(*started);
    wait("the upstream answers", [this] { return get(prefix_ + "1:5000", "/v2/") == 200; });
  }
  void stop_upstream() {
    REQUIRE(upstream_.signal(SIGKILL));
    REQUIRE(upstream_.wait(Duration{10'000}));
  }
  void start_mirror() {
    REQUIRE(sys::make_directories(config.state_dir));
    auto started = RegistryMirror::start(*loop_, config);
    REQUIRE(started);
    mirror = std::move(*started);
  }
  void wait_up() {
    wait("the mirror is up", [this] { return mirror->state().up; });
  }
  void wait(const std::string& what, const std::function<bool()>& done) {
    INFO(what);
    const Instant end = loop_->now() + Duration{60'000};
    while (!done()) {
      REQUIRE(loop_->now() < end);
      REQUIRE(loop_->run_once(Duration{100}));
    }
  }
  // The status of a GET; 0: nobody is there. The length of the body is in `length`.
  int get(const std::string& address, const std::string& path, const std::string& method = "GET") {
    std::optional<int> status;
    sys::HttpRequest request;
    request.method = method;
    request.url = "http://" + address + path;
    request.headers["Accept"] = "application/vnd.oci.image.manifest.v1+json";
    request.deadline = Duration{20'000};
    const auto call = client_->send(std::move(request), [&](Result<sys::HttpResponse> response) {
      status = response ? response->status : 0;
      length = response ? response->body.size() : 0;
    });
    while (!status) REQUIRE(loop_->run_once(Duration{100}));
    return *status;
  }
  [[nodiscard]] std::string address() const { return prefix_ + "253:5000"; }
  // What an engine asks for.
  void pull() {
    CHECK(get(address(), "/v2/library/hello/manifests/latest") == 200);
    CHECK(get(address(), "/v2/library/hello/blobs/sha256:" + image.layer) == 200);
    CHECK(length == kLayer);
  }

  core::Config config;
  Image image;
  std::unique_ptr<RegistryMirror> mirror;
  std::size_t length = 0;

 private:
  test::TempDir directory_;
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<sys::HttpClient> client_;
  std::string prefix_;
  sys::Process upstream_;
};

bool is_possible() {
  if (::geteuid() == 0 && sys::exists("/usr/bin/docker-registry")) return true;
  WARN("skipped: this test needs root and docker-registry");
  return false;
}

}  // namespace

TEST_CASE("a mirror serves what it has, counts it, and outlives its upstream") {
  if (!is_possible()) return;
  Bench bench;
  bench.start_upstream();
  bench.start_mirror();
  bench.wait_up();
  bench.pull();
  bench.wait("the miss is counted", [&] {
    const MirrorCounts counts = bench.mirror->state().counts;
    return counts.manifest_misses == 1 && counts.blob_misses == 1;
  });
  bench.stop_upstream();
  bench.pull();
  bench.wait("the hit is counted", [&] {
    const MirrorCounts counts = bench.mirror->state().counts;
    return counts.manifest_hits == 1 && counts.blob_hits == 1;
  });
  CHECK(bench.mirror->state().counts.served_bytes > 2 * kLayer);
  CHECK(bench.mirror->state().counts.blob_misses == 1);
  bench.wait("the store is measured", [&] { return bench.mirror->state().size.value > kLayer; });
  const std::string manifest = "/v2/library/hello/manifests/sha256:" + bench.image.manifest;
  CHECK(bench.get(bench.address(), manifest, "DELETE") == 405);
  CHECK(bench.get(bench.address(), "/v2/library/hello/blobs/uploads/", "POST") == 405);
  bench.mirror.reset();
  CHECK(bench.get(bench.address(), "/v2/") == 0);
}

TEST_CASE("a mirror is held to its size while it serves") {
  if (!is_possible()) return;
  Bench bench;
  bench.config.registry_mirror.max_size = mib(2);
  bench.start_upstream();
  bench.start_mirror();
  bench.wait_up();
  bench.pull();
  bench.wait("the layer is gone", [&] { return bench.mirror->state().removed_blobs > 0; });
  CHECK(bench.mirror->state().size.value <= mib(2).value);
  bench.pull();
}

TEST_CASE("a mirror without its upstream is tried again until it is there") {
  if (!is_possible()) return;
  Bench bench;
  bench.start_mirror();
  bench.wait("docker-registry gives up", [&] { return bench.mirror->state().restarts >= 1; });
  CHECK_FALSE(bench.mirror->state().up);
  bool says_why = false;
  for (const auto& line : latest_lines()) {
    for (const auto& [key, value] : line.fields) {
      says_why = says_why || (key == "said" && value.find("refused") != std::string::npos);
    }
  }
  CHECK(says_why);
  bench.start_upstream();
  bench.wait_up();
  bench.pull();
}

TEST_CASE("a login others can read is refused before anything starts") {
  Bench bench;
  const test::TempDir directory;
  bench.config.registry_mirror.login_file = directory / "login";
  REQUIRE(sys::write_file(directory / "login", "robot:secret\n", 0644));
  auto loop = sys::Loop::create();
  REQUIRE(loop);
  const auto started = RegistryMirror::start(**loop, bench.config);
  REQUIRE_FALSE(started);
  CHECK(started.error().code == Errc::denied);
  CHECK(started.error().what.find("chmod 600") != std::string::npos);
}

}  // namespace mvr::daemon
