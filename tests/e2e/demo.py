"""The demonstration: one queued job from the stand-in GitHub, run in a real microVM.

Called by scripts/demo with MVRUNNER set. Ends with 0 when the job succeeded and nothing is left.
"""

import datetime
import re
import sys

import harness
import state

LINE = re.compile(r"^(\S+Z) \w+ event=(\S+)(.*)$")
STAGES = {
    "job_seen": "queued job seen by polling",
    "vm_started": "VM started",
    "agent_up": "agent up in the guest",
    "listening": "runner listening",
    "job_started": "job running",
    "job_finished": "job finished",
    "vm_removed": "VM removed",
}
STEPS = (
    "echo \"hello from $(. /etc/os-release && echo $PRETTY_NAME), kernel $(uname -r)\"",
    "echo \"this VM: $(nproc) CPU, $(free -m | awk '/Mem/ {print $2}') MiB, host name $(hostname)\"",
    "echo \"I am $(id -un), and sudo works: $(sudo id -un)\"; df -h / | tail -n 1",
)


class Demo(harness.MvrunnerTest):
    def runTest(self):
        print("\nStarting the stand-in GitHub and `mvrunner serve` in network namespaces ...", flush=True)
        self.start_daemon()
        job_id = self.github.add_job(*STEPS, name="hello")
        print("Queued a job with `runs-on: mv-small` in acme/widgets.\n", flush=True)
        job = self.github_job(job_id)
        self.wait_no_vm()
        self.print_timeline()
        print("\nThe job's log, as GitHub received it:\n")
        print("\n".join("    " + line for line in job["log"].splitlines()))
        self.check_nothing_left()
        print("\nNothing is left of the VM: no process, tap, disk, cgroup, or runner at GitHub.")
        self.assertEqual(job["conclusion"], "success")

    def github_job(self, job_id):
        return self.github.wait_job(job_id, "completed")

    def print_timeline(self):
        first = None
        print("  at        step")
        for line in self.daemon.text().splitlines():
            match = LINE.match(line)
            if not match or match[2] not in STAGES:
                continue
            at = datetime.datetime.fromisoformat(match[1].replace("Z", "+00:00"))
            first = first or at
            print(f"  {(at - first).total_seconds():6.2f} s  {STAGES[match[2]]:<28}{match[3].strip()[:90]}")


def main():
    state.prepare()
    result = Demo().run()
    for _, text in result.failures + result.errors:
        print(text, file=sys.stderr)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
