#include "image/archives.h"

#include "base/text.h"
#include "image/oci_json.h"
#include "image_dump.h"
#include "tar_maker.h"

namespace mvr::image {
namespace {

std::string sum_of(const std::string& text) {
  sys::Sha256 sha;
  sha.add(text);
  return sha.take_hex();
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

// An OCI layout that is put together by hand.
class Layout {
 public:
  explicit Layout(std::string root) : root_(std::move(root)) {
    put(root_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  }
  std::string blob(const std::string& text) {
    const std::string sum = sum_of(text);
    put(root_ + "/blobs/sha256/" + sum, text);
    return R"("digest":"sha256:)" + sum + R"(","size":)" + std::to_string(text.size());
  }
  // A manifest of one gzip'd layer with the file "/hello"; the members of its descriptor.
  std::string image(const std::string& architecture, const std::string& text) {
    make_tar(root_ + "/plain", {tar_file("hello", text)});
    make_tar(root_ + "/packed", {tar_file("hello", text)}, ARCHIVE_FILTER_GZIP);
    const std::string layer = blob(get(root_ + "/packed"));
    const std::string config = blob(R"({"architecture":")" + architecture +
                                    R"(","os":"linux","config":{"User":"runner","Env":["A=1"]},)" +
                                    R"("rootfs":{"type":"layers","diff_ids":["sha256:)" +
                                    sum_of(get(root_ + "/plain")) + "\"]}}");
    return blob(R"({"schemaVersion":2,"config":{)" + config + R"(},"layers":[{)" + layer + "}]}");
  }
  void index(const std::vector<std::string>& manifests) {
    put(root_ + "/index.json", R"({"schemaVersion":2,"manifests":[)" + join(manifests, ",") + "]}");
  }
  static std::string entry(const std::string& descriptor, const std::string& os,
                           const std::string& architecture) {
    return "{" + descriptor + R"(,"platform":{"os":)" + quoted(os) + R"(,"architecture":)" +
           quoted(architecture) + "}}";
  }
  static std::string tagged(const std::string& descriptor, const std::string& tag) {
    return "{" + descriptor + R"(,"annotations":{"org.opencontainers.image.ref.name":)" +
           quoted(tag) + "}}";
  }

 private:
  std::string root_;
};

std::string host() {
#if defined(__x86_64__)
  return "amd64";
#else
  return "arm64";
#endif
}

Result<Manifest> import(const TempDir& dir, const std::string& source) {
  (void)sys::remove_tree(dir / "work");
  std::filesystem::create_directories(dir / "work");
  ImportOptions options;
  options.source = source;
  options.work = dir / "work";
  options.name = "x";
  return import_image(options);
}

std::uint64_t hello_size(const TempDir& dir) {
  return dump_image(dir / "work/rootfs.ext4").at("/hello").size;
}

TEST_CASE("a layout is imported: its config, and the platform of this host among many") {
  const TempDir dir;
  Layout layout(dir / "oci");
  const std::string other = layout.image("s390x", "12345");
  const std::string ours = layout.image(host(), "123");
  const std::string nested =
      layout.blob(R"({"schemaVersion":2,"manifests":[)" + Layout::entry(other, "linux", "s390x") +
                  "," + Layout::entry(ours, "unknown", "unknown") + "," +
                  Layout::entry(ours, "linux", host()) + "]}");
  layout.index({"{" + nested + "}"});
  const auto manifest = import(dir, "oci:" + (dir / "oci"));
  INFO(error_of(manifest));
  REQUIRE(manifest.has_value());
  CHECK(manifest->user == "runner");
  CHECK(manifest->env == std::vector<std::string>{"A=1"});
  CHECK(manifest->architecture == host());
  CHECK(manifest->size.value == std::filesystem::file_size(dir / "work/rootfs.ext4"));
  CHECK(hello_size(dir) == 3);
  CHECK(names_in(dir / "work") == std::vector<std::string>{"rootfs.ext4"});
  REQUIRE(parse_manifest(manifest_json(*manifest)).has_value());

  SECTION("the same as an archive, named or found out") {
    output_of(
        {"tar", "-C", dir / "oci", "-cf", dir / "a.tar", "oci-layout", "index.json", "blobs"});
    for (const std::string& spec : {"oci-archive:" + (dir / "a.tar"), dir / "a.tar", dir / "oci"}) {
      const auto again = import(dir, spec);
      INFO(error_of(again));
      REQUIRE(again.has_value());
      CHECK(again->digest == manifest->digest);
    }
  }
  SECTION("nothing for this host") {
    layout.index({Layout::entry(other, "linux", "s390x"), Layout::entry(ours, "windows", host())});
    CHECK(contains(error_of(import(dir, dir / "oci")),
                   "no image linux/" + host() + "; there are: linux/s390x, windows/"));
    layout.index({"{" + other + "}"});
    CHECK(contains(error_of(import(dir, dir / "oci")), "the image is for s390x"));
  }
}

TEST_CASE("of several tags one must be named") {
  const TempDir dir;
  Layout layout(dir / "oci");
  const std::string one = layout.image(host(), "1");
  const std::string two = layout.image(host(), "22");
  layout.index({Layout::tagged(one, "one"), Layout::tagged(two, "two")});
  CHECK(contains(error_of(import(dir, "oci:" + (dir / "oci"))), "several images"));
  REQUIRE(import(dir, "oci:" + (dir / "oci") + ":two").has_value());
  CHECK(hello_size(dir) == 2);
  CHECK(contains(error_of(import(dir, "oci:" + (dir / "oci") + ":three")), "\"three\""));
}

TEST_CASE("a blob that is not what its digest says is refused") {
  const TempDir dir;
  Layout layout(dir / "oci");
  layout.index({"{" + layout.image(host(), "1") + "}"});
  const std::string blobs = dir / "oci/blobs/sha256";
  REQUIRE(import(dir, dir / "oci").has_value());
  for (const std::string& name : names_in(blobs)) {
    const std::string before = get(blobs + "/" + name);
    std::string changed = before;
    changed[changed.size() - 3] ^= 1;
    put(blobs + "/" + name, changed);
    INFO(before.substr(0, 40));
    CHECK_FALSE(import(dir, dir / "oci").has_value());
    CHECK_FALSE(sys::exists(dir / "work/rootfs.ext4"));
    put(blobs + "/" + name, before);
  }
}

TEST_CASE("what docker save writes is imported, its layers by the config's digests") {
  const TempDir dir;
  make_tar(dir / "1.tar", {tar_file("hello", "old"), tar_file("gone", "x")});
  make_tar(dir / "2.tar", {tar_file("hello", "1234"), tar_file(".wh.gone", "")});
  const auto save = [&](const std::string& second) {
    const std::string config = R"({"architecture":")" + host() +
                               R"(","config":{"Cmd":["sh"]},"rootfs":{"diff_ids":["sha256:)" +
                               sum_of(get(dir / "1.tar")) + R"(","sha256:)" + second + "\"]}}";
    const std::string name = sum_of(config) + ".json";
    make_tar(
        dir / "save.tar",
        {tar_file(std::string(64, 'a') + "/layer.tar", get(dir / "1.tar")),
         tar_file(std::string(64, 'b') + "/layer.tar", get(dir / "2.tar")), tar_file(name, config),
         tar_file("manifest.json", R"([{"Config":")" + name + R"(","Layers":[")" +
                                       std::string(64, 'a') + R"(/layer.tar",")" +
                                       std::string(64, 'b') + R"(/layer.tar"]}])")});
  };
  save(sum_of(get(dir / "2.tar")));
  for (const std::string& spec : {"docker-archive:" + (dir / "save.tar"), dir / "save.tar"}) {
    const auto manifest = import(dir, spec);
    INFO(error_of(manifest));
    REQUIRE(manifest.has_value());
    CHECK(manifest->command == std::vector<std::string>{"sh"});
    CHECK(hello_size(dir) == 4);
    CHECK(dump_image(dir / "work/rootfs.ext4").count("/gone") == 0);
  }
  save(std::string(64, 'c'));
  CHECK(contains(error_of(import(dir, dir / "save.tar")), "layer 2: its content is sha256:"));
}

