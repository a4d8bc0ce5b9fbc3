#include "image/entry_store.h"

#include <sys/file.h>
#include <sys/wait.h>

#include "fixture.h"

namespace mvr::image {
namespace {

EntryStore entries(const TempDir& state) {
  return EntryStore({state / "images", "rootfs.ext4", "image", "mvrunner image build makes it"});
}

// Publishes an image whose content is `text`.
Result<void> publish(const EntryStore& store, const std::string& name, const std::string& text) {
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  put(work.path() + "/rootfs.ext4", text);
  return store.publish(work.path(), sample_manifest(name));
}

std::string read_through(const Fd& file) {
  std::string text(64, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

TEST_CASE("image names are short, lower-case and begin with a letter or digit") {
  const TempDir state;
  const EntryStore store = entries(state);
  for (const char* good : {"a", "debian-12", "0.1_x", "a..b-"}) {
    INFO(good);
    CHECK(contains(error_of(store.find(good)), "not_found"));
  }
  for (const std::string& bad :
       std::vector<std::string>{"", ".", "..", ".work-1", "-a", "_a", "A", "a/b", "a b", "a\n",
                                std::string(65, 'a'), std::string("a\0b", 3)}) {
    INFO(bad);
    CHECK(contains(error_of(store.find(bad)), "invalid"));
    CHECK(contains(error_of(store.remove(bad)), "invalid"));
    CHECK(contains(error_of(store.pin(bad)), "invalid"));
  }
}

TEST_CASE("a missing image is named together with the way to make it") {
  const TempDir state;
  const std::string text = error_of(entries(state).find("web"));
  CHECK(contains(text, "image \"web\""));
  CHECK(contains(text, "mvrunner image build"));
}

TEST_CASE("a published image is found, listed, read-only and alone in the store") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "one").has_value());
  REQUIRE(publish(store, "db", "two").has_value());
  const auto found = store.find("web");
  REQUIRE(found.has_value());
  CHECK(found->labels == sample_manifest("web").labels);
  const auto all = store.list();
  REQUIRE(all.has_value());
  REQUIRE(all->size() == 2);
  CHECK((*all)[0].name == "db");
  struct stat facts {};
  REQUIRE(::stat(store.data_path("web").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0444);
  CHECK(names_in(state / "images") == std::vector<std::string>{"db", "web"});
}

TEST_CASE("an empty or absent store lists nothing") {
  const TempDir state;
  const auto all = entries(state).list();
  REQUIRE(all.has_value());
  CHECK(all->empty());
}

TEST_CASE(
    "an image with a damaged manifest is left out of the list, explained by find, removable") {
  const TempDir state;
  const EntryStore store = entries(state);
  put(state / "images/bad/rootfs.ext4", "x");
  put(state / "images/bad/manifest.json", "{");
  CHECK(store.list()->empty());
  CHECK(contains(error_of(store.find("bad")), "bad/manifest.json"));
  CHECK(store.remove("bad").has_value());
  CHECK(names_in(state / "images").empty());
}

TEST_CASE("a manifest of another image is refused") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "one").has_value());
  std::filesystem::rename(state / "images/web", state / "images/other");
  CHECK(contains(error_of(store.find("other")), "manifest of \"web\""));
}

TEST_CASE("replacing an unused image leaves only the new one") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "old").has_value());
  REQUIRE(publish(store, "web", "new").has_value());
  CHECK(get(store.data_path("web")) == "new");
  CHECK(names_in(state / "images") == std::vector<std::string>{"web"});
}

TEST_CASE("a VM keeps the image it was started from until it ends") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  REQUIRE(pin.has_value());
  REQUIRE(publish(store, "web", "new").has_value());
  CHECK(read_through(*pin) == "old");
  CHECK(get(store.data_path("web")) == "new");
  // The old file is still on disk, out of the way of every name.
  REQUIRE(names_in(state / "images").size() == 2);
  const std::string aside = names_in(state / "images")[0];
  CHECK(contains(aside, ".old-"));
  CHECK(get(state / ("images/" + aside + "/rootfs.ext4")) == "old");
  CHECK(store.list()->size() == 1);

  SECTION("while the VM lives, later builds do not sweep it") {
    REQUIRE(store.make_work_directory().has_value());
    CHECK(names_in(state / "images").size() == 2);
  }
  SECTION("after its end the next build sweeps it") {
    *pin = Fd();
    REQUIRE(store.make_work_directory().has_value());
    CHECK(names_in(state / "images") == std::vector<std::string>{"web"});
  }
}

