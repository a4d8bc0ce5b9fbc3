#include "image/build_key.h"

#include <set>

#include "fixture.h"

namespace mvr::image {
namespace {

KeyParts sample() {
  KeyParts parts;
  parts.dockerfile = "FROM debian:12\n";
  parts.ignore_rules = "*.o\n";
  parts.context = {{"a", 'f', 0644, "1 00"}, {"b", 'l', 0777, "a"}};
  parts.bases = {{"debian:12", "store sha256:1"}};
  parts.arguments = {{"A", "1"}};
  parts.target = "final";
  parts.platform = "linux/amd64";
  parts.secret_ids = {"one", "two"};
  parts.builder = "buildah 1.28.2";
  return parts;
}

TEST_CASE("every part of a build is in its key") {
  std::set<std::string> keys = {build_key(sample())};
  std::size_t changes = 1;
  const auto differs = [&](auto change) {
    KeyParts parts = sample();
    change(parts);
    keys.insert(build_key(parts));
    CHECK(keys.size() == ++changes);
  };
  differs([](KeyParts& parts) { parts.dockerfile += "\n"; });
  differs([](KeyParts& parts) { parts.ignore_rules.clear(); });
  differs([](KeyParts& parts) { parts.context[0].path = "c"; });
  differs([](KeyParts& parts) { parts.context[0].mode = 0755; });
  differs([](KeyParts& parts) { parts.context[0].kind = 'l'; });
  differs([](KeyParts& parts) { parts.context[0].content = "1 01"; });
  differs([](KeyParts& parts) { parts.context.pop_back(); });
  differs([](KeyParts& parts) { parts.bases["debian:12"] = "store sha256:2"; });
  differs([](KeyParts& parts) { parts.bases.clear(); });
  differs([](KeyParts& parts) { parts.arguments["A"] = "2"; });
  differs([](KeyParts& parts) { parts.arguments["B"] = ""; });
  differs([](KeyParts& parts) { parts.target.clear(); });
  differs([](KeyParts& parts) { parts.platform = "linux/arm64"; });
  differs([](KeyParts& parts) { parts.secret_ids.pop_back(); });
  differs([](KeyParts& parts) { parts.builder = "buildah 1.28.3"; });
}

TEST_CASE("what moves from one part to the next is another build") {
  KeyParts one = sample();
  KeyParts two = sample();
  one.target = "ab";
  one.platform = "c";
  two.target = "a";
  two.platform = "bc";
  CHECK(build_key(one) != build_key(two));
}

TEST_CASE("a key is a sha256, the same every time, whatever the order of the secrets") {
  KeyParts parts = sample();
  const std::string key = build_key(parts);
  CHECK(key.size() == 7 + 64);
  CHECK(key.rfind("sha256:", 0) == 0);
  parts.secret_ids = {"two", "one"};
  CHECK(build_key(parts) == key);
}

}  // namespace
}  // namespace mvr::image
