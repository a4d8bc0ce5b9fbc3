#include "sys/nft.h"

#include "helpers.h"
#include "sys/net.h"

namespace mvr::sys {
namespace {

// All of it happens in a namespace of this run: the rules of the host are never touched.
class Firewall {
 public:
  Firewall() {
    auto fd = open_netns(unique_name());
    REQUIRE(fd);
    fd_ = std::move(*fd);
  }
  Firewall(const Firewall&) = delete;
  Firewall& operator=(const Firewall&) = delete;
  ~Firewall() { (void)remove_netns(unique_name()); }

  [[nodiscard]] Result<void> apply(const std::string& script) const {
    return nft_apply(&fd_, script);
  }
  [[nodiscard]] Result<std::string> list(const std::string& command) const {
    return nft_list(&fd_, command);
  }
  [[nodiscard]] const Fd& netns() const { return fd_; }

 private:
  Fd fd_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a script is applied in the namespace and nowhere else") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  const std::string table = unique_name();
  REQUIRE(
      firewall.apply("table inet " + table +
                     " {\n set vms { type ifname . ipv4_addr; }\n"
                     " chain forward { type filter hook forward priority 0; policy drop; }\n}\n"));
  const auto listed = firewall.list("list table inet " + table);
  REQUIRE(listed);
  CHECK(contains(*listed, "set vms"));
  CHECK(contains(*listed, "policy drop"));
  CHECK(nft_list(nullptr, "list table inet " + table).error().code == Errc::not_found);
}

TEST_CASE("a script applies as a whole or not at all") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  REQUIRE(firewall.apply("add table inet t\nadd set inet t s { type ipv4_addr; }\n"));
  const auto applied =
      firewall.apply("add element inet t s { 10.0.0.1 }\nadd element inet t absent { 10.0.0.2 }\n");
  REQUIRE_FALSE(applied);
  CHECK(applied.error().code == Errc::not_found);
  CHECK_FALSE(contains(firewall.list("list set inet t s").value(), "10.0.0.1"));
}

TEST_CASE("a connection that stays sees what failed and what others did") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  Nft nft = Nft::open(&firewall.netns()).value();
  const std::string add = "add element inet t s { 10.0.0.1 }\n";
  CHECK(nft.apply(add).error().code == Errc::not_found);
  REQUIRE(nft.apply("add table inet t\nadd set inet t s { type ipv4_addr; }\n"));
  REQUIRE(nft.apply(add));
  CHECK(contains(nft.list("list set inet t s").value(), "10.0.0.1"));
  REQUIRE(firewall.apply("delete table inet t\n"));
  CHECK(nft.list("list set inet t s").error().code == Errc::not_found);
  REQUIRE(firewall.apply("add table inet t\nadd set inet t s { type ipv4_addr; }\n"));
  for (int turn = 0; turn < 3; ++turn) {
    REQUIRE(nft.apply(add));
    REQUIRE(nft.apply(add + "delete element inet t s { 10.0.0.1 }\n"));
    CHECK_FALSE(contains(nft.list("list set inet t s").value(), "10.0.0.1"));
  }
}

TEST_CASE("the error is nft's first line") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  const auto applied = firewall.apply("add nonsense\n");
  REQUIRE_FALSE(applied);
  CHECK(applied.error().code == Errc::invalid);
  CHECK(contains(applied.error().what, "syntax error"));
  CHECK_FALSE(contains(applied.error().what, "\n"));
}

TEST_CASE("creating what exists is told apart") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  REQUIRE(firewall.apply("create table inet t\n"));
  CHECK(firewall.apply("create table inet t\n").error().code == Errc::exists);
}

TEST_CASE("an empty script changes nothing") {
  MVR_NEEDS_ROOT();
  const Firewall firewall;
  CHECK(firewall.apply(""));
  CHECK(firewall.list("list ruleset") == "");
}

}  // namespace
}  // namespace mvr::sys