TEST_CASE("an entry in use cannot be removed, before and after its VM ends") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  auto second = store.pin("web");
  REQUIRE(pin.has_value());
  REQUIRE(second.has_value());
  CHECK(contains(error_of(store.remove("web")), "busy: image \"web\" is used by a running VM"));
  CHECK(store.find("web").has_value());
  *pin = Fd();
  CHECK(contains(error_of(store.remove("web")), "busy"));
  *second = Fd();
  CHECK(store.remove("web").has_value());
  CHECK(contains(error_of(store.find("web")), "not_found"));
  CHECK(contains(error_of(store.remove("web")), "not_found"));
  CHECK(names_in(state / "images").empty());
}

TEST_CASE("a pin of an entry lives on in a process that inherited it") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "old").has_value());
  auto pin = store.pin("web");
  REQUIRE(pin.has_value());
  sys::SpawnOptions options;
  options.argv = {"/bin/cat"};
  auto pipe = std::array<int, 2>{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  const Fd read(pipe[0]);
  Fd write(pipe[1]);
  options.fds = {{read.get(), 0}, {pin->get(), 9}};
  auto vmm = sys::Process::spawn(options);
  REQUIRE(vmm.has_value());
  *pin = Fd();
  CHECK(contains(error_of(store.remove("web")), "busy"));
  write = Fd();  // the end of its input ends cat
  REQUIRE(vmm->wait(Duration{10'000}).has_value());
  CHECK(store.remove("web").has_value());
}

TEST_CASE("a failed publication leaves the image as it was") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "old").has_value());
  {
    const auto work = store.make_work_directory();
    REQUIRE(work.has_value());
    CHECK_FALSE(store.publish(work->path(), sample_manifest("web")).has_value());  // no rootfs
    CHECK_FALSE(store.publish(work->path(), sample_manifest("../web")).has_value());
  }
  CHECK(get(store.data_path("web")) == "old");
  CHECK(names_in(state / "images") == std::vector<std::string>{"web"});
}

TEST_CASE("what a killed build left is swept, a live build is not") {
  const TempDir state;
  const EntryStore store = entries(state);
  put(state / "images/.work-1-0/rootfs.ext4", "half");
  put(state / "images/.work-1-0/tree/etc/passwd", "");
  put(state / "images/.old-1-0/rootfs.ext4", "unused");
  put(state / "images/not-ours.txt", "");
  const auto live = store.make_work_directory();
  REQUIRE(live.has_value());
  const auto second = store.make_work_directory();
  REQUIRE(second.has_value());
  CHECK(live->path() != second->path());
  CHECK(sys::exists(live->path()));
  CHECK(names_in(state / "images").size() == 3);  // two live ones, and the foreign file
  CHECK(sys::exists(state / "images/not-ours.txt"));
}

TEST_CASE("a crash just after the exchange does not lose an image that a VM uses") {
  const TempDir state;
  const EntryStore store = entries(state);
  // The work directory of the dead build holds what had the name before.
  put(state / "images/.work-1-0/entry/rootfs.ext4", "old");
  const Fd vm(::open((state / "images/.work-1-0/entry/rootfs.ext4").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::flock(vm.get(), LOCK_SH | LOCK_NB) == 0);
  { REQUIRE(store.make_work_directory().has_value()); }
  REQUIRE(names_in(state / "images").size() == 1);
  CHECK(get(state / ("images/" + names_in(state / "images")[0] + "/rootfs.ext4")) == "old");
}

TEST_CASE("a build that dies is told from a live one by its lock") {
  const TempDir state;
  const EntryStore store = entries(state);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto work = store.make_work_directory();
    ::_exit(work && names_in(state / "images").size() == 1 ? 0 : 1);  // no clean-up: a crash
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  REQUIRE(names_in(state / "images").size() == 1);
  const auto work = store.make_work_directory();
  REQUIRE(work.has_value());
  CHECK(names_in(state / "images").size() == 1);
}

TEST_CASE("readers see one whole image at every moment of many replacements") {
  const TempDir state;
  const EntryStore store = entries(state);
  REQUIRE(publish(store, "web", "0").has_value());
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool ok = true;
    for (int round = 1; round <= 60; ++round) {
      ok = ok && publish(store, "web", std::to_string(round)).has_value();
    }
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  std::string failures;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const auto found = store.find("web");
    if (!found) failures += error_of(found) + "\n";
    const auto pin = store.pin("web");
    if (!pin && pin.error().code != Errc::busy) failures += error_of(pin) + "\n";
    if (pin && read_through(*pin).empty()) failures += "empty image\n";
  }
  CHECK(status == 0);
  CHECK(failures.empty());
  CHECK(get(store.data_path("web")) == "60");
}

}  // namespace
}  // namespace mvr::image
