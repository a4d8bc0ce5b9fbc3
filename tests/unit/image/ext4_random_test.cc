// Random stacks of layers: what the writer streams must be what a model that is told everything at
// once says.
#include <memory>
#include <set>

#include "image_dump.h"
#include "prng.h"
#include "tar_maker.h"

namespace mvr::image {
namespace {

using File = std::shared_ptr<TarEntry>;
using State = std::map<std::string, File>;  // by path without the leading '/'

bool is_below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

void erase_below(State& state, const std::string& directory) {
  for (auto it = state.begin(); it != state.end();) {
    it = is_below(it->first, directory) ? state.erase(it) : std::next(it);
  }
}

class Stack {
 public:
  explicit Stack(std::uint64_t seed) : random_(seed) {}

  // Hides something of what is there, then adds, and puts the markers anywhere between.
  std::vector<TarEntry> layer() {
    std::vector<TarEntry> entries;
    std::vector<TarEntry> markers;
    for (std::uint64_t i = random_.below(4); i > 0 && !state_.empty(); --i) hide(markers);
    for (std::uint64_t i = 5 + random_.below(25); i > 0; --i) add(entries);
    for (TarEntry& marker : markers) {
      const auto at = static_cast<std::ptrdiff_t>(random_.below(entries.size() + 1));
      entries.insert(entries.begin() + at, std::move(marker));
    }
    return entries;
  }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  std::string pick() {
    auto it = state_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random_.below(state_.size())));
    return it->first;
  }

  void hide(std::vector<TarEntry>& markers) {
    const std::string path = pick();
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    if (state_[path]->kind == AE_IFDIR && random_.below(3) == 0) {
      markers.push_back(tar_file(path + "/.wh..wh..opq", ""));
      erase_below(state_, path);
      return;
    }
    markers.push_back(tar_file(parent + ".wh." + path.substr(parent.size()), ""));
    erase_below(state_, path);
    state_.erase(path);
  }

  // Directories are named before what is in them, as tools do.
  std::string make_parents(std::vector<TarEntry>& entries) {
    std::string path;
    for (std::uint64_t depth = random_.below(4); depth > 0; --depth) {
      path += std::string(1, static_cast<char>('a' + random_.below(4)));
      TarEntry directory = facts(path, AE_IFDIR);
      put(entries, directory);
      path += "/";
    }
    return path;
  }

