#include <sys/file.h>
#include <sys/wait.h>

#include <utime.h>

#include "fixture.h"
#include "store_fixture.h"

namespace mvr::image {
namespace {

TEST_CASE("an image goes in without a tag, gets one, and is found by tag, id and a part of it") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto id = add(store, "one");
  REQUIRE(id.has_value());
  CHECK(id->starts_with("sha256:"));
  CHECK(contains(error_of(store.find("web")), "not_found"));
  REQUIRE(store.tag(*id, "web").has_value());
  const std::string digits = id->substr(7);
  for (const std::string& ref :
       {std::string("web"), *id, "sha256:" + digits.substr(0, 6), digits.substr(0, 12), digits}) {
    INFO(ref);
    const auto found = store.find(ref);
    REQUIRE(found.has_value());
    CHECK(found->id == *id);
    CHECK(found->name == (ref == "web" ? "web" : "made-for"));
    const auto pinned = store.pin(ref);
    REQUIRE(pinned.has_value());
    CHECK(get(pinned->path) == "one");
    CHECK(pinned->manifest.labels == sample_manifest("x").labels);
  }
  struct stat facts {};
  REQUIRE(::stat(store.pin("web")->path.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0444);
}

TEST_CASE("tags are short, lower-case and begin with a letter or digit; ids are hexadecimal") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto id = add(store, "one");
  for (const std::string& bad : std::vector<std::string>{
           "", ".", "..", ".work-1", "-a", "_a", "A", "a/b", "a b", "a\n", std::string(65, 'a'),
           std::string("a\0b", 3), "sha256:", "sha256:abc", "sha256:../tags", "sha256:ABCD"}) {
    INFO(bad);
    CHECK(contains(error_of(store.find(bad)), "invalid"));
    CHECK(contains(error_of(store.remove(bad)), "invalid"));
    CHECK(contains(error_of(store.pin(bad)), "invalid"));
    CHECK(contains(error_of(store.tag(*id, bad)), "invalid"));
  }
  for (const std::string& bad : std::vector<std::string>{"", ".x", "a/b", std::string(129, 'a')}) {
    CHECK(contains(error_of(store.set_key(bad, *id)), "invalid"));
    CHECK(contains(error_of(store.by_key(bad)), "invalid"));
  }
}

TEST_CASE("what is missing is named together with the way to make it") {
  const TempDir state;
  const std::string text = error_of(ImageStore(state.path()).find("web"));
  CHECK(contains(text, "not_found: image \"web\""));
  CHECK(contains(text, "mvrunner image build"));
  CHECK(contains(error_of(ImageStore(state.path()).rollback("web")), "not_found"));
  CHECK(ImageStore(state.path()).list()->empty());
  CHECK(ImageStore(state.path()).prune({})->empty());
}

TEST_CASE("a beginning that two ids share is refused") {
  const TempDir state;
  const ImageStore store(state.path());
  const std::string twin = "/images/sha256-" + std::string(64, 'a');
  put(state.path() + twin + "/rootfs.ext4", "");
  put(state.path() + twin.substr(0, twin.size() - 1) + "b/rootfs.ext4", "");
  CHECK(contains(error_of(store.find("aaaaaa")), "beginning of 2 ids"));
}

TEST_CASE("the same content is stored once; what was made last tells where it is from") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto first = add(store, "one");
  REQUIRE(store.tag(*first, "web").has_value());
  const auto pinned = store.pin("web");
  const auto again = add(store, "one", [](Manifest& manifest) {
    manifest.created = "2026-11-27T10:00:00.000Z";
    manifest.key = "k2";
    manifest.bases = {"debian:12@sha256:" + std::string(64, 'b')};
  });
  REQUIRE(again.has_value());
  CHECK(*again == *first);
  CHECK(store.list()->size() == 1);
  CHECK(store.find("web")->created == "2026-11-27T10:00:00.000Z");
  CHECK(store.find("web")->bases.size() == 1);
  CHECK(get(pinned->path) == "one");
  const auto other = add(store, "one", [](Manifest& manifest) { manifest.user = "root"; });
  CHECK(*other != *first);
}

