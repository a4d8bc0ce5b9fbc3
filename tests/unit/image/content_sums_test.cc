#include "image/content_sums.h"

#include <fcntl.h>

#include <map>
#include <random>
#include <string>

#include "base/fd.h"
#include "catch.h"
#include "image/block_file.h"
#include "temp_dir.h"

namespace mvr::image {
namespace {

constexpr std::uint64_t kFarBehind = 1U << 20U;

std::string blocks_of(std::size_t count, char first) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    all.append(kBlockSize, static_cast<char>(first + static_cast<char>(i)));
  }
  return all;
}

std::string expected_sum(std::uint32_t place, std::string_view blocks) {
  sys::Sha256 sha;
  for (; !blocks.empty(); blocks.remove_prefix(kBlockSize), ++place) {
    std::string number(8, '\0');
    for (unsigned i = 0; i < 4; ++i) number[i] = static_cast<char>(place >> (8 * i) & 0xffU);
    sha.add(number);
    sha.add(blocks.substr(0, kBlockSize));
  }
  const auto sum = sha.take();
  return {sum.begin(), sum.end()};
}

}  // namespace

TEST_CASE("sums are those of each file, however large it is and wherever it began") {
  const test::TempDir directory;
  const Fd file(::open((directory / "image").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ContentSums sums(file.get(), kFarBehind);
  std::map<std::uint32_t, std::string> expected;
  std::mt19937 generator(11);
  const auto chance = [&generator](std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(generator);
  };
  for (std::uint32_t index = 0; index < 3000; index += 1 + chance(3)) {
    // Some larger than all that is on its way at once.
    const std::size_t count = index % 500 < 3 ? 300 : 1 + chance(4);
    const std::uint32_t place = chance(2) == 0 ? 0 : 7;
    const std::string blocks = blocks_of(count, static_cast<char>(index));
    const std::size_t first = chance(static_cast<std::uint32_t>(count)) * kBlockSize;
    sums.add(place, std::string_view(blocks).substr(0, first));
    sums.add(place + static_cast<std::uint32_t>(first / kBlockSize),
             std::string_view(blocks).substr(first));
    sums.end(index);
    expected.emplace(index, expected_sum(place, blocks));
  }
  REQUIRE(sums.complete());
  for (const auto& [index, sum] : expected) {
    const auto found = sums.get(index);
    REQUIRE(found);
    REQUIRE(*found == sum);
  }
}

TEST_CASE("a sum that cannot be written fails the whole, and nobody waits for it") {
  const Fd file(::open("/dev/full", O_RDWR | O_CLOEXEC));
  for (const std::size_t count : {std::size_t{1}, std::size_t{300}}) {
    ContentSums sums(file.get(), 0);
    const std::string blocks = blocks_of(count, 'a');
    // Far apart: each flushes the one before.
    for (std::uint32_t index = 0; index < 20'000; index += 2000) {
      sums.add(0, blocks);
      sums.end(index);
    }
    const auto done = sums.complete();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::full);
  }
}

TEST_CASE("sums that nobody asks for end with what holds them") {
  const test::TempDir directory;
  const Fd file(::open((directory / "image").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ContentSums sums(file.get(), kFarBehind);
  sums.add(0, blocks_of(400, 'a'));
}

}  // namespace mvr::image
