"""Packing, warm VMs and cancelled demand, with real VMs."""

from harness import MvrunnerTest, main, wait_for

SMALL = {"name": "small", "labels": ["mv-small"]}


class TwoSizesOnASmallBudget(MvrunnerTest):
    """2.25 GiB for VMs: a large one of 2 GiB, or four small ones of 512 MiB."""

    profiles = [SMALL, {"name": "large", "labels": ["mv-large"], "memory": "2GiB"}]

    def settings(self):
        settings = super().settings()
        settings["host"]["memory"] = "3328MiB"  # 1 GiB of it is the reserve
        return settings

    def test_two_sizes_are_packed_by_memory_and_the_large_one_is_not_starved(self):
        self.start_daemon()
        first = [self.github.add_job(self.gate(), name=f"s{n}") for n in range(2)]
        for job in first:
            self.github.wait_job(job, "in_progress")
        large = self.github.add_job("echo large", labels=["mv-large"], name="big")
        wait = wait_for(lambda: [w for w in self.ps()["waits"] if w["profile"] == "large"],
                        "the large job waits")[0]
        self.assertEqual(wait["reason"], "no_memory")
        self.assertIn("needs 2GiB of memory", wait["text"])
        self.assertIn("next", wait)
        # Two more small ones would fit, but only until the limit of their job: that would delay
        # the large one, which holds a reservation.
        later = self.github.add_job("echo later", name="s9")
        reasons = wait_for(lambda: {w["profile"]: w["reason"] for w in self.ps()["waits"]
                                    if w["profile"] == "small"}, "the small job waits as well")
        self.assertEqual(reasons, {"small": "reserved"})
        self.assertEqual(len(self.ps()["vms"]), 2)
        self.open_gate()
        for job in [*first, large, later]:
            self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.check_nothing_left()


class WarmVms(MvrunnerTest):
    profiles = [{**SMALL, "warm": 1}]

    def wait_warm(self):
        return wait_for(lambda: next((vm for vm in self.ps()["vms"] if vm["phase"] == "warm"), None),
                        "a VM is warm")

    def test_a_job_gets_the_vm_that_is_warm_and_another_takes_its_place(self):
        self.start_daemon()
        warm = self.wait_warm()
        self.assertEqual((warm["runner"], warm["scope"]), ("", ""))
        self.assertEqual(self.github.runners(), [], "a warm VM is registered at GitHub")
        job = self.github.add_job("echo warm", self.gate())
        self.github.wait_job(job, "in_progress")
        running = self.wait_vm("running")
        self.assertEqual(running["vm"], warm["vm"])
        other = self.wait_warm()
        self.assertNotEqual(other["vm"], warm["vm"])
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        # A warm VM outlives the daemon as one, and a drain gives it up.
        self.daemon.stop()
        self.start_daemon()
        self.assertEqual(self.wait_warm()["vm"], other["vm"])
        self.assertEqual(self.cli("drain").returncode, 0)
        self.check_nothing_left()


class TimeLimit(MvrunnerTest):
    profiles = [{**SMALL, "job_timeout": "40s"}]

    def test_a_job_near_its_limit_is_told_and_then_ended_in_good_order(self):
        self.start_daemon()
        told = "until grep -q 'time limit' /run/mvrunner/notices; do sleep 1; done; echo told"
        job = self.github.add_job(told, "sleep 3600")
        done = self.github.wait_job(job, "completed")
        self.assertNotEqual(done["conclusion"], "success")
        self.assertIn("told", done["log"].splitlines(), "the guest was not warned")
        self.wait_no_vm()
        (vm,) = self.finished()
        self.assertEqual(vm["cause"], "job_timeout")
        self.assertIn("longer than 40s", vm["cause_text"])
        self.check_nothing_left()


class CancelStorm(MvrunnerTest):
    profiles = [{**SMALL, "memory": "256MiB"}]

    def test_ten_jobs_cancelled_while_their_vms_boot_leave_no_vm_and_harm_no_job(self):
        self.start_daemon()
        held = self.github.add_job(self.gate(), name="held")
        self.github.wait_job(held, "in_progress")
        storm = [self.github.add_job("echo never", name=f"storm{n}") for n in range(10)]
        wait_for(lambda: len(self.ps()["vms"]) >= 7, "VMs boot for them", every=0.1)
        for job in storm:
            self.github.control("POST", f"/jobs/{job}/cancel")
        wait_for(lambda: [vm["job"] for vm in self.ps()["vms"]] == ["held"],
                 "only the VM with a job is left")
        self.assertEqual(self.github.job(held)["status"], "in_progress")
        self.assertTrue(all(self.github.job(job)["log"] == "" for job in storm))
        self.open_gate()
        self.assertEqual(self.github.wait_job(held, "completed")["conclusion"], "success")
        self.wait_no_vm()
        wait_for(lambda: not self.github.runners(), "no runner stays registered")
        self.check_nothing_left()


if __name__ == "__main__":
    main()
