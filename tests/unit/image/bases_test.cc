#include "image/bases.h"

#include "fixture.h"

namespace mvr::image {
namespace {

const std::string kOne(64, '1');
const std::string kTwo(64, '2');
const std::string kThree(64, '3');

// A buildah that has debian:12, and where asked for a skopeo whose registry has more.
class Programs {
 public:
  Programs() {
    put(dir_ / "buildah",
        "#!/bin/sh\nfor last; do :; done\n[ \"$last\" = debian:12 ] || exit 125\necho '" + kOne +
            " sha256:" + kTwo + "'\n",
        0755);
  }
  void add_skopeo(bool answers) const {
    const std::string body = answers ? "echo sha256:" + kThree : "exit 1";
    put(dir_ / "skopeo", "#!/bin/sh\n" + body + "\n", 0755);
  }
  [[nodiscard]] Base resolve(const std::string& image, const BaseRules& rules = {}) const {
    const Builder builder{Builder::Kind::buildah, "buildah", dir_ / "buildah", "1"};
    return resolve_bases(builder, {image}, rules).at(image);
  }

 private:
  TempDir dir_;
  PathIs path_{dir_.path()};
};

TEST_CASE("a base in the builder's store is known by its id and digest") {
  const Programs programs;
  const Base base = programs.resolve("debian:12");
  CHECK(base.local_id == "sha256:" + kOne);
  CHECK(base.digest == "sha256:" + kTwo);
  CHECK(programs.resolve("debian:13").local_id.empty());
}

TEST_CASE("the registry is asked for what the store has not, and with pull for all") {
  const Programs programs;
  programs.add_skopeo(true);
  CHECK(programs.resolve("debian:12").local_id == "sha256:" + kOne);
  CHECK(programs.resolve("debian:13").digest == "sha256:" + kThree);
  const Base pulled = programs.resolve("debian:12", {true, {}});
  CHECK(pulled.local_id.empty());
  CHECK(pulled.digest == "sha256:" + kThree);
}

TEST_CASE("a registry that does not answer leaves what the store has, and that is said") {
  const Programs programs;
  programs.add_skopeo(false);
  std::string said;
  const BaseRules rules{true, [&](const std::string& line) { said += line; }};
  CHECK(programs.resolve("debian:12", rules).local_id == "sha256:" + kOne);
  CHECK(contains(said, "debian:12"));
}

TEST_CASE("without skopeo nothing is known of a base that is to be pulled") {
  const Programs programs;
  const Base base = programs.resolve("debian:12", {true, {}});
  CHECK_FALSE(base_identities({{"debian:12", base}}).has_value());
}

TEST_CASE("a base is told apart by where it was found, and written with its digest") {
  const Base stored{"sha256:a", "sha256:b"};
  const Base remote{"", "sha256:a"};
  CHECK(base_identities({{"x", stored}}) != base_identities({{"x", remote}}));
  CHECK(base_texts({{"x", stored}, {"y", {}}}) == std::vector<std::string>{"x@sha256:b", "y"});
  CHECK(base_texts({{"x", {"sha256:a", ""}}}) == std::vector<std::string>{"x@sha256:a"});
  CHECK(base_identities({})->empty());
}

}  // namespace
}  // namespace mvr::image
