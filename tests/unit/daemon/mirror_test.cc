// The registry mirror: what is said to docker-registry and what it says, and its store's budget.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include <nlohmann/json.hpp>

#include "catch.h"
#include "daemon/mirror_store.h"
#include "daemon/mirror_wire.h"
#include "sys/files.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

core::Config sample() {
  core::Config config;
  config.state_dir = "/var/lib/mvrunner";
  config.network.subnet = "10.231.0.0/16";
  config.registry_mirror.enabled = true;
  config.registry_mirror.upstream = "https://registry.example:5000";
  return config;
}

// As docker-registry 2.8.2 answered after one image of two blobs had been pulled three times, and
// a blob's size asked for once.
constexpr std::string_view kVars =
    R"({"cmdline":["docker-registry"],"registry":{"proxy":{)"
    R"("blobs":{"Requests":9,"Hits":9,"Misses":0,"BytesPulled":0,"BytesPushed":15008732},)"
    R"("manifests":{"Requests":3,"Hits":3,"Misses":1,"BytesPulled":405,"BytesPushed":1215}}}})";
constexpr std::string_view kMetrics =
    "# TYPE registry_http_requests_total counter\n"
    "registry_http_requests_total{code=\"200\",handler=\"base\",method=\"get\"} 4\n"
    "registry_http_requests_total{code=\"200\",handler=\"blob\",method=\"get\"} 6\n"
    "registry_http_requests_total{code=\"200\",handler=\"blob\",method=\"head\"} 1\n"
    "registry_http_requests_total{code=\"200\",handler=\"manifest\",method=\"get\"} 3\n"
    "registry_http_requests_total{code=\"404\",handler=\"blob\",method=\"get\"} 5\n"
    "registry_http_response_size_bytes_sum{handler=\"base\"} 8\n"
    "registry_http_response_size_bytes_sum{handler=\"blob\"} 9.005343e+06\n"
    "registry_http_response_size_bytes_sum{handler=\"blob_upload\"} 78\n"
    "registry_http_response_size_bytes_sum{handler=\"manifest\"} 1389\n";

std::string digest_of(char first, char last = '0') {
  std::string digest(64, '0');
  digest.front() = first;
  digest.back() = last;
  return digest;
}

