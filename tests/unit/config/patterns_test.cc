// Patterns and what decides who goes first: the exact text of every problem found in them.
#include "problems.h"

namespace mvr::config {
namespace {

// A pattern whose further keys stand on line 4.
std::string pattern(const std::string& more) {
  return "profiles:\n  - name: p\n    labels: [\"{cpus}-{memory}\"]\n    " + more + "\n";
}

}  // namespace

TEST_CASE("a place holder that is malformed, alone or ambiguous is an error") {
  for (const std::string label :
       {"mv-{cpus}", "mv-{memory}gb", "{cpus}{memory}", "{cpus}-{mem}", "{cpus}-{cpus}-{memory}",
        "{cpus}-{memory", "a}b", "{cpus}2-{memory}", "{ cpus}-{memory}"}) {
    const auto found = problems_of("profiles: [{name: p, labels: [\"" + label + "\"]}]\n");
    REQUIRE(!found.empty());
    CHECK(found[0] == "c.yaml:1:31: profiles[0].labels[0]: \"" + label + "\"" + kNoLabel);
  }
  check({
      {"profiles: [{name: p, labels: [\"{cpus}-{memory}\", \"{cpus}x{memory}\"], max_vcpus: 2, "
       "max_memory: 2GiB}]\n",
       {"c.yaml:1:30: profiles[0].labels: more than one label with {cpus} and {memory}"}},
      {with_profiles("github: {extra_labels: [\"{cpus}-{memory}\"]}\n"),
       {"c.yaml:2:25: github.extra_labels[0]: \"{cpus}-{memory}\" is not a label: visible ASCII "
        "without spaces, commas and braces, at most 100 characters"}},
  });
}

TEST_CASE("a pattern says its most, other profiles do not") {
  check({
      {pattern("disk: 1GiB"),
       {"c.yaml:2:5: profiles[0].max_vcpus: is missing: a label with {cpus} and {memory} needs it",
        "c.yaml:2:5: profiles[0].max_memory: is missing: a label with {cpus} and {memory} needs "
        "it"}},
      {profile("max_vcpus: 4\n    max_memory: 8GiB"),
       {"c.yaml:4:16: profiles[0].max_vcpus: is for a profile with {cpus} and {memory} in a label",
        "c.yaml:5:17: profiles[0].max_memory: is for a profile with {cpus} and {memory} in a "
        "label"}},
      {pattern("max_vcpus: 65\n    max_memory: 5TiB"),
       {"c.yaml:4:16: profiles[0].max_vcpus: \"65\" is not a whole number from 1 to 64",
        "c.yaml:5:17: profiles[0].max_memory: \"5TiB\" is not a size from 256MiB to 4TiB, like "
        "512MiB or 4GiB"}},
      {pattern("max_vcpus: 2\n    max_memory: 4GiB\n    vcpus: 4\n    memory: 8GiB"),
       {"c.yaml:4:16: profiles[0].max_vcpus: 2 is less than vcpus, which is 4 here",
        "c.yaml:5:17: profiles[0].max_memory: 4GiB is less than memory, which is 8GiB here"}},
      {pattern("max_vcpus: 2\n    max_memory: 4608MiB\n    memory: 512MiB"),
       {"c.yaml:5:17: profiles[0].max_memory: 4.5GiB is no whole number of GiB, and {memory} is "
        "one",
        "c.yaml:6:13: profiles[0].memory: 512MiB is no whole number of GiB, and {memory} is one"}},
      {pattern("max_vcpus: 2\n    max_memory: 4GiB\n    warm: 1"),
       {"c.yaml:6:11: profiles[0].warm: is not for a profile with {cpus} and {memory} in a label: "
        "its VMs have no size before a job asks for one"}},
  });
}

TEST_CASE("a pattern whose least can never fit the host is an error") {
  check({
      {"host: {memory: 4GiB, cpus: 2}\n" +
           pattern("vcpus: 3\n    memory: 4GiB\n    max_vcpus: 4\n    max_memory: 8GiB"),
       {"c.yaml:5:12: profiles[0].vcpus: 3 never fit: host.cpus times host.cpu_overcommit is 2",
        "c.yaml:6:13: profiles[0].memory: 4GiB never fits: host.memory less host.reserve_memory is "
        "3GiB"}},
  });
}

TEST_CASE("a name that could be an instance of a pattern is an error, whichever comes first") {
  const std::string flex =
      "  - {name: flex, labels: [\"{cpus}-{memory}\"], max_vcpus: 8, max_memory: 32GiB}\n";
  const std::string named = "  - {name: flex-4cpu-16gb, labels: [x]}\n";
  check({
      {"profiles:\n" + flex + named,
       {"c.yaml:3:12: profiles[1].name: \"flex-4cpu-16gb\" and profile \"flex\" cannot be told "
        "apart: \"flex-4cpu-16gb\" also means a size of \"flex\""}},
      {"profiles:\n" + named + flex,
       {"c.yaml:3:12: profiles[1].name: \"flex\" and profile \"flex-4cpu-16gb\" cannot be told "
        "apart: \"flex-4cpu-16gb\" also means a size of \"flex\""}},
  });
}

TEST_CASE("priority, warm VMs and limits of repositories have their ranges") {
  check({
      {profile("priority: 101"),
       {"c.yaml:4:15: profiles[0].priority: \"101\" is not a whole number from -100 to 100"}},
      {profile("priority: +1"),
       {"c.yaml:4:15: profiles[0].priority: \"+1\" is not a whole number from -100 to 100"}},
      {profile("warm: 101"),
       {"c.yaml:4:11: profiles[0].warm: \"101\" is not a whole number from 0 to 100"}},
      {profile("warm_max_age: 59s"),
       {"c.yaml:4:19: profiles[0].warm_max_age: \"59s\" is not a duration from 1m to 7d, like 90s, "
        "15m or 6h"}},
      {scopes("[{repository: a/b, max_per_repo: -1}]"),
       {"c.yaml:4:44: github.scopes[0].max_per_repo: \"-1\" is not a whole number from 0 to "
        "1000"}},
  });
}

TEST_CASE("weights are numbers of repositories") {
  check({
      {with_profiles("scheduling: {weights: {a/b: 0, c: 1, A/B: 2, d/e: [1]}}\n"),
       {"c.yaml:2:29: scheduling.weights.a/b: \"0\" is not a whole number from 1 to 1000",
        "c.yaml:2:32: scheduling.weights.c: \"c\" is not a repository as owner/name",
        "c.yaml:2:51: scheduling.weights.d/e: a list is not a whole number from 1 to 1000"}},
      {with_profiles("scheduling: {weights: {a/b: 1, A/B: 2}}\n"),
       {"c.yaml:2:32: scheduling.weights.A/B: \"A/B\" has a weight already"}},
      {with_profiles("scheduling: {weights: [a/b], wights: {}}\n"),
       {"c.yaml:2:23: scheduling.weights: a list is not a mapping of keys to values",
        "c.yaml:2:30: scheduling.wights: unknown key; did you mean \"weights\"?"}},
  });
}

}  // namespace mvr::config
