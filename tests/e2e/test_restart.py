"""A job that started is never lost through our fault: daemons come and go, VMs go on."""

import os
import signal

from harness import MvrunnerTest, main, wait_for


class Restart(MvrunnerTest):
    def start_held_job(self):
        """A job that waits for the gate; returns its id, its VM and its VMM's pid."""
        self.start_daemon()
        job = self.github.add_job("echo begun", self.gate(), "echo ended")
        self.github.wait_job(job, "in_progress")
        vm = self.wait_vm("running")
        (pid,) = self.vmm_pids()
        return job, vm["vm"], pid

    def check_adopted(self, name, pid):
        self.start_daemon()
        self.assertEqual(self.wait_vm("running")["vm"], name)
        self.assertEqual(self.vmm_pids(), [pid])

    def check_succeeds(self, job):
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertRegex(done["log"], r"(?s)begun.*ended")
        self.check_nothing_left()

    def test_a_killed_daemon_loses_no_job_and_the_next_one_adopts_its_vm(self):
        job, name, pid = self.start_held_job()
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.check_adopted(name, pid)
        self.check_succeeds(job)

    def test_a_stopped_daemon_leaves_the_job_running_and_the_next_one_finishes_it(self):
        job, name, pid = self.start_held_job()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(self.vmm_pids(), [pid])
        self.check_adopted(name, pid)
        self.check_succeeds(job)

    def test_a_job_that_ends_while_no_daemon_runs_is_cleaned_up_by_the_next_one(self):
        job, name, _ = self.start_held_job()
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        wait_for(lambda: not self.vmm_pids(), "the VM ends by itself")
        self.start_daemon()
        self.wait_no_vm()
        self.assertEqual([(vm["vm"], vm["job"]) for vm in self.finished()], [(name, "build")])
        self.assertIn("Running job: build", self.cli("logs", name).stdout)
        self.assertEqual(self.cli("logs", "--console", name).returncode, 0)
        self.check_nothing_left()

    def test_a_daemon_killed_during_a_boot_leaves_a_vm_the_next_one_uses_or_removes(self):
        self.start_daemon()
        job = self.github.add_job("echo done")
        wait_for(self.vmm_pids, "a VM boots", every=0.05)
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.start_daemon()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.check_nothing_left()

    def test_a_vm_killed_behind_the_daemons_back_is_cleaned_up(self):
        _, _, pid = self.start_held_job()
        # GitHub gives the job up, as it does when a runner is lost.
        self.github.control("POST", "/settings", {"lost_after_ms": 3000})
        os.kill(pid, signal.SIGKILL)
        self.wait_no_vm()
        (vm,) = self.finished()
        self.assertEqual(vm["cause"], "vmm_crashed")
        wait_for(lambda: not self.github.runners(), "the lost runner is gone")
        self.check_nothing_left()


if __name__ == "__main__":
    main()