TEST_CASE("an image whose data was lost is made whole by adding it again") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto id = add(store, "one");
  REQUIRE(store.tag(*id, "web").has_value());
  const std::string path = store.pin("web")->path;
  SECTION("removed") { std::filesystem::remove(path); }
  SECTION("cut") { std::filesystem::resize_file(path, 1); }
  REQUIRE(add(store, "one").has_value());
  CHECK(get(store.pin("web")->path) == "one");
  CHECK(leftovers(state) == "");
}

TEST_CASE("a damaged manifest is left out of the list, explained by find, removable") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto id = add(store, "one");
  REQUIRE(store.tag(*id, "web").has_value());
  const std::string manifest =
      std::filesystem::path(store.pin("web")->path).parent_path() / "manifest.json";
  SECTION("no JSON") {
    std::filesystem::remove(manifest);
    put(manifest, "{");
  }
  SECTION("of another image") {
    const auto other = add(store, "two");
    const std::string text = get(state / ("images/sha256-" + other->substr(7) + "/manifest.json"));
    std::filesystem::remove(manifest);
    put(manifest, text);
    REQUIRE(store.remove(*other).has_value());
  }
  CHECK(store.list()->empty());
  CHECK(contains(error_of(store.find("web")), "manifest.json"));
  CHECK(contains(error_of(store.pin("web")), "manifest.json"));
  REQUIRE(store.remove("web").has_value());
  CHECK(leftovers(state) == "");
  CHECK(names_in(state / "images/tags").empty());
}

TEST_CASE("a VM keeps the image it was started from until it ends, whatever the tag does") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  REQUIRE(publish(store, "web", "new").has_value());
  CHECK(get(pin->path) == "old");
  CHECK(get(store.pin("web")->path) == "new");
  const PruneRules all{.keep = 0, .grace = Duration{0}};
  CHECK(store.prune(all)->empty());
  CHECK(contains(error_of(store.remove(pin->manifest.id)), "used by a running VM"));
  pin->lock = Fd();
  const auto gone = store.prune(all);
  REQUIRE(gone->size() == 1);
  CHECK(gone->front().id == pin->manifest.id);
  CHECK(store.list()->size() == 1);
  CHECK(leftovers(state) == "");
}

TEST_CASE("rollback goes back one image at a time") {
  const TempDir state;
  const ImageStore store(state.path());
  for (const char* text : {"1", "2", "3"}) REQUIRE(publish(store, "web", text).has_value());
  CHECK(store.former("web")->size() == 2);
  CHECK(store.rollback("web")->name == "web");
  CHECK(get(store.pin("web")->path) == "2");
  REQUIRE(store.rollback("web").has_value());
  CHECK(get(store.pin("web")->path) == "1");
  CHECK(contains(error_of(store.rollback("web")), "no former"));
  // What it went back from is still there by its id, and can come again.
  REQUIRE(publish(store, "web", "3").has_value());
  CHECK(get(store.pin("web")->path) == "3");
  REQUIRE(store.rollback("web").has_value());
  CHECK(get(store.pin("web")->path) == "1");
}

TEST_CASE("rollback passes over images that are gone") {
  const TempDir state;
  const ImageStore store(state.path());
  for (const char* text : {"1", "2", "3"}) REQUIRE(publish(store, "web", text).has_value());
  REQUIRE(store.remove(store.former("web")->front()).has_value());
  REQUIRE(store.rollback("web").has_value());
  CHECK(get(store.pin("web")->path) == "1");
}

TEST_CASE("a tag that moves to the image it has stays as it is") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "1").has_value());
  REQUIRE(publish(store, "web", "2").has_value());
  REQUIRE(publish(store, "web", "2").has_value());
  REQUIRE(store.tag("web", "web").has_value());
  CHECK(store.former("web")->size() == 1);
}

