// Values that are wrong, and the exact text of every problem found in them.
#include "problems.h"

namespace mvr::config {
namespace {

std::string many_labels(int count) {
  std::string labels;
  for (int i = 0; i < count; ++i) labels += (i > 0 ? ", l" : "l") + std::to_string(i);
  return labels;
}

}  // namespace

TEST_CASE("an unknown key is an error with the nearest known one") {
  check({
      {with_profiles("stat_dir: /x\n"),
       {"c.yaml:2:1: stat_dir: unknown key; did you mean \"state_dir\"?"}},
      {with_profiles("host:\n  max_vm: 5\n  speed: 7\n"),
       {"c.yaml:3:3: host.max_vm: unknown key; did you mean \"max_vms\"?",
        "c.yaml:4:3: host.speed: unknown key; known here: id, memory, cpus, disk, reserve_memory, "
        "reserve_disk, cpu_overcommit, max_vms, limits"}},
      {profile("labls: [y]"),
       {"c.yaml:4:5: profiles[0].labls: unknown key; did you mean \"labels\"?"}},
      {with_profiles("github: {tokenfile: /t}\n"),
       {"c.yaml:2:10: github.tokenfile: unknown key; did you mean \"token_file\"?"}},
      {with_profiles("? x\n"),
       {"c.yaml:2:3: x: unknown key; known here: state_dir, run_dir, instance, log_level, "
        "control_group, runner, runner_update, github, host, network, registry_mirror, "
        "action_cache, saved_states, vmm, web, scheduling, history, report, images, profiles"}},
  });
}

TEST_CASE("a key given twice is an error that names the first") {
  check({
      {with_profiles("host:\n  max_vms: 1\n  cpus: 3\n  max_vms: 2\n"),
       {"c.yaml:5:3: host.max_vms: given twice, first at line 3"}},
      {with_profiles("host: {}\nhost: {id: a}\n"),
       {"c.yaml:3:1: host: given twice, first at line 2"}},
  });
}

TEST_CASE("a value of the wrong kind is an error") {
  check({
      {with_profiles("state_dir: [a]\n"),
       {"c.yaml:2:12: state_dir: a list is not an absolute path without \".\", \"..\" and a final "
        "slash, at most 80 bytes"}},
      {with_profiles("host: 5\n"),
       {"c.yaml:2:7: host: a single value is not a mapping of keys to values"}},
      {with_profiles("host: [5]\n"),
       {"c.yaml:2:7: host: a list is not a mapping of keys to values"}},
      {with_profiles("log_level:\n"),
       {"c.yaml:2:1: log_level: an empty value is not one of debug, info, warn, error"}},
      {with_profiles("network: {allow: 10.0.0.0/8}\n"),
       {"c.yaml:2:18: network.allow: a single value is not a list"}},
      {"profiles: {name: p}\n", {"c.yaml:1:11: profiles: a mapping is not a list"}},
      {"profiles: [p]\n",
       {"c.yaml:1:12: profiles[0]: a single value is not a mapping of keys to values"}},
      {"[]\n", {"c.yaml:1:1: a list is not a mapping of keys to values"}},
      {"text\n", {"c.yaml:1:1: a single value is not a mapping of keys to values"}},
      {profile("vcpus: {a: 1}"),
       {"c.yaml:4:12: profiles[0].vcpus: a mapping is not a whole number from 1 to 64"}},
      {profile("vcpus: two"),
       {"c.yaml:4:12: profiles[0].vcpus: \"two\" is not a whole number from 1 to 64"}},
      {profile("memory: ~"),
       {"c.yaml:4:5: profiles[0].memory: an empty value is not a size from 256MiB to 4TiB, like "
        "512MiB or 4GiB"}},
  });
}

TEST_CASE("a document without profiles is an error") {
  check({
      {"", {"c.yaml: profiles: is missing: give at least one profile"}},
      {"# nothing\n", {"c.yaml: profiles: is missing: give at least one profile"}},
      {"profiles:\n", {"c.yaml:1:1: profiles: is missing: give at least one profile"}},
      {"profiles: []\n", {"c.yaml:1:11: profiles: is missing: give at least one profile"}},
      {"instance: a\n", {"c.yaml:1:1: profiles: is missing: give at least one profile"}},
  });
}

TEST_CASE("numbers out of range are errors that say the range") {
  check({
      {profile("vcpus: 0"),
       {"c.yaml:4:12: profiles[0].vcpus: \"0\" is not a whole number from 1 to 64"}},
      {profile("vcpus: 65"),
       {"c.yaml:4:12: profiles[0].vcpus: \"65\" is not a whole number from 1 to 64"}},
      {profile("vcpus: -1"),
       {"c.yaml:4:12: profiles[0].vcpus: \"-1\" is not a whole number from 1 to 64"}},
      {profile("vcpus: 1.5"),
       {"c.yaml:4:12: profiles[0].vcpus: \"1.5\" is not a whole number from 1 to 64"}},
      {profile("vcpus: 99999999999999999999"),
       {"c.yaml:4:12: profiles[0].vcpus: \"99999999999999999999\" is not a whole number from 1 to "
        "64"}},
      {profile("max: 1001"),
       {"c.yaml:4:10: profiles[0].max: \"1001\" is not a whole number from 0 to 1000"}},
      {with_profiles("host: {max_vms: 0}\n"),
       {"c.yaml:2:17: host.max_vms: \"0\" is not a whole number from 1 to 1000"}},
      {with_profiles("host: {cpus: 0}\n"),
       {"c.yaml:2:14: host.cpus: \"0\" is not auto or a whole number from 1 to 4096"}},
      {with_profiles("host: {cpu_overcommit: 0}\n"),
       {"c.yaml:2:24: host.cpu_overcommit: \"0\" is not a number from 0.1 to 64.0"}},
      {with_profiles("host: {cpu_overcommit: .inf}\n"),
       {"c.yaml:2:24: host.cpu_overcommit: \".inf\" is not a number from 0.1 to 64.0"}},
      {with_profiles("host: {cpu_overcommit: 1e1}\n"),
       {"c.yaml:2:24: host.cpu_overcommit: \"1e1\" is not a number from 0.1 to 64.0"}},
      {with_profiles("web: {listen: localhost:9840}\n"),
       {"c.yaml:2:15: web.listen: \"localhost:9840\" is not an address and port like "
        "127.0.0.1:9840 or [::1]:9840 (or \"\" for none)"}},
      {with_profiles("web: {listen: \"[::g]:9840\"}\n"),
       {"c.yaml:2:15: web.listen: \"[::g]:9840\" is not an address and port like "
        "127.0.0.1:9840 or [::1]:9840 (or \"\" for none)"}},
      {with_profiles("vmm: {uid_base: 1000}\n"),
       {"c.yaml:2:17: vmm.uid_base: \"1000\" is not a whole number from 65536 to 2147000000"}},
  });
}

TEST_CASE("sizes out of range or without a binary unit are errors") {
  check({
      {profile("memory: 255MiB"),
       {"c.yaml:4:13: profiles[0].memory: \"255MiB\" is not a size from 256MiB to 4TiB, like "
        "512MiB or 4GiB"}},
      {profile("memory: 4GB"),
       {"c.yaml:4:13: profiles[0].memory: \"4GB\" is not a size from 256MiB to 4TiB, like 512MiB "
        "or 4GiB"}},
      {profile("memory: 4 GiB"),
       {"c.yaml:4:13: profiles[0].memory: \"4 GiB\" is not a size from 256MiB to 4TiB, like 512MiB "
        "or 4GiB"}},
      {profile("memory: 1.5GiB"),
       {"c.yaml:4:13: profiles[0].memory: \"1.5GiB\" is not a size from 256MiB to 4TiB, like "
        "512MiB or 4GiB"}},
      {profile("disk: 1023MiB"),
       {"c.yaml:4:11: profiles[0].disk: \"1023MiB\" is not a size from 1GiB to 64TiB, like 512MiB "
        "or 4GiB"}},
      {with_profiles("host: {reserve_memory: -1}\n"),
       {"c.yaml:2:24: host.reserve_memory: \"-1\" is not a size from 0B to 64TiB, like 512MiB or "
        "4GiB"}},
      {with_profiles("host: {memory: automatic}\n"),
       {"c.yaml:2:16: host.memory: \"automatic\" is not auto or a size from 256MiB to 64TiB, like "
        "512MiB or 4GiB"}},
      {with_profiles("host: {cpus: 2GiB}\n"),
       {"c.yaml:2:14: host.cpus: \"2GiB\" is not auto or a whole number from 1 to 4096"}},
  });
}

TEST_CASE("durations out of range or without a unit are errors") {
  check({
      {with_profiles("github: {poll_interval: 10}\n"),
       {"c.yaml:2:25: github.poll_interval: \"10\" is not a duration from 1s to 1h, like 90s, 15m "
        "or 6h"}},
      {with_profiles("github: {poll_interval: 999ms}\n"),
       {"c.yaml:2:25: github.poll_interval: \"999ms\" is not a duration from 1s to 1h, like 90s, "
        "15m or 6h"}},
      {profile("boot_timeout: 2h"),
       {"c.yaml:4:19: profiles[0].boot_timeout: \"2h\" is not a duration from 1s to 1h, like 90s, "
        "15m or 6h"}},
      {profile("listen_timeout: soon"),
       {"c.yaml:4:21: profiles[0].listen_timeout: \"soon\" is not a duration from 1s to 1d, like "
        "90s, 15m or 6h"}},
      {profile("job_timeout: 36d"),
       {"c.yaml:4:18: profiles[0].job_timeout: \"36d\" is not a duration from 1s to 35d, like 90s, "
        "15m or 6h"}},
  });
}

TEST_CASE("paths, names and words that cannot work are errors") {
  check({
      {with_profiles("state_dir: var/lib\n"),
       {"c.yaml:2:12: state_dir: \"var/lib\" is not an absolute path without \".\", \"..\" and a "
        "final slash, at most 80 bytes"}},
      {with_profiles("state_dir: /var/../lib\n"),
       {"c.yaml:2:12: state_dir: \"/var/../lib\" is not an absolute path without \".\", \"..\" and "
        "a final slash, at most 80 bytes"}},
      {with_profiles("run_dir: /" + std::string(80, 'r') + "\n"),
       {"c.yaml:2:10: run_dir: \"/" + std::string(59, 'r') +
        "\" is not an absolute path without \".\", \"..\" and a final slash, at most 80 bytes"}},
      {with_profiles("run_dir: /var/lib/mvrunner\n"),
       {"c.yaml:2:10: run_dir: must differ from state_dir"}},
      {with_profiles("instance: My_Runner\n"),
       {"c.yaml:2:11: instance: \"My_Runner\" is not 1 to 8 characters of a-z and 0-9"}},
      {with_profiles("instance: mvrunner1\n"),
       {"c.yaml:2:11: instance: \"mvrunner1\" is not 1 to 8 characters of a-z and 0-9"}},
      {with_profiles("log_level: verbose\n"),
       {"c.yaml:2:12: log_level: \"verbose\" is not one of debug, info, warn, error"}},
      {with_profiles("control_group: \"a b\"\n"),
       {"c.yaml:2:16: control_group: \"a b\" is not a group's name: a-z, 0-9, _ and -, at most 32 "
        "characters"}},
      {with_profiles("runner: ../x\n"),
       {"c.yaml:2:9: runner: \"../x\" is not a name in the store: a-z, 0-9 and inner . _ - (or "
        "\"\" for none)"}},
      {with_profiles("host: {id: a_b}\n"),
       {"c.yaml:2:12: host.id: \"a_b\" is not a plain name: a-z, 0-9 and inner hyphens, at most 20 "
        "characters"}},
      {with_profiles("host: {id: abcdefghijklmnopqrstu}\n"),
       {"c.yaml:2:12: host.id: \"abcdefghijklmnopqrstu\" is not a plain name: a-z, 0-9 and inner "
        "hyphens, at most 20 characters"}},
      {with_profiles("vmm: {backend: firecracker, accel: tcg}\n"),
       {"c.yaml:2:36: vmm.accel: Firecracker has no emulation: accel must be kvm or auto"}},
      {with_profiles("vmm: {backend: xen, accel: yes, qemu_binary: ./qemu}\n"),
       {"c.yaml:2:16: vmm.backend: \"xen\" is not one of auto, firecracker, qemu",
        "c.yaml:2:28: vmm.accel: \"yes\" is not one of auto, kvm, tcg",
        "c.yaml:2:46: vmm.qemu_binary: \"./qemu\" is not a program's name or its absolute path"}},
      {with_profiles("registry_mirror: yes\n"),
       {"c.yaml:2:18: registry_mirror: \"yes\" is not on, off, true or false"}},
      {with_profiles(
           "registry_mirror: {enabled: 1, upstream: registry-1.docker.io, max_size: 1KiB, "
           "ttl: 7d}\n"),
       {"c.yaml:2:28: registry_mirror.enabled: \"1\" is not on, off, true or false",
        "c.yaml:2:41: registry_mirror.upstream: \"registry-1.docker.io\" is not a web address like "
        "https://github.com, without a path",
        "c.yaml:2:73: registry_mirror.max_size: \"1KiB\" is not a size from 1MiB to 1024TiB, like "
        "512MiB or 4GiB",
        "c.yaml:2:79: registry_mirror.ttl: unknown key; known here: enabled, upstream, login_file, "
        "login_credential, max_size"}},
      {with_profiles("registry_mirror: {login_file: /a, login_credential: b}\n"),
       {"c.yaml:2:53: registry_mirror.login_credential: login_file is given too; keep one of the "
        "two"}},
      {with_profiles("action_cache: 2GiB\n"),
       {"c.yaml:2:15: action_cache: \"2GiB\" is not on, off, true or false"}},
      {with_profiles("action_cache: {max_size: 2TiB, budget: 1}\n"),
       {"c.yaml:2:26: action_cache.max_size: \"2TiB\" is not a size from 1MiB to 1TiB, like 512MiB "
        "or 4GiB",
        "c.yaml:2:32: action_cache.budget: unknown key; known here: enabled, max_size"}},
      {with_profiles("network: {resolv_conf: resolv.conf}\n"),
       {"c.yaml:2:24: network.resolv_conf: \"resolv.conf\" is not an absolute path of a file"}},
      {profile("image: Debian"),
       {"c.yaml:4:12: profiles[0].image: \"Debian\" is not a name in the store: a-z, 0-9 and inner "
        ". _ -, at most 64 characters"}},
      {profile("image: a/b"),
       {"c.yaml:4:12: profiles[0].image: \"a/b\" is not a name in the store: a-z, 0-9 and inner . "
        "_ -, at most 64 characters"}},
      {profile("kernel: \"6.1 generic\""),
       {"c.yaml:4:13: profiles[0].kernel: \"6.1 generic\" is not \"default\" or a kernel release "
        "like 6.1.0-39-amd64"}},
  });
}

TEST_CASE("names that nobody can resolve, and a list that nothing asks for, are errors") {
  const auto profile = [](const std::string& keys) {
    return "profiles:\n- {name: p, labels: [x], " + keys + "}\n";
  };
  check({
      {profile("egress: closed"),
       {"c.yaml:2:34: profiles[0].egress: \"closed\" is not one of open, allow-list, none, learn"}},
      {profile("egress: allow-list, egress_allow: [192.0.2.1, localhost, a_.x]"),
       {"c.yaml:2:61: profiles[0].egress_allow[0]: \"192.0.2.1\" is not a host's name like "
        "example.com",
        "c.yaml:2:72: profiles[0].egress_allow[1]: \"localhost\" is not a host's name like "
        "example.com"}},
      {profile("egress_allow: [a.example]"),
       {"c.yaml:2:40: profiles[0].egress_allow: is for egress: allow-list, which is open here"}},
  });
}

TEST_CASE("a machine that no VMM has, and limits nothing passes, are errors") {
  const auto profile = [](const std::string& keys) {
    return "profiles:\n- {name: p, labels: [x], " + keys + "}\n";
  };
  check({
      {profile("vmm: xen, huge_pages: big, smt: 2"),
       {"c.yaml:2:31: profiles[0].vmm: \"xen\" is not one of auto, firecracker, qemu",
        "c.yaml:2:48: profiles[0].huge_pages: \"big\" is not one of none, transparent, reserved",
        "c.yaml:2:58: profiles[0].smt: \"2\" is not true or false"}},
      {profile("rate_limits: {network: 1KiB, disk: fast, iops: 3, speed: 1}"),
       {"c.yaml:2:49: profiles[0].rate_limits.network: \"1KiB\" is not unlimited or a size from "
        "64KiB to 1TiB, like 512MiB or 4GiB",
        "c.yaml:2:61: profiles[0].rate_limits.disk: \"fast\" is not unlimited or a size from 64KiB "
        "to 1TiB, like 512MiB or 4GiB",
        "c.yaml:2:73: profiles[0].rate_limits.iops: \"3\" is not unlimited or a whole number from "
        "10 to 10000000",
        "c.yaml:2:76: profiles[0].rate_limits.speed: unknown key; known here: network, disk, "
        "iops"}},
      {profile("vcpus: 3, smt: true"),
       {"c.yaml:2:41: profiles[0].smt: 3 vCPUs make no pairs of threads"}},
      {profile("memory: 1025MiB, huge_pages: reserved"),
       {"c.yaml:2:34: profiles[0].memory: is no whole number of huge pages of 2MiB"}},
      {"vmm: {accel: tcg}\n" + profile("vmm: firecracker"),
       {"c.yaml:3:31: profiles[0].vmm: Firecracker has no emulation, which vmm.accel: tcg asks "
        "for"}},
      {with_profiles("host: {limits: none}\n"),
       {"c.yaml:2:16: host.limits: \"none\" is not one of required, best-effort"}},
  });
}

TEST_CASE("a profile without a name or labels is an error") {
  check({
      {"profiles: [{}]\n",
       {"c.yaml:1:12: profiles[0].name: is missing: give a plain name: a-z, 0-9 and inner hyphens, "
        "at most 20 characters",
        "c.yaml:1:12: profiles[0].labels: is missing: give at least one label for runs-on, like "
        "mvr-small"}},
      {"profiles:\n  - labels: [x]\n  - name: p\n",
       {"c.yaml:2:5: profiles[0].name: is missing: give a plain name: a-z, 0-9 and inner hyphens, "
        "at most 20 characters",
        "c.yaml:3:5: profiles[1].labels: is missing: give at least one label for runs-on, like "
        "mvr-small"}},
      {"profiles: [{name: p, labels: []}]\n",
       {"c.yaml:1:30: profiles[0].labels: is empty: give at least one label for runs-on, like "
        "mvr-small"}},
      {"profiles: [{name: p, labels: }]\n",
       {"c.yaml:1:22: profiles[0].labels: is empty: give at least one label for runs-on, like "
        "mvr-small"}},
  });
}

TEST_CASE("names and labels of profiles are plain and tell profiles apart") {
  check({
      {"profiles: [{name: P, labels: [x]}]\n",
       {"c.yaml:1:19: profiles[0].name: \"P\" is not a plain name: a-z, 0-9 and inner hyphens, at "
        "most 20 characters"}},
      {"profiles: [{name: abcdefghijklmnopqrstu, labels: [x]}]\n",
       {"c.yaml:1:19: profiles[0].name: \"abcdefghijklmnopqrstu\" is not a plain name: a-z, 0-9 "
        "and inner hyphens, at most 20 characters"}},
      {"profiles: [{name: p, labels: [\"a b\", \"\", \"a,b\", X, x]}]\n",
       {"c.yaml:1:31: profiles[0].labels[0]: \"a b\"" + kNoLabel,
        "c.yaml:1:38: profiles[0].labels[1]: \"\"" + kNoLabel,
        "c.yaml:1:42: profiles[0].labels[2]: \"a,b\"" + kNoLabel,
        "c.yaml:1:52: profiles[0].labels[4]: \"x\" is in the list already"}},
      {"profiles:\n  - {name: p, labels: [x]}\n  - {name: p, labels: [y]}\n",
       {"c.yaml:3:12: profiles[1].name: \"p\" is the name of another profile already"}},
      {"profiles:\n  - {name: p, labels: [x, Y]}\n  - {name: q, labels: [y, X]}\n",
       {"c.yaml:3:23: profiles[1].labels: the same labels as profile \"p\"; no job could tell the "
        "two apart"}},
      {"profiles: [{name: p, labels: [" + many_labels(51) + "]}]\n",
       {"c.yaml:1:30: profiles[0].labels: more than 50 labels"}},
  });
}

TEST_CASE("kernel_args cannot reach mvrunner's own words") {
  check({
      {profile("kernel_args: quiet mvr.ip=1"),
       {"c.yaml:4:18: profiles[0].kernel_args: \"quiet mvr.ip=1\" is not printable ASCII of at "
        "most 512 characters without \"mvr.\""}},
      {profile("kernel_args: \"a\\nb\""),
       {"c.yaml:4:18: profiles[0].kernel_args: \"a\\x0Ab\" is not printable ASCII of at most 512 "
        "characters without \"mvr.\""}},
      {profile("kernel_args: " + std::string(513, 'k')),
       {"c.yaml:4:18: profiles[0].kernel_args: \"" + std::string(60, 'k') +
        "\" is not printable ASCII of at most 512 characters without \"mvr.\""}},
  });
}

TEST_CASE("a profile that can never fit the host is an error") {
  check({
      {"host: {memory: 8GiB}\nprofiles: [{name: p, labels: [x], memory: 8GiB}]\n",
       {"c.yaml:2:43: profiles[0].memory: 8GiB never fits: host.memory less host.reserve_memory is "
        "7GiB"}},
      {"host: {cpus: 3, cpu_overcommit: 1.5}\nprofiles:\n  - name: p\n    labels: [x]\n    vcpus: "
       "5\n",
       {"c.yaml:5:12: profiles[0].vcpus: 5 never fit: host.cpus times host.cpu_overcommit is 4"}},
      {"host: {memory: 2GiB, disk: 10GiB}\nprofiles: [{name: p, labels: [x]}]\n",
       {"c.yaml:2:12: profiles[0].memory: 4GiB never fits: host.memory less host.reserve_memory is "
        "1GiB",
        "c.yaml:2:12: profiles[0].disk: 20GiB never fits: host.disk less host.reserve_disk is "
        "5GiB"}},
  });
}

TEST_CASE("scopes say what they are") {
  check({
      {scopes("[{}]"),
       {"c.yaml:4:12: github.scopes[0]: none of `repository: owner/name`, `organization: name` "
        "and `enterprise: name` is given"}},
      {scopes("[{max: 2}]"),
       {"c.yaml:4:12: github.scopes[0]: none of `repository: owner/name`, `organization: name` "
        "and `enterprise: name` is given"}},
      {scopes("[{repository: acme}]"),
       {"c.yaml:4:25: github.scopes[0].repository: \"acme\" is not a repository as owner/name"}},
      {scopes("[{repository: acme/a/b}]"),
       {"c.yaml:4:25: github.scopes[0].repository: \"acme/a/b\" is not a repository as "
        "owner/name"}},
      {scopes("[{repository: \"acme/..\"}]"),
       {"c.yaml:4:25: github.scopes[0].repository: \"acme/..\" is not a repository as owner/name"}},
      {scopes("[{organization: acme/web}]"),
       {"c.yaml:4:27: github.scopes[0].organization: \"acme/web\" is not the name of an "
        "organization or user at GitHub"}},
      {scopes("[{organization: -acme}]"),
       {"c.yaml:4:27: github.scopes[0].organization: \"-acme\" is not the name of an organization "
        "or user at GitHub"}},
      {scopes("[{repository: a/b, organization: a}]"),
       {"c.yaml:4:44: github.scopes[0].organization: repository is given too; keep one of the "
        "two"}},
      {scopes("[{enterprise: e, app: {id: I, key_file: /k}}]"),
       {"c.yaml:4:12: github.scopes[0].organizations: is missing: name the organizations whose "
        "repositories are to be looked at",
        "c.yaml:4:25: github.scopes[0].enterprise: GitHub lets no App manage runners of an "
        "enterprise: give this scope a classic token with the scopes manage_runners:enterprise and "
        "repo"}},
      {scopes("[{organization: a, organizations: [b]}]"),
       {"c.yaml:4:45: github.scopes[0].organizations: is for an enterprise"}},
      {scopes("[{repository: a/b, discovery: push}]"),
       {"c.yaml:4:41: github.scopes[0].discovery: \"push\" is not one of poll, scale-set"}},
      {scopes("[{organization: a, discovery: scale-set, repositories: [b]}]"),
       {"c.yaml:4:66: github.scopes[0].repositories: cannot be kept to with discovery: scale-set, "
        "where the runner group decides: choose its repositories in GitHub's settings and leave "
        "this out"}},
      {scopes("[{repository: a/b, repositories: [c], runner_group: g}]"),
       {"c.yaml:4:44: github.scopes[0].repositories: is for an organization, not for a repository",
        "c.yaml:4:63: github.scopes[0].runner_group: is for an organization, not for a "
        "repository"}},
      {scopes("[{repository: a/b, max: many}]"),
       {"c.yaml:4:35: github.scopes[0].max: \"many\" is not a whole number from 0 to 1000"}},
      {scopes("[{organization: a, repositories: [b, \"x/y\", b]}]"),
       {"c.yaml:4:48: github.scopes[0].repositories[1]: \"x/y\" is not the name of a repository, "
        "without its owner, or a pattern of such names with *",
        "c.yaml:4:55: github.scopes[0].repositories[2]: \"b\" is in the list already"}},
      {scopes("[a/b]"),
       {"c.yaml:4:12: github.scopes[0]: a single value is not a mapping of keys to values"}},
  });
}

TEST_CASE("a scale set needs fixed labels, and a name of its own") {
  const std::string github =
      "github: {token_file: /t, scopes: [{repository: a/b, discovery: scale-set}]}\nprofiles:\n";
  const std::string why = " cannot be served in \"a/b\", whose discovery is scale-set: ";
  check({
      {github + "- {name: p, labels: [\"mv-{cpus}c-{memory}g\"], max_vcpus: 4, max_memory: 8GiB}\n",
       {"c.yaml:3:1: profiles: profile \"p\"" + why +
        "a scale set has fixed labels, and {cpus} and {memory} stand for any; name the sizes as "
        "profiles, or use discovery: poll there"}},
      {github + "- {name: p, labels: [x]}\n- {name: q, labels: [x, y]}\n",
       {"c.yaml:3:1: profiles: profile \"q\"" + why +
        "its first label \"x\", which names its scale set, is that of profile \"p\", too; put "
        "another label first"}},
  });
}

TEST_CASE("a repository is not covered twice") {
  check({
      {scopes("[{repository: a/b}, {repository: A/B}]"),
       {"c.yaml:4:31: github.scopes[1]: \"A/B\" is a scope already"}},
      {scopes("[{organization: a}, {repository: a/b}]"),
       {"c.yaml:4:31: github.scopes[1]: \"a/b\" overlaps with \"a\"; a job would be counted "
        "twice"}},
      {scopes("[{repository: a/b}, {organization: A, repositories: [c, B]}]"),
       {"c.yaml:4:31: github.scopes[1]: \"A\" overlaps with \"a/b\"; a job would be counted "
        "twice"}},
  });
}

TEST_CASE("patterns and enterprises cover repositories, too") {
  check({
      {scopes("[{organization: a, repositories: [w*b]}, {repository: a/Web}]"),
       {"c.yaml:4:52: github.scopes[1]: \"a/Web\" overlaps with \"a\"; a job would be counted "
        "twice"}},
      {scopes("[{organization: a, exclude: [w*b]}, {repository: a/Web}]"), {}},
      {scopes("[{enterprise: e, organizations: [A]}, {organization: a}]"),
       {"c.yaml:4:49: github.scopes[1]: \"a\" overlaps with \"enterprises/e\"; a job would be "
        "counted twice"}},
  });
}

TEST_CASE("polling, webhooks and origins of jobs have their bounds") {
  check({
      {with_profiles("github: {poll_interval: 20s, idle_interval: 10s}\n"),
       {"c.yaml:2:45: github.idle_interval: 10s is less than poll_interval, which is 20s here"}},
      {with_profiles("github: {quota_share: 2}\n"),
       {"c.yaml:2:23: github.quota_share: \"2\" is not a number from 0.01 to 1.0"}},
      {with_profiles("github: {webhook: {listen: \"127.0.0.1:9841\"}}\n"),
       {"c.yaml:2:28: github.webhook.listen: needs the webhook's secret: give secret_file or "
        "secret_credential"}},
      {with_profiles("github: {webhook: {secret_file: /s, secret_credential: s}}\n"),
       {"c.yaml:2:56: github.webhook.secret_credential: secret_file is given too; keep one of the "
        "two"}},
      {profile("public_repositories: yes"),
       {"c.yaml:4:26: profiles[0].public_repositories: \"yes\" is not true or false"}},
  });
}

TEST_CASE("scopes need exactly one token") {
  check({
      {with_profiles("github:\n  scopes:\n    - repository: a/b\n"),
       {"c.yaml:4:5: github.scopes: \"a/b\" has no credentials: give it or github one of "
        "token_file, token_env_file, token_credential and app"}},
      {with_profiles("github: {token_file: /t, token_env_file: /e}\n"),
       {"c.yaml:2:42: github.token_env_file: token_file is given too; keep one of the two"}},
      {with_profiles("github: {token_file: secret}\n"),
       {"c.yaml:2:22: github.token_file: \"secret\" is not an absolute path of a file (or \"\" for "
        "none)"}},
      {with_profiles("github: {token_file: \"\", scopes: [{repository: a/b}]}\n"),
       {"c.yaml:2:34: github.scopes: \"a/b\" has no credentials: give it or github one of "
        "token_file, token_env_file, token_credential and app"}},
      {scopes("[{repository: a/b, token_file: /x, token_credential: y}]"),
       {"c.yaml:4:64: github.scopes[0].token_credential: token_file is given too; keep one of the "
        "two"}},
      {with_profiles(
           "github:\n  scopes:\n    - {repository: a/b, token_file: /t}\n"
           "    - {repository: c/d, app: {id: x, key_file: /k}}\n    - {repository: e/f}\n"),
       {"c.yaml:4:5: github.scopes: \"e/f\" has no credentials: give it or github one of "
        "token_file, token_env_file, token_credential and app"}},
      {with_profiles("github: {token_credential: ../x}\n"),
       {"c.yaml:2:28: github.token_credential: \"../x\" is not a credential's name: letters, "
        "digits, . _ and - (or \"\" for none)"}},
  });
}

TEST_CASE("an App has an id and one key") {
  const auto app = [](const std::string& value) {
    return with_profiles("github:\n  app: " + value + "\n");
  };
  check({
      {app("{id: Iv23li, key_file: /k, installation: 5000000000}"), {}},
      {app("{id: 12, key_credential: app.pem}"), {}},
      {app("{id: 12}"),
       {"c.yaml:3:8: github.app: has no private key: give key_file or key_credential"}},
      {app("{id: 12, key_file: \"\"}"),
       {"c.yaml:3:8: github.app: has no private key: give key_file or key_credential"}},
      {app("{id: 12, key_file: k}"),
       {"c.yaml:3:27: github.app.key_file: \"k\" is not an absolute path of a file (or \"\" for "
        "none)"}},
      {app("{id: 12, key_file: /k, key_credential: k}"),
       {"c.yaml:3:47: github.app.key_credential: key_file is given too; keep one of the two"}},
      {app("{key_file: /k}"),
       {"c.yaml:3:8: github.app.id: is missing: give the App's client id or App id"}},
      {app("{id: \"a b\", key_file: /k}"),
       {"c.yaml:3:13: github.app.id: \"a b\" is not the client id of a GitHub App, or its App id"}},
      {app("{id: 12, key_file: /k, installation: -1}"),
       {"c.yaml:3:45: github.app.installation: \"-1\" is not a whole number, as GitHub shows it"}},
      {app("{id: 12, key: /k, key_file: /k}"),
       {"c.yaml:3:17: github.app.key: unknown key; known here: id, key_file, key_credential, "
        "installation"}},
      {app("12"), {"c.yaml:3:8: github.app: a single value is not a mapping of keys to values"}},
      {with_profiles("github:\n  token_file: /t\n  app: {id: 12, key_file: /k}\n"),
       {"c.yaml:4:8: github.app: token_file is given too; keep one of the two"}},
  });
}

TEST_CASE("the address of GitHub is a scheme and a host") {
  check({
      {with_profiles("github: {url: github.com}\n"),
       {"c.yaml:2:15: github.url: \"github.com\" is not a web address like https://github.com, "
        "without a path"}},
      {with_profiles("github: {url: \"https://github.com/\"}\n"),
       {"c.yaml:2:15: github.url: \"https://github.com/\" is not a web address like "
        "https://github.com, without a path"}},
      {with_profiles("github: {url: \"https://me@github.com\"}\n"),
       {"c.yaml:2:15: github.url: \"https://me@github.com\" is not a web address like "
        "https://github.com, without a path"}},
      {with_profiles("github: {url: \"https://github.com:0\"}\n"),
       {"c.yaml:2:15: github.url: \"https://github.com:0\" is not a web address like "
        "https://github.com, without a path"}},
      {with_profiles("github: {url: \"ftp://github.com\"}\n"),
       {"c.yaml:2:15: github.url: \"ftp://github.com\" is not a web address like "
        "https://github.com, without a path"}},
  });
}

TEST_CASE("the VMs' network is private, aligned and large enough") {
  check({
      {with_profiles("network: {subnet: 8.8.0.0/16}\n"),
       {"c.yaml:2:19: network.subnet: \"8.8.0.0/16\" is not a private IPv4 network from /16 to /24 "
        "like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits zero)"}},
      {with_profiles("network: {subnet: 172.32.0.0/16}\n"),
       {"c.yaml:2:19: network.subnet: \"172.32.0.0/16\" is not a private IPv4 network from /16 to "
        "/24 like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits "
        "zero)"}},
      {with_profiles("network: {subnet: 10.0.0.0/8}\n"),
       {"c.yaml:2:19: network.subnet: \"10.0.0.0/8\" is not a private IPv4 network from /16 to /24 "
        "like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits zero)"}},
      {with_profiles("network: {subnet: 10.0.0.0/25}\n"),
       {"c.yaml:2:19: network.subnet: \"10.0.0.0/25\" is not a private IPv4 network from /16 to "
        "/24 like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits "
        "zero)"}},
      {with_profiles("network: {subnet: 10.0.0.1/24}\n"),
       {"c.yaml:2:19: network.subnet: \"10.0.0.1/24\" is not a private IPv4 network from /16 to "
        "/24 like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits "
        "zero)"}},
      {with_profiles("network: {subnet: 10.231.0.0}\n"),
       {"c.yaml:2:19: network.subnet: \"10.231.0.0\" is not a private IPv4 network from /16 to /24 "
        "like 10.231.0.0/16 (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, host bits zero)"}},
      {with_profiles("network: {subnet: 10.0.0.0/24}\n"),
       {"c.yaml:2:19: network.subnet: \"10.0.0.0/24\" has room for 63 VMs, host.max_vms is 64: "
        "take a larger network or lower host.max_vms"}},
      {with_profiles("host: {max_vms: 64}\nnetwork: {subnet: 10.0.0.0/24}\n"),
       {"c.yaml:3:19: network.subnet: \"10.0.0.0/24\" has room for 63 VMs, host.max_vms is 64: "
        "take a larger network or lower host.max_vms"}},
      {with_profiles("network: {subnet: 172.31.255.0/24}\nhost: {max_vms: 100}\n"),
       {"c.yaml:2:19: network.subnet: \"172.31.255.0/24\" has room for 63 VMs, host.max_vms is "
        "100: take a larger network or lower host.max_vms"}},
  });
}

TEST_CASE("exceptions of the firewall are addresses") {
  check({
      {with_profiles("network: {allow: [10.0.0.1/8, 10.0.0.1, \"10.0.0.1:0\", \"host:80\", "
                     "\"::1/128\", 10.0.0.0/8, 10.0.0.0/8]}\n"),
       {"c.yaml:2:19: network.allow[0]: \"10.0.0.1/8\" is not an address like 10.0.0.0/8 or "
        "10.1.2.3:443",
        "c.yaml:2:31: network.allow[1]: \"10.0.0.1\" is not an address like 10.0.0.0/8 or "
        "10.1.2.3:443",
        "c.yaml:2:41: network.allow[2]: \"10.0.0.1:0\" is not an address like 10.0.0.0/8 or "
        "10.1.2.3:443",
        "c.yaml:2:55: network.allow[3]: \"host:80\" is not an address like 10.0.0.0/8 or "
        "10.1.2.3:443",
        "c.yaml:2:66: network.allow[4]: \"::1/128\" is not an address like 10.0.0.0/8 or "
        "10.1.2.3:443",
        "c.yaml:2:89: network.allow[6]: \"10.0.0.0/8\" is in the list already"}},
  });
}

TEST_CASE("an image that is built here has a name, a context and a time") {
  const std::string when = " is not never, base, daily, weekly or an age of 1d to 366d";
  check({
      {with_profiles("images: [{name: a}]\n"),
       {"c.yaml:2:10: images[0].context: is missing: give the directory of the Dockerfile"}},
      {with_profiles("images: [{name: a, context: /a, rebuild: hourly}]\n"),
       {"c.yaml:2:42: images[0].rebuild: \"hourly\"" + when}},
      {with_profiles("images: [{name: a, context: /a, rebuild: 1h}]\n"),
       {"c.yaml:2:42: images[0].rebuild: \"1h\"" + when}},
      {with_profiles("images:\n- {name: a, context: /a}\n- {name: a, context: /b}\n"),
       {"c.yaml:4:10: images[1].name: \"a\" is in the list already"}},
      {with_profiles("images: [{name: a, context: /a, build_args: {1x: y}}]\n"),
       {"c.yaml:2:46: images[0].build_args.1x: \"1x\" is not the name of an ARG: letters, digits "
        "and "
        "_"}},
  });
}

TEST_CASE("the runner is updated daily where it follows what is current") {
  const auto updates = [](const std::string& yaml) {
    return parse(with_profiles(yaml), "c.yaml", "h").config.runner_update;
  };
  CHECK_FALSE(updates(""));
  CHECK_FALSE(updates("runner: 2.336.0\n"));
  CHECK(updates("runner: current\n"));
  CHECK_FALSE(updates("runner: current\nrunner_update: \"off\"\n"));
  CHECK(updates("runner: 2.336.0\nrunner_update: daily\n"));
  check({{with_profiles("runner_update: weekly\n"),
          {"c.yaml:2:16: runner_update: \"weekly\" is not one of daily, off"}}});
}

}  // namespace mvr::config
