"""Jobs from GitHub: found, run in a fresh VM, cleaned up after."""

from harness import MvrunnerTest, main, wait_for


class OneProfile(MvrunnerTest):
    def test_a_queued_job_runs_in_a_vm_and_leaves_nothing_behind(self):
        self.start_daemon()
        job = self.github.add_job(
            'echo "as $(id -un) on $(uname -s)"', 'echo "in $PWD"', "touch ~/mark && sync")
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertRegex(done["log"], r"(?m)^as runner on Linux$")
        self.assertRegex(done["log"], r"(?m)^in /.*/widgets/widgets$")
        self.assertRegex(done["runner_name"], r"^mv-e2e-[0-9a-f]{8}$")
        self.wait_no_vm()
        (vm,) = self.finished()
        self.assertEqual((vm["cause"], vm["result"]), ("finished", "Succeeded"))
        self.check_nothing_left()

    def test_a_failing_job_is_reported_as_failed_and_its_vm_removed(self):
        self.start_daemon()
        job = self.github.add_job("echo before", "exit 3", "echo after")
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "failure")
        self.assertNotIn("after", done["log"])
        self.wait_no_vm()
        (vm,) = self.finished()
        self.assertEqual((vm["cause"], vm["result"]), ("finished", "Failed"))
        self.check_nothing_left()

    def test_each_job_gets_a_fresh_vm(self):
        self.start_daemon()
        leave = "test ! -e ~/mark && touch ~/mark"
        for _ in range(2):
            job = self.github.add_job(leave)
            self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.wait_no_vm()
        self.assertEqual(len({vm["vm"] for vm in self.finished()}), 2)
        self.check_nothing_left()

    def test_a_job_cancelled_while_its_vm_boots_leaves_nothing_behind(self):
        self.start_daemon()
        job = self.github.add_job("echo never")
        wait_for(lambda: self.ps()["vms"], "a VM is on its way", every=0.05)
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.wait_no_vm()
        wait_for(lambda: not self.github.runners(), "the unused runner is deleted")
        self.assertEqual(self.github.job(job)["log"], "")
        self.check_nothing_left()

    def test_a_job_with_labels_of_no_profile_is_explained_and_not_run(self):
        self.start_daemon()
        self.github.add_job("true", labels=["gpu"])
        wait = wait_for(lambda: self.ps()["waits"], "the waiting job is known")[0]
        self.assertEqual(wait["reason"], "no_profile")
        self.assertIn("gpu", self.cli("explain").stdout)
        self.assertEqual(self.ps()["vms"], [])
        self.check_nothing_left()


class TwoProfiles(MvrunnerTest):
    profiles = [
        {"name": "small", "labels": ["mv-small"]},
        {"name": "large", "labels": ["mv-large"], "vcpus": 2, "memory": "1GiB"},
    ]

    def test_jobs_of_two_profiles_run_at_once_with_their_own_sizes(self):
        self.start_daemon()
        memory = "$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
        size = f'echo "cpus $(nproc) memory {memory}"'
        small = self.github.add_job(size, self.gate(), name="s")
        large = self.github.add_job(size, self.gate(), labels=["mv-large"], name="l")
        for job in (small, large):
            self.github.wait_job(job, "in_progress")
        self.assertEqual({vm["profile"] for vm in self.ps()["vms"]}, {"small", "large"})
        self.open_gate()
        logs = {}
        for job in (small, large):
            done = self.github.wait_job(job, "completed")
            self.assertEqual(done["conclusion"], "success", done["log"])
            logs[job] = done["log"]
        self.assertRegex(logs[small], r"cpus 1 memory [34]\d\d\b")
        self.assertRegex(logs[large], r"cpus 2 memory [89]\d\d\b")
        self.check_nothing_left()


if __name__ == "__main__":
    main()
