#include "daemon/metrics.h"

#include <fstream>
#include <set>
#include <sstream>

#include "base/text.h"
#include "catch.h"

namespace mvr::daemon {
namespace {

constexpr Instant kNow{Duration{100'000}};
const WallTime kWall{Duration{1'700'000'000'000}};

core::Config sample_config() {
  core::Config config;
  core::Scope scope;
  scope.owner = "acme";
  scope.repository = "app";
  config.github.scopes.push_back(scope);
  core::Profile small;
  small.name = "small";
  small.labels = {"mv-small"};
  config.profiles.push_back(small);
  core::Profile pattern;
  pattern.name = "any";
  pattern.labels = {"mv-{cpus}cpu-{memory}gb"};
  pattern.size = {gib(1), 1, gib(1)};
  pattern.most = core::Resources{gib(64), 16, gib(1)};
  config.profiles.push_back(pattern);
  return config;
}

core::Wait wait_for(core::Reason reason, std::uint32_t jobs, Duration age) {
  core::Wait wait;
  wait.scope = "acme/app";
  wait.profile = std::holds_alternative<core::NoProfile>(reason) ? "" : "small";
  wait.jobs = jobs;
  wait.reason = std::move(reason);
  wait.oldest = core::JobHint{};
  wait.oldest->created = kWall - age;
  return wait;
}

std::string text_of(const core::Config& config, const core::World& world, const core::Plan& plan,
                    const Tally& tally = {}) {
  return metrics_text({config, world, plan, tally, kNow, kWall});
}

// The line of a sample, without its value; "" when there is none.
std::string value_of(const std::string& text, const std::string& sample) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with(sample + " ")) return std::string(line.substr(sample.size() + 1));
  }
  return "";
}

TEST_CASE("waits have what explain prints: jobs by reason and the oldest one's age") {
  core::Plan plan;
  plan.waits.push_back(wait_for(core::NoMemory{gib(16), gib(9)}, 3, Duration(90'500)));
  plan.waits.push_back(wait_for(core::NoProfile{{"gpu"}}, 1, Duration(1'000)));
  plan.waits.push_back(wait_for(core::NoProfile{{"arm"}}, 2, Duration(7'000)));
  const std::string text = text_of(sample_config(), {}, plan);
  const std::string no_memory = R"({scope="acme/app",profile="small",reason="no_memory"})";
  CHECK(value_of(text, "mvrunner_waiting_jobs" + no_memory) == "3");
  CHECK(value_of(text, "mvrunner_oldest_wait_seconds" + no_memory) == "90.5");
  const std::string no_profile = R"({scope="acme/app",profile="",reason="no_profile"})";
  CHECK(value_of(text, "mvrunner_waiting_jobs" + no_profile) == "3");
  CHECK(value_of(text, "mvrunner_oldest_wait_seconds" + no_profile) == "7");
}

TEST_CASE("VMs are counted by phase; an instance counts for its pattern") {
  core::World world;
  world.capacity = {gib(8), 16, gib(100), 10};
  const auto add = [&](core::Slot slot, const char* profile, core::Phase phase) {
    core::Vm vm;
    vm.slot = slot;
    vm.profile = profile;
    vm.phase = phase;
    vm.size = {gib(2), 2, gib(4)};
    world.vms[slot] = vm;
  };
  add(0, "small", core::Phase::running);
  add(1, "any-4cpu-16gb", core::Phase::booting);
  add(2, "any-2cpu-8gb", core::Phase::booting);
  const std::string text = text_of(sample_config(), world, {});
  CHECK(value_of(text, R"(mvrunner_vms{profile="small",phase="running"})") == "1");
  CHECK(value_of(text, R"(mvrunner_vms{profile="small",phase="warm"})") == "0");
  CHECK(value_of(text, R"(mvrunner_vms{profile="any",phase="booting"})") == "2");
  CHECK(text.find("any-4cpu") == std::string::npos);
  CHECK(value_of(text, "mvrunner_capacity_memory_bytes") == "8589934592");
  CHECK(value_of(text, "mvrunner_used_memory_bytes") == "6442450944");
  CHECK(value_of(text, "mvrunner_used_vcpus") == "6");
}

TEST_CASE("scopes show what was listed, when, and whether it fails") {
  core::World world;
  auto& scope = world.scopes["acme/app"];
  scope.as_of = kNow - Duration(2'500);
  scope.demands.push_back({"small", core::Jobs(std::vector<core::JobHint>(4)), {}});
  scope.unmatched.resize(1);
  scope.failure = Error{Errc::unavailable, "503"};
  world.scopes["gone/away"];
  const std::string text = text_of(sample_config(), world, {});
  CHECK(value_of(text, R"(mvrunner_listed_jobs{scope="acme/app"})") == "5");
  CHECK(value_of(text, R"(mvrunner_listing_age_seconds{scope="acme/app"})") == "2.5");
  CHECK(value_of(text, R"(mvrunner_listing_failing{scope="acme/app"})") == "1");
  CHECK(text.find("gone/away") == std::string::npos);
}

history::FinishedJob ended_job() {
  history::FinishedJob job;
  job.profile = "any-4cpu-16gb";
  job.job = "build";
  job.result = "Succeeded";
  job.cause = "finished";
  job.queued = kWall;
  job.created = kWall + Duration(400);
  job.listening = kWall + Duration(3'400);
  job.started = kWall + Duration(3'450);
  job.ended = kWall + Duration(63'450);
  return job;
}

TEST_CASE("an ended VM is counted by cause, its job by result, its times in buckets") {
  Tally tally;
  const core::Config config = sample_config();
  tally.ended(config, ended_job());
  history::FinishedJob hostile = ended_job();
  hostile.result = "\"}\nmvrunner_draining 1";
  hostile.queued = *hostile.created + Duration(5'000);  // by a clock ahead of ours
  tally.ended(config, hostile);
  const std::string text = text_of(config, {}, {}, tally);
  CHECK(value_of(text, R"(mvrunner_vm_ends_total{profile="any",cause="finished"})") == "2");
  CHECK(value_of(text, R"(mvrunner_jobs_total{profile="any",result="succeeded"})") == "1");
  CHECK(value_of(text, R"(mvrunner_jobs_total{profile="any",result="other"})") == "1");
  const std::string queued = R"({profile="any",stage="queued")";
  CHECK(value_of(text, "mvrunner_stage_seconds_bucket" + queued + R"(,le="0.1"})") == "1");
  CHECK(value_of(text, "mvrunner_stage_seconds_bucket" + queued + R"(,le="0.5"})") == "2");
  CHECK(value_of(text, "mvrunner_stage_seconds_sum" + queued + "}") == "0.4");
  const std::string running = R"({profile="any",stage="running")";
  CHECK(value_of(text, "mvrunner_stage_seconds_bucket" + running + R"(,le="30"})") == "0");
  CHECK(value_of(text, "mvrunner_stage_seconds_bucket" + running + R"(,le="60"})") == "2");
  CHECK(value_of(text, "mvrunner_stage_seconds_count" + running + "}") == "2");
}

TEST_CASE("webhook deliveries are counted by what became of them") {
  Tally tally;
  tally.deliveries[github::Fate::hint] = 3;
  tally.deliveries[github::Fate::refused] = 40;
  const std::string text = text_of(sample_config(), {}, {}, tally);
  CHECK(value_of(text, R"(mvrunner_webhook_deliveries_total{result="hint"})") == "3");
  CHECK(value_of(text, R"(mvrunner_webhook_deliveries_total{result="refused"})") == "40");
}

TEST_CASE("a time beyond the last bound is in the bucket without end only") {
  Histogram histogram;
  histogram.add(std::chrono::hours(24));
  const std::size_t last = Histogram::kBounds.size();
  CHECK(histogram.below(last - 1) == 0);
  CHECK(histogram.below(last) == 1);
}

TEST_CASE("accounts show what is asked and what is left, repositories how they are looked at") {
  const core::Config config = sample_config();
  const core::World world;
  const core::Plan plan;
  const Tally tally;
  github::AccountState account;
  account.name = "token /t";
  account.limit = 5000;
  account.remaining = 4900;
  account.allowance = 2000;
  account.charged = 7;
  account.counts = {{"list_runs", "unchanged", 12}};
  const github::Look look{"acme", "acme/app", kNow - Duration{3'000}, Duration{10'000},
                          Duration{66'000}};
  const std::string text =
      metrics_text({config, world, plan, tally, kNow, kWall, {account}, {look}});
  CHECK(value_of(text, R"(mvrunner_github_requests_total{account="token /t",request="list_runs",)"
                       R"(outcome="unchanged"})") == "12");
  CHECK(value_of(text, R"(mvrunner_github_limit{account="token /t"})") == "5000");
  CHECK(value_of(text, R"(mvrunner_github_remaining{account="token /t"})") == "4900");
  CHECK(value_of(text, R"(mvrunner_github_poll_allowance{account="token /t"})") == "2000");
  CHECK(value_of(text, R"(mvrunner_github_poll_charged{account="token /t"})") == "7");
  const std::string of = R"({scope="acme",repository="acme/app"})";
  CHECK(value_of(text, "mvrunner_poll_interval_seconds" + of) == "10");
  CHECK(value_of(text, "mvrunner_poll_worst_seconds" + of) == "66");
  CHECK(value_of(text, "mvrunner_poll_age_seconds" + of) == "3");
}

TEST_CASE("label values keep their place whatever they hold") {
  core::Plan plan;
  plan.waits.push_back(wait_for(core::Draining{}, 1, Duration(0)));
  plan.waits[0].scope = "a\\b\"c\nd";
  const std::string text = text_of(sample_config(), {}, plan);
  CHECK(value_of(text, R"(mvrunner_waiting_jobs{scope="a\\b\"c\nd",profile="small",)"
                       R"(reason="draining"})") == "1");
}

TEST_CASE("how long GitHub takes the runner release is told while it is known") {
  const core::Config config = sample_config();
  const core::World world;
  const core::Plan plan;
  const Tally tally;
  MetricsView view{config, world, plan, tally, kNow, kWall};
  const std::string sample = R"(mvrunner_runner_release_expires_seconds{release="2.300.0"})";
  CHECK(metrics_text(view).find("expires_seconds{") == std::string::npos);
  view.release = "2.300.0";
  view.release_left = Duration{-90'000};
  CHECK(value_of(metrics_text(view), sample) == "-90");
}

MirrorState sample_mirror() {
  MirrorState mirror;
  mirror.up = true;
  mirror.restarts = 1;
  mirror.counts = {2, 1, 5, 3, 900};
  mirror.size = mib(3);
  mirror.max_size = gib(20);
  mirror.removed_blobs = 4;
  mirror.quota = HubQuota{100, 76, Duration{21'600'000}};
  return mirror;
}

TEST_CASE("a registry mirror tells hits and misses, its store and Docker Hub's quota") {
  const core::Config config = sample_config();
  const core::World world;
  const core::Plan plan;
  const Tally tally;
  MetricsView view{config, world, plan, tally, kNow, kWall};
  CHECK(metrics_text(view).find("mirror") == std::string::npos);
  view.mirror = sample_mirror();
  const std::string text = metrics_text(view);
  CHECK(value_of(text, "mvrunner_mirror_up") == "1");
  CHECK(value_of(text, "mvrunner_mirror_restarts_total") == "1");
  const auto requests = [&](const std::string& kind, const std::string& result) {
    return value_of(
        text, "mvrunner_mirror_requests_total{kind=\"" + kind + "\",result=\"" + result + "\"}");
  };
  CHECK(requests("manifest", "hit") == "2");
  CHECK(requests("manifest", "miss") == "1");
  CHECK(requests("blob", "hit") == "5");
  CHECK(requests("blob", "miss") == "3");
  CHECK(value_of(text, "mvrunner_mirror_served_bytes_total") == "900");
  CHECK(value_of(text, "mvrunner_mirror_bytes") == "3145728");
  CHECK(value_of(text, "mvrunner_mirror_max_bytes") == "21474836480");
  CHECK(value_of(text, "mvrunner_mirror_removed_blobs_total") == "4");
  CHECK(value_of(text, "mvrunner_mirror_hub_limit") == "100");
  CHECK(value_of(text, "mvrunner_mirror_hub_remaining") == "76");
  view.mirror->quota.reset();
  CHECK(metrics_text(view).find("mirror_hub") == std::string::npos);
}

TEST_CASE("a cache of actions tells how much it has of what VMs used") {
  const core::Config config = sample_config();
  const core::World world;
  const core::Plan plan;
  const Tally tally;
  MetricsView view{config, world, plan, tally, kNow, kWall};
  CHECK(metrics_text(view).find("action_cache") == std::string::npos);
  view.actions = ActionCacheState{3, mib(5), gib(2), 40};
  const std::string text = metrics_text(view);
  CHECK(value_of(text, "mvrunner_action_cache_archives") == "3");
  CHECK(value_of(text, "mvrunner_action_cache_bytes") == "5242880");
  CHECK(value_of(text, "mvrunner_action_cache_max_bytes") == "2147483648");
  CHECK(value_of(text, "mvrunner_action_cache_known") == "40");
}

TEST_CASE("the manual page has every metric, and no other") {
  std::ifstream page(MVR_SOURCE_DIR "/man/mvrunner-metrics.7");
  REQUIRE(page);
  std::set<std::string> documented;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with(".It Ic mvrunner_")) continue;
    documented.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  Tally tally;
  tally.ended(sample_config(), ended_job());
  std::set<std::string> written;
  const core::Config config = sample_config();
  const core::World world;
  const core::Plan plan;
  MetricsView view{config, world, plan, tally, kNow, kWall};
  view.mirror = sample_mirror();
  view.actions = ActionCacheState{};
  const std::string text = metrics_text(view);
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with("# TYPE ")) continue;
    const std::string_view rest = line.substr(7);
    written.insert(std::string(rest.substr(0, rest.find(' '))));
  }
  CHECK(documented == written);
}

}  // namespace
}  // namespace mvr::daemon