TEST_CASE("prune keeps what has a tag, is in use, is young, or was the last of a tag") {
  const TempDir state;
  const ImageStore store(state.path());
  for (int n = 1; n <= 5; ++n) REQUIRE(publish(store, "web", std::to_string(n)).has_value());
  const auto loose = add(store, "loose");
  const auto used = add(store, "used");
  const auto pin = store.pin(*used);
  CHECK(store.prune({})->empty());  // all of them are younger than an hour
  const PruneRules rules{.keep = 2, .grace = Duration{0}};
  PruneRules look = rules;
  look.only_look = true;
  CHECK(store.prune(look)->size() == 3);
  CHECK(store.list()->size() == 7);
  const auto gone = store.prune(rules);
  REQUIRE(gone->size() == 3);  // 1, 2 and the loose one
  CHECK(std::ranges::count(*gone, *loose, &Manifest::id) == 1);
  CHECK(store.list()->size() == 4);
  REQUIRE(store.rollback("web").has_value());
  CHECK(get(store.pin("web")->path) == "4");
  REQUIRE(store.rollback("web").has_value());
  CHECK(get(store.pin("web")->path) == "3");
}

TEST_CASE("an old image is pruned, and made again it is young") {
  const TempDir state;
  const ImageStore store(state.path());
  const auto id = add(store, "one");
  const std::string manifest = state / ("images/sha256-" + id->substr(7) + "/manifest.json");
  const utimbuf long_ago{1'000'000, 1'000'000};
  REQUIRE(::utime(manifest.c_str(), &long_ago) == 0);
  REQUIRE(add(store, "one").has_value());
  CHECK(store.prune({})->empty());
  REQUIRE(::utime(manifest.c_str(), &long_ago) == 0);
  CHECK(store.prune({})->size() == 1);
}

TEST_CASE("a tag takes its image along unless another tag has or had it") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "1").has_value());
  const std::string id = store.find("web")->id;
  REQUIRE(store.tag("web", "stable").has_value());
  CHECK(contains(error_of(store.remove(id)), "has the tag"));
  REQUIRE(store.remove("web").has_value());
  CHECK(store.find("stable").has_value());
  REQUIRE(publish(store, "stable", "2").has_value());
  REQUIRE(store.tag(id, "web").has_value());
  REQUIRE(store.remove("web").has_value());
  REQUIRE(store.rollback("stable").has_value());
  REQUIRE(store.remove("stable").has_value());
  CHECK(contains(error_of(store.find(id)), "not_found"));
  CHECK(store.list()->size() == 1);  // "2" waits for prune
}

TEST_CASE("an image in use cannot be removed, before and after its VM ends") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  auto second = store.pin("web");
  CHECK(store.list()->front().in_use);
  CHECK(contains(error_of(store.remove("web")), "busy: image \"web\" is used by a running VM"));
  CHECK(store.find("web").has_value());
  pin->lock = Fd();
  CHECK(contains(error_of(store.remove("web")), "busy"));
  second->lock = Fd();
  CHECK_FALSE(store.list()->front().in_use);
  CHECK(store.remove("web").has_value());
  CHECK(contains(error_of(store.find("web")), "not_found"));
  CHECK(contains(error_of(store.remove("web")), "not_found"));
  CHECK(store.list()->empty());
}

TEST_CASE("a pin lives on in a process that inherited it") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  auto pipe = std::array<int, 2>{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  const Fd read(pipe[0]);
  Fd write(pipe[1]);
  sys::SpawnOptions options;
  options.argv = {"/bin/cat"};
  options.fds = {{read.get(), 0}, {pin->lock.get(), 9}};
  auto vmm = sys::Process::spawn(options);
  REQUIRE(vmm.has_value());
  pin->lock = Fd();
  CHECK(contains(error_of(store.remove("web")), "busy"));
  write = Fd();  // the end of its input ends cat
  REQUIRE(vmm->wait(Duration{10'000}).has_value());
  CHECK(store.remove("web").has_value());
}

TEST_CASE("a key finds what a build made, as long as that is there") {
  const TempDir state;
  const ImageStore store(state.path());
  CHECK_FALSE(store.by_key("k1")->has_value());
  const auto id = add(store, "one");
  REQUIRE(store.set_key("k1", *id).has_value());
  REQUIRE(store.by_key("k1")->has_value());
  CHECK((*store.by_key("k1"))->id == *id);
  REQUIRE(store.set_key("k1", *add(store, "two")).has_value());
  CHECK((*store.by_key("k1"))->id != *id);
  REQUIRE(store.remove((*store.by_key("k1"))->id).has_value());
  CHECK_FALSE(store.by_key("k1")->has_value());
  CHECK(names_in(state / "images/keys").empty());
  CHECK(contains(error_of(store.set_key("k1", "none")), "not_found"));
}

TEST_CASE("a link that is not ours leads nowhere") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "one").has_value());
  for (const char* target : {"/etc", "../../etc", "../tags", "../sha256-abc"}) {
    const std::string link = state / "images/tags/evil";
    std::filesystem::remove(link);
    std::filesystem::create_symlink(target, link);
    CHECK(contains(error_of(store.find("evil")), "not_found"));
    CHECK(contains(error_of(store.pin("evil")), "not_found"));
  }
}

