#include "cli/top.h"

#include "base/units.h"
#include "catch.h"
#include "cli/vm_row.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

json vm(int number) {
  return {{"vm", "small-" + std::to_string(number)},
          {"slot", number},
          {"profile", "small"},
          {"phase", "running"},
          {"age_ms", 1000 * number},
          {"scope", "acme"},
          {"repository", "acme/app"},
          {"job", "build"},
          {"memory", gib(4).value},
          {"vcpus", 2}};
}

json status(int vms) {
  json list = json::array();
  for (int n = 0; n < vms; ++n) list.push_back(vm(n));
  return {{"vms", list},
          {"waits", json::array()},
          {"used", {{"vms", vms}, {"memory", gib(4).value * 3}, {"vcpus", 6}}},
          {"capacity", {{"vms", 64}, {"memory", gib(64).value}, {"vcpus", 16}}},
          {"draining", false},
          {"pressure", ""}};
}

TEST_CASE("a VM's row shows what it uses of what it has, once that is known") {
  json row = vm(1);
  CHECK(vm_row(row) == Row{"small-1", "small", "running", "1s", "acme/app", "build", "4GiB", "2"});
  row["memory_used"] = gib(1).value + gib(1).value / 2;
  row["busy_cpus"] = 0.96;
  row["repository"] = "";
  CHECK(vm_row(row) ==
        Row{"small-1", "small", "running", "1s", "acme", "build", "1.5/4GiB", "1.0/2"});
}

TEST_CASE("the screen of top is never larger than the terminal") {
  for (const int vms : {0, 3, 200}) {
    json now = status(vms);
    for (int n = 0; n < 9; ++n) {
      now["waits"].push_back({{"jobs", 2}, {"profile", "large"}, {"text", std::string(500, 'w')}});
    }
    for (const std::size_t height : {3U, 10U, 24U, 60U}) {
      const auto lines = top_lines(now, Screen{80, height}, TopOrder::age, 0);
      CHECK(lines.size() <= height);
      for (const auto& line : lines) CHECK(line.size() <= 80);
    }
  }
}

TEST_CASE("top shows the most of what was asked for first, and scrolls to the last") {
  json now = status(50);
  now["vms"][7]["busy_cpus"] = 1.9;
  now["vms"][8]["memory_used"] = gib(3).value;
  const Screen screen;
  const auto first_vm = [&](TopOrder order) { return top_lines(now, screen, order, 0).at(5); };
  CHECK(first_vm(TopOrder::age).starts_with("small-49 "));
  CHECK(first_vm(TopOrder::cpu).starts_with("small-7 "));
  CHECK(first_vm(TopOrder::memory).starts_with("small-8 "));
  const auto end = top_lines(now, screen, TopOrder::age, 1000);
  REQUIRE(end.size() == 24);
  CHECK(end.at(22).starts_with("small-0 "));
  CHECK(end.back().ends_with("33-50 of 50"));
}

TEST_CASE("what others have named neither steers the terminal nor breaks a character") {
  json now = status(1);
  now["vms"][0]["job"] = "a\x1b[2Jb";
  now["pressure"] = "\x1b[31mhot";
  now["waits"].push_back({{"jobs", 1}, {"profile", "p"}, {"text", "\xC3\xBC\xC3\xBC\xC3\xBC"}});
  for (const std::size_t width : {5U, 6U, 7U, 8U, 80U}) {
    for (const auto& line : top_lines(now, Screen{width, 24}, TopOrder::age, 0)) {
      CHECK(line.find('\x1b') == std::string::npos);
      CHECK((line.empty() || (static_cast<unsigned char>(line.back()) != 0xC3)));
    }
  }
}

}  // namespace
}  // namespace mvr::cli
