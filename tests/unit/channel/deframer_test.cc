// Records out of a byte stream, whatever the chunks are.
#include "catch.h"
#include "channel/message.h"

namespace mvr::channel {
namespace {

std::vector<std::string> drain(Deframer& deframer) {
  std::vector<std::string> records;
  while (auto record = deframer.pop()) records.push_back(std::move(*record));
  return records;
}

TEST_CASE("records are found however the stream is cut") {
  const std::string stream = "\x1e{\"a\":1}\n\x1e{}\n";
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    Deframer deframer;
    REQUIRE(deframer.push(std::string_view(stream).substr(0, cut)));
    REQUIRE(deframer.push(std::string_view(stream).substr(cut)));
    CHECK(drain(deframer) == std::vector<std::string>{"{\"a\":1}", "{}"});
  }
}

TEST_CASE("records are found in a stream that comes byte by byte") {
  Deframer deframer;
  std::vector<std::string> records;
  for (const char byte : std::string("\x1eone\n\x1etwo\n")) {
    REQUIRE(deframer.push(std::string_view(&byte, 1)));
    for (auto& record : drain(deframer)) records.push_back(std::move(record));
  }
  CHECK(records == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a reader that joins in the middle starts at the next record") {
  Deframer deframer;
  REQUIRE(deframer.push("rest of one}\n\nnoise\x1e{}\n"));
  CHECK(drain(deframer) == std::vector<std::string>{"{}"});
}

TEST_CASE("a record cut by a new one is dropped") {
  Deframer deframer;
  REQUIRE(deframer.push("\x1e{\"half\":\x1e{}\n"));
  CHECK(drain(deframer) == std::vector<std::string>{"{}"});
}

TEST_CASE("bytes between two records are dropped") {
  Deframer deframer;
  REQUIRE(deframer.push("\x1e{}\nnoise\n\x1e[]\n"));
  CHECK(drain(deframer) == std::vector<std::string>{"{}", "[]"});
}

TEST_CASE("a record of exactly the limit passes and one byte more does not") {
  Deframer deframer;
  REQUIRE(deframer.push("\x1e" + std::string(kMaxRecord, 'a') + "\n"));
  CHECK(drain(deframer).front().size() == kMaxRecord);
  const auto pushed = deframer.push("\x1e" + std::string(kMaxRecord + 1, 'a'));
  REQUIRE_FALSE(pushed);
  CHECK(pushed.error().code == Errc::too_large);
}

TEST_CASE("an endless record is refused as soon as the limit is passed") {
  Deframer deframer;
  REQUIRE(deframer.push("\x1e"));
  const std::string chunk(4096, 'a');
  std::size_t taken = 0;
  while (deframer.push(chunk)) taken += chunk.size();
  CHECK(taken == kMaxRecord);
}

TEST_CASE("after a refusal the next record is found") {
  Deframer deframer;
  REQUIRE_FALSE(deframer.push("\x1e" + std::string(kMaxRecord + 1, 'a')));
  REQUIRE(deframer.push("aaa\n\x1e{}\n"));
  CHECK(drain(deframer) == std::vector<std::string>{"{}"});
}

TEST_CASE("bytes that open no record are not kept") {
  Deframer deframer;
  const std::string noise(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) REQUIRE(deframer.push(noise));
  CHECK(drain(deframer).empty());
}

}  // namespace
}  // namespace mvr::channel
