#include "catch.h"
#include "core/match.h"
#include "fixture.h"

namespace mvr::core::test {

TEST_CASE("a job matches the first profile that has all of its labels") {
  const Config conf = config();
  CHECK(match_profile(conf, {"linux"}) == "small");
  CHECK(match_profile(conf, {"large", "linux"}) == "large");
}

TEST_CASE("labels are compared without case") {
  CHECK(match_profile(config(), {"LARGE"}) == "large");
}

TEST_CASE("extra labels count for every profile") {
  Config conf = config();
  conf.github.extra_labels = {"Self-Hosted"};
  CHECK(match_profile(conf, {"self-hosted", "large"}) == "large");
  CHECK(match_profile(config(), {"self-hosted", "large"}) == std::nullopt);
}

TEST_CASE("no labels and unknown labels match no profile") {
  CHECK(match_profile(config(), {}) == std::nullopt);
  CHECK(match_profile(config(), {"small", "gpu"}) == std::nullopt);
}

TEST_CASE("a job's origin decides, too, which profile serves it, and why none does") {
  Config conf = config();
  JobHint job;
  job.labels = {"linux"};
  CHECK(match_job(conf, job) == "small");
  job.is_public = true;
  CHECK(match_job(conf, job) == std::nullopt);
  CHECK(why_unserved(conf, nullptr, job) == Reason{PublicRepository{"small"}});
  conf.profiles[0].public_repositories = true;
  CHECK(match_job(conf, job) == "small");
  job.is_fork = true;
  CHECK(match_job(conf, job) == std::nullopt);
  CHECK(why_unserved(conf, nullptr, job) == Reason{ForkPullRequest{"small"}});
  conf.profiles[0].fork_pull_requests = true;
  CHECK(match_job(conf, job) == "small");
  job.bar = GroupBar::refuses_public;
  Scope scope;
  scope.runner_group = "Big";
  CHECK(match_job(conf, job) == std::nullopt);
  CHECK(why_unserved(conf, &scope, job) == Reason{GroupBarred{"Big", GroupBar::refuses_public}});
  job.labels = {"gpu"};
  CHECK(why_unserved(conf, &scope, job) == Reason{NoProfile{{"gpu"}}});
}

TEST_CASE("an organisation's repositories are selected by name and pattern, without case") {
  Scope scope;
  scope.kind = ScopeKind::organization;
  CHECK(is_selected(scope, "anything"));
  CHECK_FALSE(are_named(scope));
  scope.exclude = {"*-old", "secret"};
  CHECK(is_selected(scope, "app"));
  CHECK_FALSE(is_selected(scope, "App-OLD"));
  CHECK_FALSE(is_selected(scope, "secret"));
  scope.repositories = {"app", "lib-*-c*"};
  CHECK_FALSE(are_named(scope));
  for (const char* name : {"App", "lib-x-c", "lib--cpp", "lib-a-b-cc"}) {
    INFO(name);
    CHECK(is_selected(scope, name));
  }
  for (const char* name : {"apps", "ap", "lib-c", "xlib-a-c", "lib-a-d", "lib-a-c-old"}) {
    INFO(name);
    CHECK_FALSE(is_selected(scope, name));
  }
  scope.repositories = {"app"};
  CHECK(are_named(scope));
}

TEST_CASE("every reason has a token and a sentence with its numbers") {
  const Instant later = kNow + seconds{90};
  const std::vector<std::pair<Reason, std::string>> table{
      {NoMemory{gib(16), gib(9)}, "no_memory: needs 16GiB of memory, 9GiB free"},
      {NoCpus{1, 0}, "no_cpus: needs 1 vCPU, 0 free"},
      {NoDisk{gib(10), gib(3)}, "no_disk: needs 10GiB of disk, 3GiB free"},
      {NoSlot{8}, "no_slot: all 8 VMs of this host are in use"},
      {ProfileMax{2}, "profile_max: the profile is at its limit of 2 VMs"},
      {ScopeMax{1}, "scope_max: the scope is at its limit of 1 VM"},
      {TooBig{Resources{gib(64), 32, gib(1)}, Capacity{gib(16), 16, gib(200), 8}},
       "too_big: never fits this host: needs 64GiB of memory, 32 vCPUs, 1GiB of disk; the host "
       "has 16GiB of memory, 16 vCPUs, 200GiB of disk"},
      {Draining{}, "draining: the host is draining"},
      {MissingImage{"not built"}, "missing_image: the profile cannot boot: not built"},
      {Backoff{later, 3, "boot_timeout"},
       "backoff: tries again in 1m30s after 3 failed boots (boot_timeout)"},
      {NoProfile{{"gpu", "x64"}}, "no_profile: no profile has the labels [gpu, x64]"},
      {DiscoveryDown{Error{Errc::unavailable, "HTTP 502"}, later},
       "discovery_down: queued jobs cannot be listed (HTTP 502), next try in 1m30s"},
      {Reserved{"large", later},
       "reserved: would delay a job of profile large that waits for room and is to start in 1m30s"},
      {RepositoryMax{"octo/app", 3}, "repository_max: octo/app is at its limit of 3 VMs"},
      {Pressure{"memory is short"}, "pressure: the host is under pressure: memory is short"},
      {Trial{2, "panicked"}, "trial: one VM is being tried after 2 failed boots (panicked)"},
      {PublicRepository{"small"},
       "public_repository: the repository is public, and profile small serves no public ones"},
      {ForkPullRequest{"small"},
       "fork_pull_request: it runs code of a fork's pull request, and profile small serves none"},
      {GroupBarred{"Big", GroupBar::hides_repository},
       "runner_group: the runner group \"Big\" is not open to the repository"}};
  CHECK(table.size() == std::variant_size_v<Reason>);
  for (const auto& [reason, text] : table) {
    CHECK(std::string(reason_name(reason)) + ": " + reason_text(reason, kNow) == text);
    CHECK_FALSE(reason_advice(reason).empty());
  }
}

TEST_CASE("what helps against a refusal of GitHub is what is known of it") {
  const Error known{Errc::denied, "HTTP 403", "add the address to the list"};
  CHECK(reason_advice(DiscoveryDown{known, kNow}) == "add the address to the list");
  const Error unknown{Errc::unavailable, "HTTP 502"};
  CHECK(reason_advice(DiscoveryDown{unknown, kNow}).find("githubstatus") != std::string::npos);
}

TEST_CASE("a time that has passed is now") {
  CHECK(reason_text(Backoff{kNow, 1, "vm_died"}, kNow) ==
        "tries again now after 1 failed boot (vm_died)");
}

}  // namespace mvr::core::test
