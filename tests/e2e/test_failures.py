"""Profiles that cannot boot: they back off, leave nothing, and do not hinder the others."""

import os
import time

import state
from harness import MvrunnerTest, main, wait_for


class BrokenProfile(MvrunnerTest):
    """One sound profile and one broken one, which subclasses break."""

    def check_broken_backs_off_and_small_is_served(self):
        self.start_daemon()
        broken = self.github.add_job("true", labels=["mv-broken"], name="never")
        waits = wait_for(lambda: [w for w in self.ps()["waits"] if w["reason"] == "backoff"],
                         "the broken profile backs off")
        self.assertEqual(waits[0]["profile"], "broken")
        wait_for(lambda: not self._broken_vms() and not self._taps(), "its VM is removed")
        sound = self.github.add_job("echo fine")
        done = self.github.wait_job(sound, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertEqual(self.github.job(broken)["status"], "queued")
        # Cancelled, so that no further attempt is under way when we look for leaks.
        self.github.control("POST", f"/jobs/{broken}/cancel")
        self.wait_no_vm()
        attempts = self.finished("broken")
        self.assertTrue(1 <= len(attempts) <= 6, attempts)
        self.check_nothing_left()
        return attempts

    def _broken_vms(self):
        return [vm for vm in self.ps()["vms"] if vm["profile"] == "broken"]


class PanickingKernel(BrokenProfile):
    profiles = [
        {"name": "small", "labels": ["mv-small"]},
        {"name": "broken", "labels": ["mv-broken"], "kernel_args": "rdinit=/nonexistent"},
    ]

    def test_a_kernel_that_panics_backs_off_and_other_profiles_are_served(self):
        attempts = self.check_broken_backs_off_and_small_is_served()
        self.assertIn("panicked", {vm["cause"] for vm in attempts})
        self.assertIn("Kernel panic", " ".join(vm["cause_text"] for vm in attempts))


class SilentGuest(MvrunnerTest):
    # It panics before the agent can start, and then hangs instead of resetting.
    profiles = [{"name": "small", "labels": ["mv-small"],
                 "kernel_args": "rdinit=/nonexistent panic=0", "boot_timeout": "1h"}]

    def test_a_drain_does_not_wait_for_a_guest_that_never_answers(self):
        self.start_daemon()
        job = self.github.add_job("true")
        self.wait_vm("booting")
        time.sleep(10)  # it hangs by now, or would have said so
        self.assertEqual([vm["phase"] for vm in self.ps()["vms"]], ["booting"])
        done = self.cli("drain", limit=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.github.job(job)["status"], "queued")
        self.assertEqual(self.finished()[0]["cause"], "cancelled")
        self.check_nothing_left()


class GarbageImage(BrokenProfile):
    profiles = [
        {"name": "small", "labels": ["mv-small"]},
        {"name": "broken", "labels": ["mv-broken"], "image": "garbage"},
    ]

    def test_an_image_that_is_garbage_backs_off_and_other_profiles_are_served(self):
        state.add_image(self.state, "garbage", os.urandom(4 * 1024 * 1024))
        attempts = self.check_broken_backs_off_and_small_is_served()
        self.assertLessEqual({vm["cause"] for vm in attempts},
                             {"image_unreadable", "panicked", "vm_died", "cancelled"})


class AbsentImage(MvrunnerTest):
    profiles = [{"name": "small", "labels": ["mv-small"], "image": "no-such"}]

    def test_a_job_whose_image_is_absent_waits_with_that_reason(self):
        self.start_daemon()
        self.github.add_job("true")
        waits = wait_for(lambda: self.ps()["waits"], "the job's wait is explained")
        self.assertEqual(waits[0]["reason"], "missing_image")
        self.assertIn("no-such", waits[0]["text"])
        self.check_nothing_left()


if __name__ == "__main__":
    main()
