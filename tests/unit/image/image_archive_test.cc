#include "image/image_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include "image/entry_store.h"
#include "store_fixture.h"

namespace mvr::image {
namespace {

// 1 MiB of which the second and the last block hold something.
std::string sparse_text() {
  std::string text(1U << 20U, '\0');
  text.replace(4096, 5, "hello");
  text.replace(text.size() - 3, 3, "end");
  return text;
}

Manifest host_manifest(const std::string& text) {
  Manifest manifest = sample_manifest("made-for");
  manifest.digest = "sha256:" + sys::sha256_text(text);
  manifest.size = Bytes{text.size()};
  manifest.architecture = host_architecture();
  manifest.id = image_id(manifest);
  return manifest;
}

// A store with one sparse image "web" for this host.
struct Source {
  TempDir dir;
  ImageStore store{dir / "from"};
  std::string file = dir / "web.tar.zst";
  Source() {
    const std::string text = sparse_text();
    const auto work = store.make_work_directory();
    REQUIRE(work.has_value());
    const std::string path = work->path() + "/rootfs.ext4";
    put(work->path() + "/dense", text);
    output_of({"cp", "--sparse=always", work->path() + "/dense", path});
    const auto id = store.add(work->path(), host_manifest(text));
    REQUIRE(id.has_value());
    REQUIRE(store.tag(*id, "web").has_value());
  }
};

using Members = std::vector<std::pair<std::string, std::string>>;

void write_tar(const std::string& file, const Members& members) {
  archive* writer = ::archive_write_new();
  ::archive_write_set_format_pax(writer);
  REQUIRE(::archive_write_open_filename(writer, file.c_str()) == ARCHIVE_OK);
  for (const auto& [name, text] : members) {
    archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, name.c_str());
    ::archive_entry_set_filetype(entry, AE_IFREG);
    ::archive_entry_set_perm(entry, 0644);
    ::archive_entry_set_size(entry, static_cast<la_int64_t>(text.size()));
    REQUIRE(::archive_write_header(writer, entry) == ARCHIVE_OK);
    REQUIRE(::archive_write_data(writer, text.data(), text.size()) ==
            static_cast<la_ssize_t>(text.size()));
    ::archive_entry_free(entry);
  }
  REQUIRE(::archive_write_free(writer) == ARCHIVE_OK);
}

TEST_CASE("what one host exports another takes in: the same id, bytes, config and holes") {
  const Source source;
  for (const char* name : {"/web.tar.zst", "/web.tar"}) {
    INFO(name);
    const std::string file = source.dir.path() + name;
    REQUIRE(export_image(source.store, "web", file).has_value());
    CHECK(is_exported_image(file).value());
    const TempDir elsewhere;
    const ImageStore store(elsewhere.path());
    const auto taken = import_exported(store, file);
    INFO(error_of(taken));
    REQUIRE(taken.has_value());
    CHECK(taken->id == source.store.find("web")->id);
    const auto pin = store.pin(taken->id);
    CHECK(get(pin->path) == sparse_text());
    CHECK(sys::allocated_size(pin->path) <= Bytes{16384});
    CHECK(pin->manifest.env == sample_manifest("x").env);
    CHECK(leftovers(elsewhere) == "");
    CHECK(contains(error_of(store.find("web")), "not_found"));  // the tag is the caller's
  }
  CHECK(std::filesystem::file_size(source.dir / "web.tar.zst") < 4096);
}

TEST_CASE("an export that fails leaves no file, and the one that was there") {
  const Source source;
  CHECK(contains(error_of(export_image(source.store, "none", source.file)), "not_found"));
  CHECK_FALSE(sys::exists(source.file));
  CHECK(contains(error_of(export_image(source.store, "web", source.dir / "no/where")), "no/where"));
  if (::access("/dev/full", W_OK) != 0) return;
  put(source.file, "before");
  std::filesystem::create_directory(source.dir / "web.tar");
  CHECK_FALSE(export_image(source.store, "web", source.dir / "web.tar").has_value());
  CHECK(get(source.file) == "before");
  for (const std::string& name : names_in(source.dir.path())) CHECK_FALSE(contains(name, ".new-"));
}

TEST_CASE("an archive that was changed is refused, and nothing of it stays") {
  const std::string text = sparse_text();
  const Manifest good = host_manifest(text);
  Manifest other_id = good;
  other_id.id = "sha256:" + std::string(64, 'a');
  Manifest foreign = good;
  foreign.architecture = "s390x";
  foreign.id = image_id(foreign);
  std::string flipped = text;
  flipped[4097] = 'E';
  const std::string manifest = manifest_json(good);
  const std::pair<std::string, std::string> digest = {"rootfs.ext4.sha256",
                                                      sys::sha256_text(text) + "\n"};
  struct Case {
    Members members;
    const char* says;
  };
  const std::vector<Case> cases = {
      {{{"mvrunner-image.json", manifest}, digest, {"rootfs.ext4", flipped}}, "another digest"},
      {{{"mvrunner-image.json", manifest}, digest, {"rootfs.ext4", text + "x"}}, "not of the size"},
      {{{"mvrunner-image.json", manifest}, digest, {"rootfs.ext4", text.substr(1)}},
       "not of the size"},
      {{{"mvrunner-image.json", manifest}, digest, {"../rootfs.ext4", text}},
       "not the file rootfs.ext4"},
      {{{"mvrunner-image.json", manifest}, digest}, "no rootfs.ext4"},
      {{{"mvrunner-image.json", manifest}}, "no rootfs.ext4.sha256"},
      {{{"mvrunner-image.json", manifest_json(other_id)}, {"rootfs.ext4", text}}, "another id"},
      {{{"mvrunner-image.json", manifest_json(foreign)}, {"rootfs.ext4", text}}, "for s390x"},
      {{{"mvrunner-image.json", "{"}, {"rootfs.ext4", text}}, "not a JSON object"},
      {{{"mvrunner-image.json", std::string(2U << 20U, ' ')}}, "too long"},
      {{{"rootfs.ext4", text}, {"mvrunner-image.json", manifest}}, "mvrunner-image.json"},
  };
  for (const Case& each : cases) {
    const TempDir dir;
    const ImageStore store(dir / "state");
    write_tar(dir / "image.tar", each.members);
    const std::string said = error_of(import_exported(store, dir / "image.tar"));
    INFO(said);
    CHECK(contains(said, each.says));
    CHECK(store.list()->empty());
    if (!sys::exists(dir / "state/images")) continue;
    for (const std::string& name : names_in(dir / "state/images")) CHECK(name.front() != '.');
  }
}

TEST_CASE("an archive that ends early is refused at every length") {
  const Source source;
  REQUIRE(export_image(source.store, "web", source.file).has_value());
  const std::string whole = get(source.file);
  const TempDir dir;
  const ImageStore store(dir / "state");
  for (std::size_t length = 0; length + 1 < whole.size(); length += 37) {
    put(dir / "cut", whole.substr(0, length));
    INFO(length);
    CHECK_FALSE(import_exported(store, dir / "cut").has_value());
  }
  CHECK(store.list()->empty());
}

TEST_CASE("other files are no exported images") {
  const TempDir dir;
  put(dir / "text", "hello");
  write_tar(dir / "docker.tar", {{"manifest.json", "[]"}});
  CHECK_FALSE(is_exported_image(dir / "text").value());
  CHECK_FALSE(is_exported_image(dir / "docker.tar").value());
  CHECK_FALSE(is_exported_image(dir.path()).value());
  CHECK(contains(error_of(is_exported_image(dir / "none")), "not_found"));
}

}  // namespace
}  // namespace mvr::image
