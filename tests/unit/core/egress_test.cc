#include "core/egress.h"

#include <algorithm>

#include "catch.h"

namespace mvr::core {
namespace {

using Names = std::vector<std::string>;

bool has(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TEST_CASE("names of hosts are names, and nothing else is") {
  for (const char* name : {"example.com", "a.b.c.example.com", "x-1.example.com", "1.example",
                           "_dmarc.example.com", "xn--bcher-kva.example"}) {
    CHECK(is_egress_name(name));
  }
  CHECK(is_egress_name(std::string(63, 'a') + ".com"));
  for (const std::string& name :
       {std::string(), std::string("com"), std::string(".com"), std::string("example.com."),
        std::string("Example.com"), std::string("*.example.com"), std::string("exa mple.com"),
        std::string("example.com/x"), std::string("a..b"), std::string("-a.com"),
        std::string("a-.com"), std::string("10.1.2.3"), std::string("example.com\n"),
        std::string(64, 'a') + ".com", std::string(250, 'a') + ".com"}) {
    CHECK_FALSE(is_egress_name(name));
  }
}

TEST_CASE("a limited VM may resolve GitHub's names, and those of its profile") {
  const Egress none{EgressMode::none, {"example.com"}};
  const Egress some{EgressMode::allow_list, {"example.com", "deb.debian.org"}};
  CHECK(is_limited(none));
  CHECK(is_limited(some));
  CHECK_FALSE(is_limited(Egress{}));
  CHECK_FALSE(is_limited(Egress{EgressMode::learn, {}}));
  const Names without = egress_names(none, "https://github.com");
  CHECK(has(without, "github.com"));
  CHECK(has(without, "actions.githubusercontent.com"));
  CHECK(has(without, "productionresultssa19.blob.core.windows.net"));
  CHECK_FALSE(has(without, "example.com"));
  // The object store as a whole is anybody's.
  CHECK_FALSE(has(without, "blob.core.windows.net"));
  const Names with = egress_names(some, "https://github.com");
  CHECK(has(with, "example.com"));
  CHECK(with.size() == without.size() + 2);
  CHECK(std::is_sorted(with.begin(), with.end()));
}

TEST_CASE("a name covers those below it, and no name is there twice") {
  const Egress egress{EgressMode::allow_list,
                      {"a.example.com", "example.com", "notexample.com", "api.github.com"}};
  const Names names = egress_names(egress, "https://github.com");
  CHECK(has(names, "example.com"));
  CHECK_FALSE(has(names, "a.example.com"));
  CHECK(has(names, "notexample.com"));
  CHECK_FALSE(has(names, "api.github.com"));
  CHECK_FALSE(has(names, "codeload.github.com"));
  CHECK(std::count(names.begin(), names.end(), "github.com") == 1);
}

TEST_CASE("another GitHub's host is among them, an address is not") {
  CHECK(has(egress_names({}, "https://GHE.example.org:8443/api"), "ghe.example.org"));
  const Names names = egress_names({}, "http://198.51.100.10:8080");
  CHECK_FALSE(has(names, "198.51.100.10"));
}

}  // namespace
}  // namespace mvr::core
