"""Releases of actions/runner that renew themselves: what GitHub names is fetched, verified and made
current, by hand and by the daemon, with the stand-in VMM."""

import hashlib
import json
import time

from harness import GITHUB, main, run, wait_for
from standin import StandInVmmTest

OLD, NEW = "2.336.0", "2.340.1"
DAY = 86_400


class RunnerUpdate(StandInVmmTest):
    profiles = [{"name": "small", "labels": ["mv-small"]}]

    def setUp(self):
        super().setUp()
        self.write_config(runner="current", runner_update="off")

    def name(self, version, **what):
        self.github.control("POST", "/downloads", {"version": version, **what})

    def update(self, *arguments, smoke=False):
        words = arguments if smoke else ("--no-smoke", *arguments)
        return self.cli("runner", "update", *words)

    def take(self, version, *arguments):
        done = self.update(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(f"{version} is current"), done.stdout)
        return done

    def refuse(self, *words, arguments=()):
        """An update that fails, says these words, and changes nothing."""
        before = self.releases()
        done = self.update(*arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(self.releases(), before)
        left = [p.name for p in (self.state / "runners").iterdir() if p.name.startswith(".work")]
        self.assertEqual(left, [])

    def releases(self):
        """Version -> use, of what updates made."""
        done = self.cli("runner", "ls", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return {each["name"]: each["use"] for each in json.loads(done.stdout)
                if not each["name"].startswith("stand-in")}

    def downloads(self):
        counts = self.github.control("GET", "/state")["requests"]
        return sum(sum(by_status.values()) for name, by_status in counts.items()
                   if "/_downloads/" in name)

    def tarball(self, version):
        """The file of the named release, beside the test, and its SHA-256."""
        name = f"actions-runner-linux-x64-{version}.tar.gz"
        path = self.root / name
        run(*self.namespaces.inside(self.namespaces.internet), "curl", "-sSf", "-o", path,
            f"{GITHUB}/_downloads/{name}")
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    # ---- by hand ---------------------------------------------------------------------------------

    def test_what_github_names_becomes_current_and_the_one_before_can_come_back(self):
        self.name(OLD)
        self.take(OLD)
        self.assertEqual(self.releases(), {OLD: "current"})
        self.take(OLD)
        self.assertEqual(self.downloads(), 1, "what is here is not fetched again")
        self.name(NEW, token="short-lived")
        self.assertIn(f"before: {OLD}", self.take(NEW).stdout)
        self.assertEqual(self.releases(), {NEW: "current", OLD: "previous"})
        self.assertIn("current", self.cli("runner", "ls").stdout)
        kept = self.cli("runner", "rm", NEW)
        self.assertIn("is current", kept.stderr)

        back = self.cli("runner", "rollback")
        self.assertEqual(back.returncode, 0, back.stderr)
        self.assertEqual(self.releases(), {NEW: "previous", OLD: "current"})
        alone = self.update("--unattended")
        self.assertIn(f"{NEW} was rolled back", alone.stdout)
        self.assertEqual(self.releases(), {NEW: "previous", OLD: "current"})
        self.take(NEW)
        self.assertEqual(self.downloads(), 2)
        self.name("2.341.0")
        self.take("2.341.0", "--unattended")
        self.assertEqual(self.releases(), {"2.341.0": "current", NEW: "previous"})

    def test_what_is_not_what_it_should_be_changes_nothing(self):
        self.name(OLD)
        self.take(OLD)
        for fault, words in {"checksum": ["SHA-256", "damaged"], "truncated": ["_downloads"],
                             "absent": ["HTTP 404"], "no_checksum": ["--sha256"]}.items():
            self.name(NEW, fault=fault)
            self.refuse(*words)
        self.name(NEW)
        self.refuse("--sha256 says", arguments=("--sha256", "0" * 64))
        self.github.control("POST", "/faults", {"match": "runners/downloads", "status": 403,
                                                "body": {"message": "Must have admin rights"}})
        self.refuse("Must have admin rights")

    def test_a_checksum_of_ones_own_stands_in_for_one_github_does_not_tell(self):
        self.name(NEW, fault="no_checksum")
        _, sha256 = self.tarball(NEW)
        self.take(NEW, "--sha256", sha256)

    def test_a_file_is_taken_without_github(self):
        self.name(NEW)
        path, sha256 = self.tarball(NEW)
        asked = self.downloads()
        self.refuse("damaged", arguments=("--file", str(path), "--sha256", "0" * 64))
        self.take(NEW, "--file", str(path), "--sha256", sha256.upper())
        self.assertEqual(self.downloads(), asked)
        self.assertEqual(self.update("--file", str(path)).returncode, 2, "no --sha256")

    # ---- by the daemon ---------------------------------------------------------------------------

    def chore(self):
        return json.loads((self.state / "upkeep.json").read_text())["runner"]

    def metrics(self):
        done = run(*self.namespaces.inside(self.namespaces.host), "curl", "-sSf",
                   "http://127.0.0.1:9840/metrics", capture_output=True)
        return done.stdout

    def age_success(self):
        """As if the last success were more than a day ago."""
        path = self.state / "upkeep.json"
        records = json.loads(path.read_text())
        long_ago = time.gmtime(time.time() - DAY - 60)
        records["runner"]["success"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", long_ago)
        path.write_text(json.dumps(records))

    def test_the_daemon_renews_it_daily_and_jobs_get_it(self):
        self.name(OLD)
        self.take(OLD)
        self.write_config(runner="current")
        self.start_daemon()
        wait_for(lambda: "event=chore_done chore=runner" in self.daemon.text(), "the first look")
        self.assertEqual(self.chore()["failures"], 0)
        self.assertIn('mvrunner_chore_failures{chore="runner"} 0', self.metrics())
        self.assertIn('mvrunner_chore_success_timestamp_seconds{chore="runner"} ', self.metrics())
        self.assertEqual(self.daemon.stop(), 0)

        self.name(NEW, fault="checksum")
        self.age_success()
        self.start_daemon()
        wait_for(lambda: "event=chore_failed chore=runner" in self.daemon.text(), "it is damaged")
        self.assertIn("damaged", self.chore()["why"])
        self.assertIn('mvrunner_chore_failures{chore="runner"} 1', self.metrics())
        found = json.loads(self.cli("doctor", "--quick", "-o", "json").stdout)
        upkeep = next(each for each in found if each["check"] == "upkeep")
        self.assertEqual(upkeep["verdict"], "warn")
        self.assertIn("damaged", upkeep["text"])
        job = self.github.add_job("true")
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.assertEqual(self.releases(), {OLD: "current"})
        time.sleep(11)  # two more looks: it is not due again yet
        self.assertEqual(self.daemon.text().count("event=chore_failed"), 1)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
