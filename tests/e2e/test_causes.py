"""Why a VM ended badly: each cause is brought about for real, and told by ps, logs and the metrics."""

import os
import pathlib
import signal
import subprocess

from harness import MvrunnerTest, Namespaces, main, run, wait_for

CAUSES = ["guest_oom", "disk_full", "panicked", "vmm_crashed", "network"]
# Whoever fills the memory is killed by the guest's kernel, and the step fails for it.
OOM = "tail /dev/zero"
FILL = "fallocate -l 1700M most; dd if=/dev/zero of=rest bs=1M"


class Causes(MvrunnerTest):
    # Five boot at once: only the one that is cut off must not have all the time it wants.
    profiles = [{"name": cause.replace("_", "-"), "labels": [cause],
                 "listen_timeout": "1m" if cause == "network" else "4m"} for cause in CAUSES]

    def settings(self):
        settings = super().settings()
        settings["web"] = {"listen": "127.0.0.1:9840"}
        return settings

    def metrics(self):
        return run(*Namespaces.inside(self.namespaces.host), "curl", "-sSf",
                   "http://127.0.0.1:9840/metrics", capture_output=True).stdout

    def vm_of(self, cause, phase):
        return self.wait_vm(phase, cause.replace("_", "-"))

    def cut_off(self, address):
        """The guest with this address reaches nobody."""
        rules = (f"add table ip cut; add chain ip cut f {{ type filter hook forward priority -50; }};"
                 f" add rule ip cut f ip saddr {address} tcp dport 8080 drop")
        run(*Namespaces.inside(self.instance), "nft", rules)

    def end_of(self, cause):
        def ended():
            found = self.finished(cause.replace("_", "-"))
            return [vm for vm in found if vm["cause"] not in ("cancelled", "unused")]
        return wait_for(ended, f"a VM ended by {cause}", limit=600)[-1]

    def test_each_bad_end_has_its_cause(self):
        self.github.control("POST", "/settings", {"lost_after_ms": 20000})
        self.start_daemon()
        jobs = {"guest_oom": [OOM], "disk_full": [FILL], "panicked": [self.gate()],
                "vmm_crashed": [self.gate()], "network": ["true"]}
        queued = {cause: self.github.add_job(*steps, labels=(cause,), name=cause)
                  for cause, steps in jobs.items()}
        self.cut_off(wait_for(lambda: next((vm for vm in self.ps()["vms"]
                                            if vm["profile"] == "network"), None),
                              "the VM that is cut off")["address"])
        panics = self.vm_of("panicked", "running")["vm"]
        # As root of the guest: the kernel does what it does when it cannot go on.
        self.cli("exec", "--user", "root", panics, "--", "sh", "-c",
                 "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
        crashes = self.vm_of("vmm_crashed", "running")
        (pid,) = [pid for pid in self.vmm_pids()
                  if crashes["vm"] in pathlib.Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(pid, signal.SIGSEGV)

        ends = {cause: self.end_of(cause) for cause in CAUSES}
        self.assertEqual({cause: vm["cause"] for cause, vm in ends.items()},
                         {cause: cause for cause in CAUSES})
        told = {"guest_oom": "killed tail for lack of memory", "disk_full": "disk was full",
                "panicked": "Kernel panic", "vmm_crashed": "SIGSEGV",
                "network": "could not reach GitHub"}
        listing = self.cli("ps", "-a").stdout
        metrics = self.metrics()
        for cause, text in told.items():
            vm = ends[cause]
            self.assertIn(text, vm["cause_text"])
            logs = self.cli("logs", vm["vm"])
            self.assertEqual(logs.returncode, 0, logs.stderr)
            self.assertIn(f"{vm['vm']} ended: {cause}", logs.stderr)
            self.assertRegex(listing, rf"(?m)^{vm['vm']} .*{cause}")
            profile = cause.replace("_", "-")
            self.assertRegex(metrics, rf'mvrunner_vm_ends_total{{profile="{profile}",'
                                      rf'cause="{cause}"}} [1-9]')
            report = self.cli("report", "--by", "cause")
            self.assertIn(cause, report.stdout)
        self.assertEqual(self.github.job(queued["guest_oom"])["conclusion"], "failure")
        # Of the peaks, what was full was full.
        self.assertGreater(ends["guest_oom"]["memory_peak"], 300 << 20)
        self.assertGreater(ends["disk_full"]["disk_peak"], 1700 << 20)
        self.github.control("POST", f"/jobs/{queued['network']}/cancel")
        self.wait_no_vm()
        wait_for(lambda: not self.github.runners(), "the runners are gone")
        self.check_nothing_left()


if __name__ == "__main__":
    main()
