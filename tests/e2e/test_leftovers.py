"""What a daemon finds at its start and must judge right: with the stand-in VMM."""

import os
import signal
import subprocess
import time

from harness import main, wait_for
from standin import StandInVmmTest

SLOT = 5
UID = 2_000_000 + SLOT  # vmm.uid_base


class Leftovers(StandInVmmTest):
    def test_a_job_that_began_while_the_daemon_had_no_time_to_look_is_not_lost(self):
        points = self.root / "points"
        self.start_daemon(f"MVRUNNER_FAIL_POINTS={points}")
        job = self.github.add_job("echo begun", "sleep 3", "echo ended")
        wait_for(lambda: "claim sent" in points.read_text(), "the VM is claimed", every=0.01)
        # The runner takes longer than this to listen. (env and nsenter have become the daemon.)
        os.kill(self.daemon.popen.pid, signal.SIGSTOP)
        self.github.wait_job(job, "in_progress")
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.start_daemon()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.wait_no_vm()
        self.assertEqual(len(self.booted()), 1)
        self.check_nothing_left()

    def test_the_host_is_left_clean_while_github_still_deletes_the_runner_of_a_removed_vm(self):
        self.start_daemon()
        self.github.control("POST", "/faults", {"match": "^DELETE .*/runners/", "count": 0,
                                                "delay_ms": 5000})
        self.github.wait_job(self.github.add_job("true"), "completed")
        wait_for(lambda: not list((self.state / "vms").iterdir()), "the VM is gone", every=0.02)
        self.check_nothing_left()

    def start_like_a_vmm(self, uid, words, console):
        """A process that has of a VMM what is given."""
        return subprocess.Popen(
            ["env", "python3", "-c", "import time; time.sleep(1000)", *words],
            user=uid, group=uid, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL,
            stdout=console or subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_a_vmm_whose_pid_was_not_recorded_is_ended_and_nothing_that_looks_like_it(self):
        directory = self.state / "vms" / str(SLOT)
        directory.mkdir(parents=True)
        directory.chmod(0o711)
        words = ["-name", "guest=small-abcdef,process=small-abcdef"]
        paths = [str(directory / "monitor.sock"), str(directory)]
        with open(directory / "console.log", "ab") as console:
            vmm = self.start_like_a_vmm(UID, words, console)
            others = [
                self.start_like_a_vmm(0, [*words, *paths], console),  # an editor of root's
                self.start_like_a_vmm(UID + 1, words, console),
                self.start_like_a_vmm(UID, [*words, *paths], None),
                self.start_like_a_vmm(UID, paths, console),
            ]
        for process in [vmm, *others]:
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        time.sleep(0.2)  # all of them have come to their exec
        self.start_daemon()
        wait_for(lambda: not directory.exists(), "the leftover is erased", 20)
        self.assertEqual(vmm.wait(1), -signal.SIGKILL)
        self.assertEqual([process.poll() for process in others], [None] * len(others))
        for process in others:
            process.kill()
            process.wait()
        self.check_nothing_left()


if __name__ == "__main__":
    main()
