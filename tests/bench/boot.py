"""How fast a VM is there, measured in one run: bare QEMU against mvrunner, alternating.

bare      kernel + initramfs to the agent's hello by the same QEMU command line, without disks,
          network and daemon (bench_boot)
mvrunner  the daemon's own `job_seen` to `agent_up`: scratch disk, cgroup, tap, firewall and all
launch    what the host does before the VMM runs: scratch disk, cgroup, tap, firewall, spawn

Environment: MVRUNNER, BENCH_BOOT, MVR_AGENT, BENCH_RUNS (7).
"""

import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
LINE = re.compile(r"^(\S+Z) \w+ event=(\S+)(.*)$")


def milliseconds(values):
    values = sorted(values)
    return (f"median {statistics.median(values):7.1f} ms   min {values[0]:7.1f}   "
            f"max {values[-1]:7.1f}   n={len(values)}")


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def times_of(lines):
    """When each event was first logged."""
    at = {}
    for line in lines:
        match = LINE.match(line)
        if match and match[2] not in at:
            at[match[2]] = datetime.datetime.fromisoformat(match[1].replace("Z", "+00:00"))
    return at


class Bench(harness.MvrunnerTest):
    validates = False  # on two cores its work would be measured too

    def runTest(self):
        self.start_daemon()
        pid = self.daemon_pid()
        idle = resident_kib(pid)
        bare, launches, boots = [], [], []
        self.one_job(launches, boots)  # prepares the initramfs and probes the accelerator
        launches.clear(), boots.clear()
        for _ in range(RUNS):
            bare.append(self.bare())
            self.one_job(launches, boots)
        hello = [run["hello_ms"][0] for run in bare]
        print(f"\nkernel {bare[0]['kernel']}, {bare[0]['vmm']}, {bare[0]['accel']}, "
              f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs\n")
        print("bare QEMU to hello    ", milliseconds(hello))
        print("mvrunner to hello     ", milliseconds(boots))
        print("bare launch on host   ", milliseconds([run["launch_ms"][0] for run in bare]))
        print("mvrunner launch       ", milliseconds(launches))
        print(f"ratio mvrunner/bare    {statistics.median(boots) / statistics.median(hello):.2f}")
        print(f"RSS of an idle daemon  {idle / 1024:.1f} MiB, after {len(boots) + 1} jobs "
              f"{resident_kib(pid) / 1024:.1f} MiB")
        print(f"RSS of a VMM at hello  {bare[0]['resident_kib'][0] / 1024:.1f} MiB (512 MiB guest)")

    def daemon_pid(self):
        # The process itself: nsenter execs the daemon.
        return self.daemon.popen.pid

    def bare(self):
        command = [os.environ["BENCH_BOOT"], "--state", self.state, "--agent",
                   os.environ["MVR_AGENT"], "--runs", "1"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def one_job(self, launches, boots):
        before = len(self.daemon.text().splitlines())
        self.github.wait_job(self.github.add_job("true"), "completed")
        self.wait_no_vm()
        lines = self.daemon.text().splitlines()[before:]
        at = times_of(lines)
        launches.append(float(re.search(r" host_ms=(\d+)", "\n".join(lines))[1]))
        boots.append((at["agent_up"] - at["job_seen"]).total_seconds() * 1000)


class WarmClaim(harness.MvrunnerTest):
    """A job for a VM that is warm: what the host does between the job seen and the claim sent, less
    the round trip of the JIT configuration."""
    validates = False
    profiles = [{"name": "small", "labels": ["mv-small"], "warm": 1}]

    def runTest(self):
        self.start_daemon()
        host, listening = [], []
        for _ in range(RUNS):
            harness.wait_for(lambda: any(vm["phase"] == "warm" for vm in self.ps()["vms"]),
                             "a VM is warm")
            before = len(self.daemon.text().splitlines())
            self.github.wait_job(self.github.add_job("true"), "completed")
            at = times_of(self.daemon.text().splitlines()[before:])
            claim = at["claiming"] - at["runner_registered"]
            host.append(claim.total_seconds() * 1000)
            listening.append((at["listening"] - at["job_seen"]).total_seconds() * 1000)
        print("\nwarm claim on the host", milliseconds(host))
        print("job seen to listening ", milliseconds(listening))


def run(*cases):
    """Each once; what fails is told. Returns the exit code."""
    result = unittest.TestResult()
    for case in cases:
        case().run(result)
    for _, text in result.failures + result.errors:
        print(text, file=sys.stderr)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(run(Bench, WarmClaim))
