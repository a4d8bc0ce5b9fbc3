#include "image/action_store.h"

#include "fixture.h"

namespace mvr::image {
namespace {

const std::string kSha(40, 'a');
const ActionRef kTool{"acme/tool", kSha};
const ActionRef kOther{"acme/other.x", kSha};

// An archive, in a file of its own, the same for the same text.
std::string archive(const TempDir& dir, const std::string& text = "x") {
  put(dir / "tree/tool-aaa/action.yml", text);
  output_of({"tar", "-C", dir / "tree", "--mtime=@1", "-czf", dir / "new.tar.gz", "tool-aaa"});
  return dir / "new.tar.gz";
}

std::string drive_of(const ActionStore& store) {
  const auto pinned = store.pin_current();
  INFO(error_of(pinned));
  REQUIRE(pinned);
  REQUIRE(pinned->has_value());
  return (*pinned)->path;
}

TEST_CASE("an archive is where the runner looks for it") {
  CHECK(archive_name(kTool) == "acme_tool/" + kSha + ".tar.gz");
}

TEST_CASE("a host without archives has no drive") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  CHECK_FALSE(store.current()->has_value());
  CHECK_FALSE(store.pin_current()->has_value());
  CHECK_FALSE(store.size_of(kTool));
  CHECK(store.keep_only({}));
  CHECK(store.clear());
  CHECK(*store.publish());  // an empty one
  CHECK(store.current()->value().archives == 0);
  CHECK_FALSE(*store.publish());
}

TEST_CASE("a drive has the archives, and is made again only when they are others") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  const std::string file = archive(dir);
  const std::uint64_t size = get(file).size();
  REQUIRE(store.take(kTool, file));
  CHECK_FALSE(sys::exists(file));
  CHECK(store.size_of(kTool) == Bytes{size});
  const auto made = store.publish();
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(*made);
  const ActionDrive first = store.current()->value();
  CHECK(first.archives == 1);
  CHECK(first.size == Bytes{size});
  const std::string listed = debugfs(drive_of(store), "stat /acme_tool/" + kSha + ".tar.gz");
  CHECK(contains(listed, "Mode:  0444"));
  CHECK(contains(listed, "Size: " + std::to_string(size)));
  CHECK_FALSE(*store.publish());

  REQUIRE(store.take(kOther, archive(dir, "y")));
  CHECK(*store.publish());
  CHECK(store.current()->value().archives == 2);
  REQUIRE(store.keep_only({kTool}));
  CHECK(names_in(dir / "state/actions/archives") == std::vector<std::string>{"acme_tool"});
  CHECK(*store.publish());
  CHECK(store.current()->value().name == first.name);
}

TEST_CASE("the same archives make the same drive") {
  const TempDir dir;
  std::vector<std::string> digests;
  for (const char* state : {"one", "two"}) {
    const ActionStore store(dir / state);
    const std::string file = archive(dir);
    REQUIRE(store.take(kTool, file));
    if (std::string(state) == "two") {
      put(dir / "two/actions/archives/x/y", "gone again");
      REQUIRE(store.keep_only({kTool}));
    }
    REQUIRE(store.publish());
    digests.push_back(sys::sha256_file(drive_of(store)));
  }
  CHECK(digests[0] == digests[1]);
}

TEST_CASE("a drive stays as long as a VM has it, and new VMs get the new one") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  REQUIRE(store.take(kTool, archive(dir)));
  REQUIRE(store.publish());
  auto pinned = store.pin_current();
  REQUIRE(pinned->has_value());
  const std::string old = (*pinned)->path;
  REQUIRE(store.take(kOther, archive(dir, "y")));
  REQUIRE(store.publish());
  CHECK(sys::exists(old));
  CHECK(drive_of(store) != old);
  REQUIRE(store.clear());
  CHECK(sys::exists(old));
  CHECK_FALSE(store.pin_current()->has_value());
  *pinned = std::nullopt;
  REQUIRE(store.publish());
  CHECK_FALSE(sys::exists(old));
}

TEST_CASE("what is no archive is not taken") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  put(dir / "bad", "<html>");
  CHECK(contains(error_of(store.take(kTool, dir / "bad")), "gzip"));
  CHECK_FALSE(store.size_of(kTool));
}

TEST_CASE("a broken record of the current drive is told, and mended by the next change") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  REQUIRE(store.publish());
  for (const std::string& text : {std::string("../../etc"), std::string("absent"), std::string()}) {
    INFO(text);
    put(dir / "state/actions/drives/.current", text + "\n");
    const auto pinned = store.pin_current();
    CHECK((!pinned || !*pinned));
    CHECK(*store.publish());
    CHECK(store.pin_current()->has_value());
  }
}

TEST_CASE("one changes archives at a time") {
  const TempDir dir;
  const ActionStore store(dir / "state");
  const auto lock = store.lock();
  REQUIRE(lock);
  CHECK(contains(error_of(store.lock()), "under way"));
}

}  // namespace
}  // namespace mvr::image