// A store as docker-registry makes it.
class Store {
 public:
  [[nodiscard]] std::string root() const { return directory_ / "registry"; }
  [[nodiscard]] std::string blob(const std::string& digest) const {
    return root() + "/docker/registry/v2/blobs/sha256/" + digest.substr(0, 2) + "/" + digest;
  }
  [[nodiscard]] std::string repository(const std::string& name) const {
    return root() + "/docker/registry/v2/repositories/" + name;
  }
  void add_blob(const std::string& digest, std::size_t size, std::int64_t used) const {
    write(blob(digest) + "/data", std::string(size, 'x'));
    const std::array<timespec, 2> times{timespec{used, 0}, timespec{used, 0}};
    REQUIRE(::utimensat(AT_FDCWD, (blob(digest) + "/data").c_str(), times.data(), 0) == 0);
  }
  static void write(const std::string& path, const std::string& text) {
    REQUIRE(sys::make_directories(path.substr(0, path.rfind('/'))));
    REQUIRE(sys::write_file(path, text));
  }
  [[nodiscard]] MirrorStore::Round look(Bytes max) const {
    MirrorStore store(root(), max);
    auto round = store.look(Duration{60'000});
    REQUIRE(round);
    REQUIRE(*round);
    return **round;
  }

 private:
  test::TempDir directory_;
};

}  // namespace

TEST_CASE("docker-registry's configuration names the upstream, one port for VMs and its store") {
  const Secret text = mirror_configuration(sample(), {});
  const auto all = nlohmann::json::parse(text.expose());
  CHECK(all["proxy"] == nlohmann::json{{"remoteurl", "https://registry.example:5000"}});
  CHECK(all["http"]["addr"] == "10.231.255.253:5000");
  CHECK(all["http"]["debug"]["addr"] == "10.231.255.253:5001");
  CHECK(all["storage"]["filesystem"]["rootdirectory"] == "/var/lib/mvrunner/registry");
  CHECK(all["version"] == "0.1");
}

TEST_CASE("a login with characters of YAML goes through whole") {
  auto login = parse_mirror_login("robot:p\"a'ss: {#}\\\r\nsecond line\n");
  REQUIRE_FALSE(login);  // a blank is no part of a password
  login = parse_mirror_login("robot:p\"a'ss:{#}\\\r\nsecond line\n");
  REQUIRE(login);
  const auto all = nlohmann::json::parse(mirror_configuration(sample(), *login).expose());
  CHECK(all["proxy"]["username"] == "robot");
  CHECK(all["proxy"]["password"] == "p\"a'ss:{#}\\");
}

TEST_CASE("what is no login is refused without being shown") {
  for (const auto* text :
       {"", "\n", "hush", ":hush", "hush:", "hush :b", "hush:\x01", "\nhush:a"}) {
    const auto login = parse_mirror_login(text);
    REQUIRE_FALSE(login);
    CHECK(login.error().what.find("hush") == std::string::npos);
  }
}

TEST_CASE("hits and misses are told apart in docker-registry's numbers") {
  const auto counts = parse_mirror_counts(kVars, kMetrics);
  REQUIRE(counts);
  CHECK(*counts == MirrorCounts{2, 1, 5, 2, 9'005'343 + 1389});
}

TEST_CASE("numbers that are none are refused") {
  CHECK_FALSE(parse_mirror_counts("", kMetrics));
  CHECK_FALSE(parse_mirror_counts("[]", kMetrics));
  CHECK_FALSE(parse_mirror_counts(R"({"registry":{"proxy":{"blobs":{}}}})", kMetrics));
  CHECK_FALSE(parse_mirror_counts(
      R"({"registry":{"proxy":{"blobs":{"Requests":-1},"manifests":{"Requests":1,"Misses":0}}}})",
      ""));
  for (const auto* value : {"", "x", "-1", "nan", "1e300", "6 7x"}) {
    const std::string line =
        "registry_http_requests_total{code=\"200\",handler=\"blob\",method=\"get\"} ";
    CHECK_FALSE(parse_mirror_counts(kVars, line + value));
  }
}

TEST_CASE("what was read between two steps of a pull does not count backwards") {
  const MirrorCounts early{2, 1, 5, 1, 900};
  const MirrorCounts late{2, 1, 4, 2, 1000};
  CHECK(at_least(early, late) == MirrorCounts{2, 1, 5, 2, 1000});
  CHECK(early + late == MirrorCounts{4, 2, 9, 3, 1900});
}

TEST_CASE("why docker-registry died is found in its last words") {
  CHECK(last_words("time=\"x\" level=error msg=\"y\"\npanic: Get \"https://a/v2/\": no route\n\n"
                   "goroutine 1 [running]:\n") == "Get \"https://a/v2/\": no route");
  CHECK(last_words("one\nlevel=fatal msg=\"address already in use\"\n") ==
        "level=fatal msg=\"address already in use\"");
  CHECK(last_words("").empty());
}

TEST_CASE("blobs nobody used for the longest go, down to nine tenths") {
  const std::vector<CachedBlob> blobs{
      {"a", Bytes{400}, 30}, {"b", Bytes{300}, 10}, {"c", Bytes{200}, 20}, {"d", Bytes{101}, 20}};
  CHECK(surplus_blobs(blobs, Bytes{1001}).empty());
  CHECK(surplus_blobs(blobs, Bytes{1000}) == std::vector<CachedBlob>{blobs[1]});
  CHECK(surplus_blobs(blobs, Bytes{600}) == std::vector<CachedBlob>{blobs[1], blobs[2]});
  CHECK(surplus_blobs(blobs, Bytes{0}).size() == 4);
  CHECK(surplus_blobs({}, Bytes{0}).empty());
}

TEST_CASE("a removed blob leaves nothing behind, and what stays is whole") {
  const Store store;
  const std::string old = digest_of('a');
  const std::string manifest = digest_of('a', '1');
  const std::string fresh = digest_of('f');
  store.add_blob(old, 100'000, 1'000);
  store.add_blob(manifest, 500, 1'001);
  store.add_blob(fresh, 100'000, 2'000);
  const std::string one = store.repository("library/one");
  const std::string two = store.repository("deep/er/two");
  for (const auto& repository : {one, two}) {
    for (const auto& digest : {old, fresh}) {
      Store::write(repository + "/_layers/sha256/" + digest + "/link", "sha256:" + digest);
    }
    Store::write(repository + "/_manifests/revisions/sha256/" + manifest + "/link", "x");
    Store::write(repository + "/_manifests/tags/latest/index/sha256/" + manifest + "/link", "x");
  }
  const auto round = store.look(Bytes{150'000});
  CHECK(round.removed == 2);
  CHECK(round.size.value < 150'000);
  CHECK(round.size.value + round.removed_size.value > 200'000);
  CHECK_FALSE(sys::exists(store.blob(old)));
  CHECK_FALSE(sys::exists(store.blob(manifest)));
  CHECK(sys::exists(store.blob(fresh) + "/data"));
  for (const auto& repository : {one, two}) {
    CHECK_FALSE(sys::exists(repository + "/_layers/sha256/" + old));
    CHECK(sys::exists(repository + "/_layers/sha256/" + fresh + "/link"));
    CHECK_FALSE(sys::exists(repository + "/_manifests/revisions/sha256/" + manifest));
    CHECK_FALSE(sys::exists(repository + "/_manifests/tags/latest/index/sha256/" + manifest));
  }
  CHECK(store.look(Bytes{150'000}).removed == 0);
}

TEST_CASE("a store that leads elsewhere by links loses nothing there") {
  const Store store;
  const std::string digest = digest_of('a');
  store.add_blob(digest_of('f'), 100'000, 2'000);
  const std::string elsewhere = store.root() + "-elsewhere";
  Store::write(elsewhere + "/" + digest + "/data", std::string(100'000, 'x'));
  const std::string part = store.root() + "/docker/registry/v2/blobs/sha256/a0";
  REQUIRE(::symlink(elsewhere.c_str(), part.c_str()) == 0);
  const auto round = store.look(Bytes{1});
  CHECK(round.removed == 1);
  CHECK(sys::exists(elsewhere + "/" + digest + "/data"));
}

TEST_CASE("a store that is empty, or holds what is no blob, is within its budget") {
  const Store store;
  REQUIRE(sys::make_directories(store.root()));
  CHECK(store.look(Bytes{1}).size.value == 0);
  Store::write(store.root() + "/docker/registry/v2/blobs/sha256/ab/note/data", "kept");
  CHECK(store.look(Bytes{1}).size.value == 0);
  CHECK(sys::exists(store.root() + "/docker/registry/v2/blobs/sha256/ab/note/data"));
}

TEST_CASE("a look that runs out of time goes on with the next") {
  const Store store;
  store.add_blob(digest_of('a'), 1'000, 1'000);
  store.add_blob(digest_of('f'), 1'000, 1'000);
  MirrorStore looked(store.root(), gib(1));
  std::size_t looks = 1;
  for (auto round = looked.look(Duration{0});; round = looked.look(Duration{0}), ++looks) {
    REQUIRE(round);
    REQUIRE(looks < 1'000);
    if (!*round) continue;
    CHECK((*round)->size.value >= 2 * 16'384);
    break;
  }
  CHECK(looks > 1);
}

}  // namespace mvr::daemon
