#include "image/content_work.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "catch.h"
#include "image/block_file.h"
#include "image/content_writer.h"
#include "sys/sha256.h"
#include "temp_dir.h"

namespace mvr::image {
namespace {

constexpr std::uint32_t kFirst = 16;
constexpr std::uint32_t kLimit = 1U << 20U;
constexpr std::uint64_t kFarBehind = std::uint64_t{kLimit} * kBlockSize;

std::string number(std::uint64_t value) {
  std::string bytes(8, '\0');
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xffU);
  return bytes;
}

std::string digest(std::string_view bytes) {
  sys::Sha256 sha;
  sha.add(bytes);
  const auto sum = sha.take();
  return {sum.begin(), sum.end()};
}

// As content_work.h describes it, of a content in memory. Empty where it is all zeros.
std::string expected_sum(std::string content) {
  content.resize((content.size() + kBlockSize - 1) / kBlockSize * kBlockSize, '\0');
  const std::string zeros(kBlockSize, '\0');
  std::vector<std::string> sums;
  for (std::size_t chunk = 0; chunk < content.size(); chunk += ContentWork::kChunk) {
    std::string text;
    std::string run;
    const std::size_t end = std::min(content.size(), chunk + ContentWork::kChunk);
    for (std::size_t at = chunk; at <= end; at += kBlockSize) {
      const std::string block = at < end ? content.substr(at, kBlockSize) : zeros;
      if (block != zeros) {
        run += block;
      } else if (!run.empty()) {
        text += number((at - run.size()) / kBlockSize) + number(run.size() / kBlockSize) + run;
        run.clear();
      }
    }
    if (!text.empty()) sums.push_back(digest(text));
  }
  if (sums.size() < 2) return sums.empty() ? "" : sums[0];
  std::string all = number(~std::uint64_t{0});
  for (const std::string& sum : sums) all += sum;
  return digest(all);
}

// One image's file and all that writes contents into it.
class Image {
 public:
  explicit Image(unsigned helpers)
      : file_(::open((directory_ / "image").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
        blocks_(file_.get(), kFirst, kLimit),
        sums_(file_.get(), kFarBehind),
        work_(file_.get(), sums_, helpers),
        writer_(blocks_, work_) {}

  // In pieces of any size; zeros are a hole now and then.
  std::vector<Extent> write(std::uint32_t index, std::string_view content,
                            std::mt19937& generator) {
    for (std::size_t at = 0; at < content.size();) {
      std::uniform_int_distribution<std::size_t> size(1, 100'000);
      const std::string_view piece = content.substr(at, size(generator));
      const bool is_hole = piece.find_first_not_of('\0') == std::string_view::npos;
      if (!is_hole) REQUIRE(writer_.add(at, piece));
      at += piece.size();
    }
    auto extents = writer_.finish(index);
    REQUIRE(extents);
    return *extents;
  }
  void remove(const std::vector<Extent>& extents) {
    for (const Extent& one : extents) {
      REQUIRE(work_.settle({one.physical, one.count}));
      REQUIRE(blocks_.give_back({one.physical, one.count}));
    }
  }
  void complete() { REQUIRE(work_.complete()); }
  std::string sum(std::uint32_t index) {
    auto found = sums_.get(index);
    REQUIRE(found);
    return *found;
  }
  // Whatever is no block of these extents: nobody's, and zeros again.
  void check_rest(const std::vector<Extent>& all) const {
    std::vector<bool> is_taken(blocks_.end(), false);
    for (const Extent& one : all) {
      for (std::uint32_t i = 0; i < one.count; ++i) is_taken[one.physical + i] = true;
    }
    for (std::uint32_t block = kFirst; block < blocks_.end(); ++block) {
      if (is_taken[block]) continue;
      const std::string found = read({{0, block, 1}}, kBlockSize);
      REQUIRE(found.find_first_not_of('\0') == std::string::npos);
    }
  }
  // Of `size` bytes, as the extents say.
  std::string read(const std::vector<Extent>& extents, std::size_t size) const {
    std::string content((size + kBlockSize - 1) / kBlockSize * kBlockSize, '\0');
    for (const Extent& one : extents) {
      const std::size_t bytes = std::size_t{one.count} * kBlockSize;
      REQUIRE(::pread(file_.get(), content.data() + std::size_t{one.logical} * kBlockSize, bytes,
                      static_cast<off_t>(offset_of(one.physical))) == static_cast<ssize_t>(bytes));
    }
    content.resize(size);
    return content;
  }

 private:
  test::TempDir directory_;
  Fd file_;
  BlockFile blocks_;
  ContentSums sums_;
  ContentWork work_;
  ContentWriter writer_;
};

class Contents {
 public:
  explicit Contents(unsigned seed) : generator_(seed) {}
  std::mt19937& generator() { return generator_; }
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(generator_);
  }
  // Small ones, some of several chunks, a few larger than all that is on its way at once; with
  // blocks and whole chunks of zeros.
  std::string next() {
    const std::size_t kind = below(40);
    std::string content(1 + below(kind == 0 ? 3U << 20U : kind < 6 ? 300'000 : 9'000), '\0');
    const std::size_t part = kind % 3 == 0 ? ContentWork::kChunk : kBlockSize;
    for (std::size_t at = 0; at < content.size(); at += part) {
      if (below(4) == 0) continue;
      const auto letter = static_cast<char>('a' + below(26));
      std::memset(content.data() + at, letter, std::min(part, content.size() - at));
    }
    return content;
  }

 private:
  std::mt19937 generator_;
};

struct Written {
  std::string content;
  std::vector<Extent> extents;
};

void check_all(Image& image, const std::map<std::uint32_t, Written>& files) {
  std::vector<Extent> all;
  for (const auto& [index, file] : files) {
    const std::string sum = expected_sum(file.content);
    REQUIRE(file.extents.empty() == sum.empty());
    if (!sum.empty()) REQUIRE(image.sum(index) == sum);
    REQUIRE(image.read(file.extents, file.content.size()) == file.content);
    all.insert(all.end(), file.extents.begin(), file.extents.end());
  }
  image.check_rest(all);
}

}  // namespace

TEST_CASE("contents lie where their extents say and have their sums, however many threads work") {
  for (const unsigned helpers : {0U, 1U, 3U}) {
    Image image(helpers);
    Contents contents(11 + helpers);
    std::map<std::uint32_t, Written> files;
    for (std::uint32_t index = 1; files.size() < 400;
         index += 1 + static_cast<std::uint32_t>(contents.below(5))) {
      Written file{contents.next(), {}};
      file.extents = image.write(index, file.content, contents.generator());
      files.emplace(index, std::move(file));
    }
    image.complete();
    check_all(image, files);
  }
}

TEST_CASE("blocks that are given back are zeros, or what was written last") {
  for (const unsigned helpers : {0U, 1U, 3U}) {
    Image image(helpers);
    Contents contents(23 + helpers);
    std::map<std::uint32_t, Written> files;
    for (std::uint32_t index = 1; index < 600; ++index) {
      if (!files.empty() && contents.below(3) == 0) {
        // The latest one as well: it is still on its way.
        auto victim = std::prev(files.end());
        if (contents.below(2) == 0) {
          victim =
              std::next(files.begin(), static_cast<std::ptrdiff_t>(contents.below(files.size())));
        }
        image.remove(victim->second.extents);
        files.erase(victim);
      }
      Written file{contents.next(), {}};
      file.extents = image.write(index, file.content, contents.generator());
      files.emplace(index, std::move(file));
    }
    // Nobody takes these again, and some are on their way in several steps.
    for (int i = 0; i < 60; ++i) {
      image.remove(std::prev(files.end())->second.extents);
      files.erase(std::prev(files.end()));
    }
    image.complete();
    check_all(image, files);
  }
}

TEST_CASE("a write that fails ends the work, and nobody waits for it") {
  const test::TempDir directory;
  const Fd file(::open("/dev/full", O_RDWR | O_CLOEXEC));
  const Fd good(::open((directory / "sums").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  for (const unsigned helpers : {0U, 1U, 3U}) {
    for (const std::size_t count : {1U, 200U}) {
      BlockFile blocks(file.get(), kFirst, kLimit);
      ContentSums sums(good.get(), 0);
      ContentWork work(file.get(), sums, helpers);
      ContentWriter writer(blocks, work);
      Result<void> done;
      for (std::uint32_t index = 0; index < count && done; ++index) {
        done = writer.add(0, std::string(50'000, 'x'));
        if (done) done = writer.finish(index).map([](const auto&) {});
      }
      // So many do not fit into what is on its way: the failure shows before the end.
      CHECK(done.has_value() == (count == 1));
      if (done) done = work.complete();
      REQUIRE_FALSE(done);
      CHECK(done.error().code == Errc::full);
    }
  }
}

TEST_CASE("a sum that cannot be kept fails the whole") {
  const test::TempDir directory;
  const Fd good(::open((directory / "image").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const Fd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  BlockFile blocks(good.get(), kFirst, kLimit);
  ContentSums sums(full.get(), 0);
  ContentWork work(good.get(), sums, 1);
  ContentWriter writer(blocks, work);
  for (std::uint32_t index = 0; index < 3; ++index) {
    REQUIRE(writer.add(0, "x"));
    REQUIRE(writer.finish(index * 2000));  // far apart: each is kept before the next
  }
  const auto done = work.complete();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Errc::full);
}

TEST_CASE("contents that nobody completes end with what holds them") {
  Image image(3);
  Contents contents(5);
  for (std::uint32_t index = 1; index < 100; ++index) {
    (void)image.write(index, contents.next(), contents.generator());
  }
}

}  // namespace mvr::image
