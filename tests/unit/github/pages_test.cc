#include "github/pages.h"

#include "catch.h"
#include "github/pace.h"

namespace mvr::github {
namespace {

constexpr Instant kStart{Duration{100'000}};

CachedPage page(std::string etag, std::size_t cost) {
  return CachedPage{std::move(etag), "", std::vector<int>{1}, cost, {}};
}

}  // namespace

TEST_CASE("the cache forgets the page unused for longest when it is full") {
  PageCache cache(10);
  cache.put("a", page("A", 4), kStart);
  cache.put("b", page("B", 4), kStart);
  REQUIRE(cache.find("a"));
  cache.put("c", page("C", 4), kStart);
  CHECK(cache.find("a"));
  CHECK_FALSE(cache.find("b"));
  CHECK(cache.find("c"));
  CHECK(cache.cost() == 8);
}

TEST_CASE("a new version of a page replaces the old one") {
  PageCache cache(10);
  cache.put("a", page("1", 9), kStart);
  const auto held = cache.find("a");
  cache.put("a", page("2", 3), kStart);
  CHECK(cache.find("a")->etag == "2");
  CHECK(held->etag == "1");
  CHECK(cache.cost() == 3);
  CHECK(cache.size() == 1);
}

TEST_CASE("a page larger than the cache is not kept, nor is its old version") {
  PageCache cache(10);
  cache.put("a", page("1", 5), kStart);
  cache.put("a", page("2", 11), kStart);
  CHECK_FALSE(cache.find("a"));
  CHECK(cache.cost() == 0);
}

TEST_CASE("a page with a life goes when it is not asked for any more, others stay") {
  using std::chrono::minutes;
  PageCache cache(10);
  CachedPage short_lived = page("1", 1);
  short_lived.life = minutes(30);
  cache.put("ended", short_lived, kStart);
  cache.put("goes on", short_lived, kStart);
  cache.put("list", page("2", 1), kStart);
  cache.confirm("goes on", kStart + minutes(20));
  cache.confirm("unknown", kStart + minutes(20));
  cache.put("other", page("3", 1), kStart + minutes(29));
  CHECK(cache.size() == 4);
  cache.put("other", page("4", 1), kStart + minutes(31));
  CHECK(cache.size() == 3);
  CHECK(cache.cost() == 3);
  CHECK_FALSE(cache.find("ended"));
  CHECK(cache.find("goes on"));
  CHECK(cache.find("list"));
}

TEST_CASE("an etag that could break a header is not kept") {
  const auto tag = [](std::string text) {
    ApiReply reply;
    reply.headers["etag"] = std::move(text);
    return etag_of(reply);
  };
  CHECK(tag("W/\"abc\"") == "W/\"abc\"");
  CHECK(tag("a\r\nX: y").empty());
  CHECK(tag(std::string(300, 'x')).empty());
  CHECK(etag_of(ApiReply{}).empty());
}

TEST_CASE("a pace lets a burst pass, then one per gap") {
  const Instant start{Duration{100'000}};
  Pace pace(Duration{1'000}, 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(pace.ready_at() <= start);
    pace.spend(start, 1);
  }
  CHECK(pace.ready_at() == start);
  pace.spend(start, 1);
  CHECK(pace.ready_at() == start + Duration{1'000});
  CHECK(pace.ready_at() <= start + Duration{60'000});
}

}  // namespace mvr::github