TEST_CASE("a root filesystem's tar is imported as it is") {
  const TempDir dir;
  make_tar(dir / "root.tar", {tar_directory("./"), tar_file("./hello", "12")}, ARCHIVE_FILTER_GZIP);
  for (const std::string& spec : {"tar:" + (dir / "root.tar"), dir / "root.tar"}) {
    const auto manifest = import(dir, spec);
    INFO(error_of(manifest));
    REQUIRE(manifest.has_value());
    CHECK(manifest->architecture == host());
    CHECK(hello_size(dir) == 2);
  }
  CHECK(contains(error_of(import(dir, dir / "absent")), "absent"));
  CHECK(contains(error_of(import(dir, dir.path())), "without an OCI layout"));
}

TEST_CASE("a pull is skopeo's, of the host's platform, and its result is verified") {
  const TempDir dir;
  Layout layout(dir / "remote");
  layout.index({"{" + layout.image(host(), "1") + "}"});
  put(dir / "bin/skopeo",
      "#!/bin/sh\necho \"$@\" > " + (dir / "called") +
          "\nfor last; do :; done\nto=${last#oci:}\ncp -r " + (dir / "remote") +
          " \"${to%:pulled}\"\n",
      0755);
  {
    const PathIs path((dir / "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin");
    const auto manifest = import(dir, "docker://localhost:5000/debian:12");
    INFO(error_of(manifest));
    REQUIRE(manifest.has_value());
    CHECK(contains(manifest->source, "docker://localhost:5000/debian:12@sha256:"));
    CHECK(contains(get(dir / "called"), "--override-arch " + host() +
                                            " copy --src-tls-verify=false "
                                            "docker://localhost:5000/debian:12 oci:"));
    REQUIRE(import(dir, "docker://debian:12").has_value());
    CHECK_FALSE(contains(get(dir / "called"), "tls"));
    CHECK(contains(error_of(import(dir, "docker://--help")), "names no image"));
    put(dir / "bin/skopeo", "#!/bin/sh\necho manifest unknown >&2\nexit 1\n", 0755);
    CHECK(contains(error_of(import(dir, "docker://debian:13")), "manifest unknown"));
  }
  const PathIs path(dir / "nothing");
  CHECK(contains(error_of(pull_image("debian:12", dir / "x")), "apt-get install skopeo"));
}

TEST_CASE("JSON that is not as it should be is an error") {
  const std::string digest = "sha256:" + std::string(64, 'a');
  CHECK(parse_oci_document(R"({"manifests":[{"digest":")" + digest + "\"}]}").has_value());
  for (const char* text : {"", "[]", "{}", R"({"manifests":{}})", R"({"manifests":[1]})",
                           R"({"manifests":[{"digest":"sha256:../../etc/passwd"}]})",
                           R"({"config":{},"layers":[]})"}) {
    INFO(text);
    CHECK(contains(error_of(parse_oci_document(text)), "protocol: "));
  }
  CHECK(contains(error_of(parse_diff_ids(R"({"rootfs":{"diff_ids":["md5:1"]}})")), "diff_ids"));
  CHECK(contains(error_of(parse_docker_archive("[{},{}]")), "2 images"));
}

}  // namespace
}  // namespace mvr::image