  TarEntry facts(const std::string& path, unsigned kind) {
    TarEntry entry = tar_file(path, "", static_cast<unsigned>(random_.below(010000)));
    entry.kind = kind;
    entry.uid = static_cast<std::int64_t>(random_.below(3) == 0 ? random_.below(4'000'000'000U)
                                                                : random_.below(1000));
    entry.gid = static_cast<std::int64_t>(random_.below(70'000));
    entry.mtime = static_cast<std::int64_t>(random_.below(15'000'000'000U)) - 2'000'000'000;
    entry.nanoseconds = static_cast<long>(random_.below(1'000'000'000));
    for (std::uint64_t i = random_.below(3); i > 0 && kind != AE_IFLNK; --i) {
      entry.attributes.emplace_back("user.n" + std::to_string(i), noise(random_.below(200)));
    }
    return entry;
  }

  std::string noise(std::uint64_t length) {
    std::string text;
    for (std::uint64_t i = 0; i < length; ++i) text.push_back(static_cast<char>(random_.next()));
    return text;
  }

  // Some of it zeros, so that there are holes at all places.
  std::string content() {
    std::string text;
    for (std::uint64_t i = random_.below(6); i > 0; --i) {
      text += random_.below(2) == 0 ? std::string(random_.below(20'000), '\0')
                                    : noise(random_.below(9000));
    }
    return text;
  }

  void put(std::vector<TarEntry>& entries, const TarEntry& entry) {
    const auto before = state_.find(entry.path);
    const bool stays =
        before != state_.end() && before->second->kind == AE_IFDIR && entry.kind == AE_IFDIR;
    if (!stays) erase_below(state_, entry.path);
    state_[entry.path] = std::make_shared<TarEntry>(entry);
    entries.push_back(entry);
  }

  void add(std::vector<TarEntry>& entries) {
    const std::string parent = make_parents(entries);
    const std::string path = parent + static_cast<char>('a' + random_.below(6));
    switch (random_.below(6)) {
      case 0:
        return put(entries, facts(path, AE_IFDIR));
      case 1:
        return add_symlink(entries, parent);
      case 2:
        return add_link(entries, path);
      case 3:
        return put(entries, facts(path, AE_IFIFO));
      default:
        break;
    }
    TarEntry file = facts(path, AE_IFREG);
    file.text = content();
    put(entries, file);
  }

  // Of names that are never parents.
  void add_symlink(std::vector<TarEntry>& entries, const std::string& parent) {
    TarEntry link = facts(parent + "link" + std::to_string(random_.below(3)), AE_IFLNK);
    link.text = std::string(1 + random_.below(100), 't');
    link.mode = 0777;
    put(entries, link);
  }

  void add_link(std::vector<TarEntry>& entries, const std::string& path) {
    if (state_.empty()) return;
    const std::string target = pick();
    const File file = state_[target];
    if (file->kind == AE_IFDIR || is_below(target, path) || target == path) return;
    erase_below(state_, path);
    state_[path] = file;
    entries.push_back(tar_link(path, target));
  }

  Prng random_;
  State state_;
};

std::string expected_text(const State& state, const std::string& path) {
  const File file = state.at(path);
  PathFacts facts;
  facts.mode = file->kind | file->mode;
  facts.uid = static_cast<std::uint32_t>(file->uid);
  facts.gid = static_cast<std::uint32_t>(file->gid);
  facts.mtime = file->mtime;
  facts.nanoseconds = static_cast<std::uint32_t>(file->nanoseconds);
  for (const auto& [name, value] : file->attributes) facts.attributes[name] = value;
  for (const auto& [other, one] : state) {
    const bool is_child =
        is_below(other, path) && other.find('/', path.size() + 1) == std::string::npos;
    if (file->kind == AE_IFDIR ? is_child && one->kind == AE_IFDIR : one == file) facts.links++;
  }
  if (file->kind == AE_IFDIR) facts.links += 2;
  if (file->kind == AE_IFLNK) facts.content = file->text;
  if (file->kind == AE_IFREG) {
    sys::Sha256 sha;
    sha.add(file->text);
    facts.content = sha.take_hex();
  }
  if (file->kind != AE_IFDIR) facts.size = file->text.size();
  return dump_text(facts);
}

void check_same(const State& state, const std::map<std::string, PathFacts>& found) {
  std::set<std::string> of_every_root = {"/",    "/dev", "/lost+found", "/proc",
                                         "/run", "/sys", "/tmp"};
  for (const auto& [path, facts] : found) {
    if (of_every_root.count(path) != 0) continue;
    INFO(path);
    REQUIRE(state.count(path.substr(1)) == 1);
    CHECK(dump_text(facts) == expected_text(state, path.substr(1)));
  }
  for (const auto& [path, file] : state) {
    INFO(path);
    REQUIRE(found.count("/" + path) == 1);
    for (const auto& [other, one] : state) {
      if (one == file) CHECK(found.at("/" + other).inode == found.at("/" + path).inode);
    }
  }
}

TEST_CASE("random stacks of layers come back as the model has them") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    const TempDir dir;
    Stack stack(seed);
    std::vector<std::string> tars;
    for (std::uint64_t i = 0; i <= seed % 4; ++i) {
      tars.push_back(dir / (std::to_string(i) + ".tar"));
      make_tar(tars.back(), stack.layer());
    }
    const auto first = write_image(tars, dir / "1.ext4");
    INFO(error_of(first));
    REQUIRE(first.has_value());
    const auto clean = check_ext4(dir / "1.ext4");
    INFO(error_of(clean));
    REQUIRE(clean.has_value());
    check_same(stack.state(), dump_image(dir / "1.ext4"));
    REQUIRE(write_image(tars, dir / "2.ext4").has_value());
    REQUIRE(sys::sha256_file(dir / "2.ext4") == sys::sha256_file(dir / "1.ext4"));
  }
}

}  // namespace
}  // namespace mvr::image
