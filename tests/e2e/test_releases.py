"""Runner releases that GitHub no longer takes, with the stand-in VMM."""

import json
import time

import state
from harness import main, wait_for
from standin import StandInVmmTest

VERSION = "2.336.0"  # of the stand-in runner


class Releases(StandInVmmTest):
    profiles = [{"name": "small", "labels": ["mv-small"]}]

    def name_version(self):
        """As if the stand-in had been installed from a tarball that is called by its version."""
        place = self.state / "runners" / state.runner_name() / "manifest.json"
        values = json.loads(place.read_text())
        place.unlink()  # a link to what all tests share
        place.write_text(json.dumps({**values, "labels": {"version": VERSION}}))

    def retire(self, **what):
        self.github.control("POST", "/deprecations", {"version": VERSION, **what})

    def wait_refused(self):
        """The text of the wait that a job has whose release is out of use."""
        waits = wait_for(lambda: [w for w in self.ps()["waits"] if w["reason"] == "missing_image"],
                         "the job's wait is explained")
        self.assertIn("no longer accepted by GitHub since ", waits[0]["text"])
        self.assertIn("mvrunner runner update", waits[0]["text"])
        return waits[0]["text"]

    def test_a_release_past_its_date_is_in_no_new_vm(self):
        self.name_version()
        self.retire(registration="2026-01-02T03:04:05Z")
        self.start_daemon()
        wait_for(lambda: "event=profile_cannot_boot" in self.daemon.text(), "GitHub has told it")
        self.github.add_job("true")
        text = self.wait_refused()
        self.assertIn(f"runner release {VERSION}", text)
        self.assertIn("since 2026-01-02", text)
        wait_for(lambda: "event=runner_release_ended" in self.daemon.text(), "it is said")
        self.assertEqual(self.finished(), [])
        self.check_nothing_left()

    def test_a_listener_that_is_turned_away_takes_its_release_out_of_use(self):
        self.retire(refused=True)
        self.start_daemon()
        job = self.github.add_job("true")
        self.wait_refused()
        self.wait_no_vm()
        time.sleep(3)  # several looks at the job: nothing comes of them
        ended = self.finished()
        self.assertEqual([vm["cause"] for vm in ended], ["runner_deprecated"], ended)
        self.assertEqual(ended[0]["exit_code"], 7)
        self.assertEqual(self.github.job(job)["status"], "queued")
        self.check_nothing_left()

    def test_a_release_near_its_end_is_warned_of_and_used(self):
        self.name_version()
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5 * 86_400))
        self.retire(runtime=soon)
        self.start_daemon()
        job = self.github.add_job("true")
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        wait_for(lambda: "event=runner_release_ends" in self.daemon.text(), "it is warned of")


if __name__ == "__main__":
    main()