TEST_CASE("a failed addition leaves the store as it was") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "old").has_value());
  {
    const auto work = store.make_work_directory();
    REQUIRE(work.has_value());
    CHECK_FALSE(store.add(work->path(), sample_manifest("web")).has_value());  // no rootfs
  }
  CHECK(get(store.pin("web")->path) == "old");
  CHECK(leftovers(state) == "");
}

TEST_CASE("what a killed build left is swept, a live build and foreign files are not") {
  const TempDir state;
  const ImageStore store(state.path());
  put(state / "images/.work-1-0/rootfs.ext4", "half");
  put(state / "images/.work-1-0/tree/etc/passwd", "");
  put(state / "images/.old-1-0/rootfs.ext4", "unused");
  put(state / "images/.old-1-1/rootfs.ext4", "used");
  put(state / "images/.new-1-0", "");
  put(state / "images/not-ours.txt", "");
  Fd vm(::open((state / "images/.old-1-1/rootfs.ext4").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::flock(vm.get(), LOCK_SH | LOCK_NB) == 0);
  {
    const auto live = store.make_work_directory();
    const auto second = store.make_work_directory();
    REQUIRE(second.has_value());
    CHECK(live->path() != second->path());
    CHECK(sys::exists(live->path()));
    CHECK(names_in(state / "images").size() == 5);  // these, what is in use, lock, foreign
  }
  CHECK(leftovers(state) == ".old-1-1 ");
  vm = Fd();
  CHECK(store.make_work_directory().has_value());
  CHECK(leftovers(state) == "");
  CHECK(sys::exists(state / "images/not-ours.txt"));
}

TEST_CASE("readers see one whole image at every moment while two processes publish and prune") {
  const TempDir state;
  const ImageStore store(state.path());
  REQUIRE(publish(store, "web", "0").has_value());
  std::array<pid_t, 2> children{};
  for (std::size_t n = 0; n < children.size(); ++n) {
    children[n] = ::fork();
    REQUIRE(children[n] >= 0);
    if (children[n] != 0) continue;
    bool ok = true;
    for (int round = 1; round <= 40; ++round) {
      ok = ok && publish(store, "web", std::to_string(n) + "." + std::to_string(round)).has_value();
      ok = ok && store.prune({.keep = 0, .grace = Duration{2'000}}).has_value();
    }
    ::_exit(ok ? 0 : 1);
  }
  std::string failures;
  for (const pid_t child : children) {
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      const auto pin = store.pin("web");
      if (!pin && pin.error().code != Errc::busy) failures += error_of(pin) + "\n";
      if (pin && get(pin->path).empty()) failures += "empty image\n";
      const auto found = store.find("web");
      if (!found) failures += error_of(found) + "\n";
    }
    CHECK(status == 0);
  }
  CHECK(failures.empty());
  CHECK(leftovers(state) == "");
  CHECK(store.former("web")->size() <= 20);
  REQUIRE(store.prune({.keep = 0, .grace = Duration{0}}).has_value());
  CHECK(store.list()->size() == 1);
}

}  // namespace
}  // namespace mvr::image
