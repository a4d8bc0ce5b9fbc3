#include "daemon/page.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "catch.h"
#include "daemon/markup.h"

namespace mvr::daemon {
namespace {

constexpr Instant kNow{Duration{10'000'000}};
const WallTime kWall{Duration{1'700'000'000'000}};
const std::string kMarkup = "<img src=x onerror=alert(1)>\"'&";

core::World world_of(std::uint32_t vms) {
  core::World world;
  world.capacity = {gib(64), 32, gib(400), 50};
  for (core::Slot slot = 0; slot < vms; ++slot) {
    core::Vm vm;
    vm.slot = slot;
    vm.name = "small-" + std::to_string(slot);
    vm.profile = "small";
    vm.scope = "acme";
    vm.phase = core::Phase::running;
    vm.size = {mib(256), 1, gib(1)};
    vm.created = vm.since = kNow - Duration{90'000};
    vm.job = "build";
    vm.repository = "acme/app";
    world.vms[slot] = vm;
  }
  return world;
}

core::Plan plan_of(core::Reason reason) {
  core::Wait wait;
  wait.scope = "acme";
  wait.profile = "large";
  wait.jobs = 4;
  wait.reason = std::move(reason);
  wait.oldest = core::JobHint{};
  wait.oldest->name = "link";
  wait.oldest->repository = "acme/app";
  wait.oldest->created = kWall - Duration{65'000};
  wait.next = kNow + Duration{60'000};
  core::Plan plan;
  plan.waits.push_back(wait);
  return plan;
}

Page page_of(const core::World& world, const core::Plan& plan = {}) {
  const core::Config config;
  Page page = make_page(config, world, plan, kNow, kWall);
  const Samples samples;
  page.uses = samples.uses(kWall);
  page.waited = samples.waits(kWall);
  return page;
}

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

bool has(const std::string& text, std::string_view part) { return count(text, part) > 0; }

TEST_CASE("what comes from outside is text, whatever it holds") {
  CHECK(safe("a<b>\"c\"&'d'").text() == "a&lt;b&gt;&quot;c&quot;&amp;&#39;d&#39;");
  CHECK(safe("x\u202ey\x1b\xff").text() == "x\\xE2\\x80\\xAEy\\x1B\\xFF");
  CHECK(safe("\u00e4\u00e4\u00e4", 5).text() == "\u00e4\u00e4\u2026");
  CHECK(percent(1.7).text() == "100.00%");
}

TEST_CASE("no name, reason or result becomes markup") {
  core::World world = world_of(2);
  world.pressure = kMarkup;
  for (auto& [slot, vm] : world.vms) {
    vm.name = vm.profile = vm.scope = vm.job = vm.repository = kMarkup;
  }
  core::Plan plan = plan_of(core::MissingImage{kMarkup});
  plan.waits[0].scope = plan.waits[0].profile = kMarkup;
  plan.waits[0].oldest->name = plan.waits[0].oldest->repository = kMarkup;
  Page page = page_of(world, plan);
  page.host = kMarkup;
  history::FinishedJob job;
  job.job = job.vm = job.profile = job.scope = job.repository = job.workflow = kMarkup;
  job.result = job.cause = job.cause_text = kMarkup;
  page.recent.push_back(job);
  const std::string html = page_html(page);
  CHECK_FALSE(has(html, "<img"));
  CHECK(has(html, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"));
  page.recent_error = kMarkup;
  CHECK_FALSE(has(page_html(page), "<img"));
}

TEST_CASE("a wait has the words and the advice of explain") {
  const core::NoMemory reason{gib(48), gib(34)};
  const std::string html = page_html(page_of(world_of(0), plan_of(reason)));
  CHECK(has(html, safe(core::reason_text(reason, kNow)).text()));
  CHECK(has(html, safe(core::reason_advice(reason)).text()));
  CHECK(has(html, "queued for 1m5s"));
  CHECK(has(html, "datetime=\"" + format_iso8601(kWall + Duration{60'000}) + "\""));
}

TEST_CASE("each VM is a box with a title and a row; what is left is free") {
  const std::string html = page_html(page_of(world_of(3)));
  CHECK(count(html, "<svg class=\"box running\" x=") == 6);  // by memory and by vCPUs
  CHECK(count(html, "<title>small-1: running build of acme/app, for 1m30s, 256MiB, 1 vCPU") == 2);
  CHECK(count(html, "<th scope=\"row\" class=\"vm\">small-") == 3);
  CHECK(has(html, "<title>free: 63.3GiB</title>"));
  CHECK(has(html, "<title>29 free vCPUs</title>"));
}

TEST_CASE("boxes lie inside the drawing, also when VMs take more than there is") {
  core::World world = world_of(200);
  world.capacity.memory = gib(20);
  world.capacity.vcpus = 100;
  const std::string html = page_html(page_of(world));
  CHECK(count(html, "<svg class=\"box running\" x=") == 400);
  for (const std::string_view part : split(html, '<')) {
    if (!part.starts_with("svg class=\"box") || part.find(" x=\"") == std::string::npos) continue;
    const auto value = [&part](const std::string& name) {
      const std::size_t at = part.find(" " + name + "=\"") + name.size() + 3;
      return std::stod(std::string(part.substr(at, part.find('"', at) - at)));
    };
    CAPTURE(part);
    REQUIRE(value("x") + value("width") <= 100.02);
    REQUIRE(value("y") + value("height") <= 280.2);
  }
}

TEST_CASE("the page grows with what there is to show, not faster") {
  const std::size_t none = page_html(page_of(world_of(0))).size();
  const std::size_t hundred = page_html(page_of(world_of(100))).size();
  const std::size_t thousand = page_html(page_of(world_of(1000))).size();
  CHECK(thousand - none < 11 * (hundred - none));
  CHECK(none < 40'000);
}

TEST_CASE("recent jobs are those that ran, and those a fault kept from it") {
  std::vector<history::FinishedJob> entries(3);
  entries[0].cause = "unused";
  entries[1].cause = "boot_timeout";
  entries[2].cause = "cancelled";
  entries[2].job = "build";
  const auto shown = page_jobs(entries);
  REQUIRE(shown.size() == 2);
  CHECK(shown[0].cause == "boot_timeout");
  CHECK(shown[1].job == "build");
  history::FinishedJob ran;
  ran.job = "build";
  CHECK(page_jobs(std::vector<history::FinishedJob>(90, ran)).size() == kPageJobs);
}

TEST_CASE("stages stand in their order on the scale of the longest job") {
  Page page = page_of(world_of(0));
  history::FinishedJob job;
  job.job = "build";
  job.cause = "finished";
  job.result = "Succeeded";
  job.queued = kWall;
  job.created = kWall + Duration{10'000};
  job.listening = kWall + Duration{15'000};
  job.started = kWall + Duration{16'000};
  job.ended = kWall + Duration{40'000};
  page.recent.push_back(job);
  job.queued = kWall - Duration{40'000};
  job.started = std::nullopt;
  page.recent.push_back(job);
  const std::string html = page_html(page);
  CHECK(has(html, "Timeline, 0 to 1m20s"));
  CHECK(has(html, "<title>queued 10s, boot 5s, waiting for the job 1s, run 24s</title>"));
  CHECK(has(html, "<svg class=\"stage run\" x=\"20.00%\" y=\"2\" width=\"30.00%\""));
  CHECK(has(html, "<title>queued 50s, boot 5s, waiting for the job 25s</title>"));
}

TEST_CASE("clocks that disagree make no stage that is negative or outside") {
  Page page = page_of(world_of(0));
  history::FinishedJob job;
  job.job = "build";
  job.queued = kWall;
  job.created = kWall - Duration{5'000};
  job.started = kWall - Duration{9'000};
  job.ended = kWall + Duration{1'000};
  page.recent.push_back(job);
  const std::string html = page_html(page);
  CHECK_FALSE(has(html, "\"-"));
  CHECK(has(html, "<title>queued 0s, boot 0s, run 10s</title>"));
}

TEST_CASE("a stretch of the day nothing is known of is shaded, and no number") {
  Page page = page_of(world_of(0));
  for (auto& point : page.uses) point.use = Use{0.25, 0.5};
  CHECK_FALSE(has(page_html(page), "class=\"gap\""));
  CHECK(count(page_html(page), "<td class=\"number\">25%</td><td class=\"number\">50%</td>") == 24);
  for (std::size_t i = 12; i < 24; ++i) page.uses[i].use = std::nullopt;
  const std::string html = page_html(page);
  CHECK(has(html, "<rect class=\"gap\" x=\"12\" y=\"0\" width=\"12\" height=\"100\"/>"));
  CHECK(count(html, "<polyline class=\"memory\"") == 2);
  CHECK(count(html, "<td class=\"number\">not known</td>") == 2);
}

TEST_CASE("the policy allows this page's own style and script, and nothing else") {
  const std::string policy = page_policy();
  CHECK(policy.starts_with("default-src 'none'; style-src 'sha256-"));
  CHECK_FALSE(has(policy, "unsafe"));
  CHECK(has(policy, "frame-ancestors 'none'"));
  CHECK_FALSE(has(page_html(page_of(world_of(3))), " style="));
}

}  // namespace
}  // namespace mvr::daemon
