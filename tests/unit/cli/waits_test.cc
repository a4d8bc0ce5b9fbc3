#include "cli/waits.h"

#include <cstdlib>
#include <ctime>

#include <nlohmann/json.hpp>

#include "catch.h"

namespace mvr::cli {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;

const WallTime kNow{Duration{1'700'000'000'000}};  // 2023-11-14T22:13:20Z

json job(int id, const std::string& name, const std::string& profile) {
  return {{"id", id},         {"job", name},        {"repository", "acme/app"},   {"scope", "acme"},
          {"age_ms", 90'500}, {"profile", profile}, {"labels", {"mv-" + profile}}};
}

json vm(const std::string& name, const std::string& profile, const std::string& phase,
        const std::string& running = "") {
  return {{"vm", name},     {"profile", profile}, {"scope", "acme"},
          {"phase", phase}, {"job", running},     {"phase_ms", 5'000}};
}

// Large waits for memory, flex-4cpu-16gb for its limit, one job for a profile; small is served.
json status() {
  json waits = json::array();
  waits.push_back({{"scope", "acme"},
                   {"profile", "large"},
                   {"jobs", 2},
                   {"reason", "no_memory"},
                   {"text", "needs 16GiB of memory, 9GiB free"},
                   {"advice", "wait"},
                   {"next", "2023-11-14T22:20:20.000Z"},
                   {"oldest", job(7, "build", "large")}});
  waits.push_back({{"scope", "acme"},
                   {"profile", "flex-4cpu-16gb"},
                   {"jobs", 1},
                   {"reason", "profile_max"},
                   {"text", "the profile is at its limit of 1 VM"},
                   {"advice", "wait, or raise the profile's max"}});
  waits.push_back({{"scope", "acme"},
                   {"profile", ""},
                   {"jobs", 1},
                   {"reason", "no_profile"},
                   {"text", "no profile has the labels [gpu]"},
                   {"labels", {"gpu"}},
                   {"advice", "give a profile these labels"}});
  return {{"waits", waits},
          {"vms",
           {vm("small-a", "small", "booting"), vm("small-b", "small", "running", "lint"),
            vm("large-a", "large", "running", "pack")}}};
}

json with(const json& jobs, bool is_profile) {
  json all = status();
  all["about"] = {{"profile", is_profile}, {"jobs", jobs}};
  return all;
}

struct Utc {
  Utc() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};
const Utc kUtc;

}  // namespace

TEST_CASE("a time is the clock's and how far off it is") {
  CHECK(when_text(kNow + minutes(7), kNow) == "22:20 (in 7m)");
  CHECK(when_text(kNow + Duration{7'600}, kNow) == "22:13 (in 7s)");
  CHECK(when_text(kNow + hours(30), kNow) == "2023-11-16 04:13 (in 1d6h)");
  CHECK(when_text(kNow, kNow) == "now");
  CHECK(when_text(kNow - minutes(1), kNow) == "now");
}

TEST_CASE("every wait has its reason, the next change if known, and what to do") {
  CHECK(explain_text(status(), "", kNow) ==
        "2 jobs in acme for profile large: needs 16GiB of memory, 9GiB free\n"
        "  oldest: build of acme/app (7), queued for 1m30s\n"
        "  next change expected at 22:20 (in 7m)\n"
        "  what to do: wait\n"
        "1 job in acme for profile flex-4cpu-16gb: the profile is at its limit of 1 VM\n"
        "  what to do: wait, or raise the profile's max\n"
        "1 job in acme: no profile has the labels [gpu]\n"
        "  what to do: give a profile these labels\n");
  CHECK(explain_text({{"waits", json::array()}, {"vms", json::array()}}, "", kNow) ==
        "No job waits.\n");
}

TEST_CASE("a scope that cannot be listed is told without a count of jobs") {
  const json down = {{"waits",
                      {{{"scope", "acme"},
                        {"profile", ""},
                        {"jobs", 0},
                        {"text", "queued jobs cannot be listed (no route)"},
                        {"advice", "check the network"}}}},
                     {"vms", json::array()}};
  CHECK(explain_text(down, "", kNow) ==
        "acme: queued jobs cannot be listed (no route)\n  what to do: check the network\n");
}

TEST_CASE("a profile's waits and VMs are shown, a pattern's with those of its instances") {
  const json large = about(with(json::array(), true), "large");
  REQUIRE(large["waits"].size() == 1);
  CHECK(large["waits"][0]["profile"] == "large");
  CHECK(large["vms"].size() == 1);
  CHECK(explain_text(with(json::array(), true), "flex", kNow) ==
        "1 job in acme for profile flex-4cpu-16gb: the profile is at its limit of 1 VM\n"
        "  what to do: wait, or raise the profile's max\n");
  CHECK(explain_text(with(json::array(), true), "small", kNow) ==
        "VM small-a of profile small is booting, for 5s\n"
        "VM small-b of profile small runs lint, for 5s\n");
  CHECK(explain_text(with(json::array(), true), "idle", kNow) ==
        "No job waits for profile idle.\n");
}

TEST_CASE("a job that waits has the reason of its profile") {
  const auto text = explain_text(with(json::array({job(8, "test", "large")}), false), "test", kNow);
  CHECK(text.find("needs 16GiB of memory") != std::string::npos);
  CHECK(text.find("flex") == std::string::npos);
  CHECK(text.find("VM ") == std::string::npos);
}

TEST_CASE("a job no profile serves has the wait that says why") {
  json mine = job(9, "train", "");
  mine["text"] = "no profile has the labels [gpu]";
  CHECK(about(with(json::array({mine}), false), "9")["waits"].size() == 1);
  mine["text"] = "the repository is public";
  CHECK(about(with(json::array({mine}), false), "9")["waits"].empty());
}

TEST_CASE("of a job that does not wait it is said what is known") {
  CHECK(explain_text(with(json::array({job(3, "unit", "small")}), false), "3", kNow) ==
        "unit of acme/app (3), queued for 1m30s: VM small-a is booting, for 5s; it takes this job "
        "or another one of profile small\n");
  CHECK(explain_text(with(json::array(), false), "lint", kNow) ==
        "VM small-b of profile small runs lint, for 5s\n");
  CHECK(explain_text(with(json::array({job(4, "docs", "medium")}), false), "docs", kNow) ==
        "docs of acme/app (4), queued for 1m30s: a VM took it or is about to be started\n");
}

TEST_CASE("what nobody is called is unknown") {
  CHECK(is_unknown(with(json::array(), false), "nothing"));
  CHECK_FALSE(is_unknown(with(json::array(), true), "idle"));
  CHECK_FALSE(is_unknown(with(json::array(), false), "lint"));
  CHECK_FALSE(is_unknown(with(json::array({job(3, "unit", "small")}), false), "3"));
  CHECK_FALSE(is_unknown(status(), ""));
}

}  // namespace mvr::cli
