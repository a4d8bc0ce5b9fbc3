"""Each way GitHub is known to fail or to surprise, alone: a job is served all the same.

Production discovery and client against the stand-in GitHub; time runs faster, see github.py.
"""

import json
import pathlib
import subprocess
import tempfile
import time
import unittest

import github
from github import SOURCE, Github, Host

SPEED = 20
RUNS = "^GET /repos/acme/a/actions/runs"
JIT = "^POST .*/generate-jitconfig"
KEYS = """
const {privateKey, publicKey} = require('crypto').generateKeyPairSync('rsa', {modulusLength: 2048});
console.log(JSON.stringify({
  private: privateKey.export({type: 'pkcs1', format: 'pem'}),
  public: publicKey.export({type: 'spki', format: 'pem'})}));
"""


class FaultTest(unittest.TestCase):
    scopes = [{"repository": "acme/a"}]
    openapi = None

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="mvr-faults-", dir="/var/tmp")
        self.addCleanup(place.cleanup)
        self.root = pathlib.Path(place.name)
        self.github = Github(self.root, self.openapi)
        self.addCleanup(self.github.stop)
        self.github.control("POST", "/repos", {"repo": "acme/a"})
        self.host = None

    def start(self, **settings):
        self.host = Host(self.root, self.github, self.scopes, **settings)
        self.addCleanup(self.end)

    def end(self):
        if self.host.process.poll() is None:
            self.host.stop()

    def fault(self, match, count=1, **what):
        self.github.control("POST", "/faults", {"match": match, "count": count, **what})

    def settings(self, **what):
        self.github.control("POST", "/settings", what)

    def add(self, name="build 2s", **fields):
        return self.github.add_job("acme/a", name, **fields)

    def job(self, job):
        return next(each for each in self.github.state()["jobs"] if each["id"] == job)

    def wait(self, check, what, limit=900):
        end = time.time() + limit
        while not (value := check()):
            self.assertLess(time.time(), end, f"not within {limit} s: {what}\n"
                            + "\n".join(map(str, self.host.lines[-10:])))
            time.sleep(2)
        return value

    def wait_served(self, *jobs):
        for job in jobs:
            self.wait(lambda: self.job(job)["status"] == "completed", f"job {job} is served")
            self.assertTrue(self.job(job)["runner_name"].startswith("mv-soak-"))
            # What the host says is read by a thread of its own, which may be late.
            self.wait(lambda: self.runs(job), f"the host says that job {job} started")
            self.assertEqual(len(self.runs(job)), 1)

    def runs(self, job):
        return [line for line in self.host.said("started") if line["job"] == job]

    def wait_no_runner(self):
        self.wait(lambda: not self.github.state()["runners"], "no runner is left")

    def failures(self):
        return [line["error"] for line in self.host.said("discovery_failed")]

    def wait_failure(self, text):
        self.wait(lambda: any(text in each for each in self.failures()), f"told: {text}")

    def jits(self, status="201"):
        names = [name for name in self.github.state()["requests"] if "generate-jit" in name]
        return sum(self.github.state()["requests"][name].get(status, 0) for name in names)


class Polling(FaultTest):
    def test_a_storm_of_not_modified_without_anything_known(self):
        self.fault(RUNS, 8, status=304)
        self.start()
        self.wait_served(self.add())

    def test_no_requests_left_until_the_reset(self):
        job = self.add()
        reset = str(int(time.time()) + 40)
        self.fault(RUNS, status=403, headers={"x-ratelimit-limit": "5000",
                   "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
        self.start()
        self.wait_served(job)
        self.assertGreaterEqual(self.job(job)["times_ms"]["started"] / 1000, int(reset))

    def test_secondary_limit_that_says_for_how_long(self):
        self.fault(RUNS, status=403, headers={"retry-after": "20"},
                   body={"message": "You have exceeded a secondary rate limit."})
        self.start()
        self.wait_served(self.add())
        self.wait_failure("secondary")

    def test_secondary_limit_that_does_not_say_for_how_long(self):
        self.fault(RUNS, status=403, body={"message": "You have exceeded a secondary rate limit."})
        begun = time.time()
        self.start()
        self.wait_served(self.add())
        self.assertGreater(time.time() - begun, 60)

    def test_too_many_requests(self):
        self.fault(RUNS, 2, status=429)
        self.start()
        self.wait_served(self.add())

    def test_a_registration_whose_answer_is_lost_leaves_no_runner_behind(self):
        self.fault(JIT, drop="after")
        self.start()
        self.wait_served(self.add())
        self.wait_no_runner()
        self.wait(lambda: self.host.said("ghost_deleted"), "the host says that it was deleted")

    def test_a_name_that_is_taken_is_not_used_again(self):
        self.fault(JIT, status=409, body={"message": "Already exists - A runner with the name"})
        self.start()
        self.wait_served(self.add())
        self.assertEqual((self.jits("409"), self.jits()), (1, 1))

    def test_a_runner_that_is_held_for_busy_is_deleted_later(self):
        self.fault("^DELETE .*/actions/runners/", 3, status=422,
                   body={"message": "Bad request - Runner is still running a job"})
        self.start()
        job = self.add()
        self.wait(lambda: self.github.state()["runners"], "a runner is registered")
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.wait_no_runner()

    def test_a_runner_deleted_by_github_while_it_listens(self):
        self.start()
        job = self.add()
        self.wait(lambda: self.github.state()["runners"], "a runner is registered")
        self.github.control("PATCH", f"/jobs/{job}", {"status": "in_progress",
                                                       "runner_name": "other"})
        self.settings(unused_runner_ms=1)
        self.wait_no_runner()
        self.settings(unused_runner_ms=0)
        self.wait_served(self.add())

    def test_a_job_somebody_else_takes(self):
        self.start()
        stolen = self.add()
        self.wait(lambda: self.github.state()["runners"], "a runner is registered")
        self.github.control("PATCH", f"/jobs/{stolen}", {"status": "in_progress",
                                                          "runner_name": "other"})
        self.wait_no_runner()
        self.end()
        self.assertEqual(self.host.said("started"), [])

    def test_a_job_that_stays_listed_after_it_was_taken_gets_no_second_vm(self):
        self.settings(stale_listing_ms=5000)
        self.start()
        self.wait_served(self.add("build 30s"))
        self.assertEqual(self.jits(), 1)

    def test_no_runner_is_null_or_an_empty_name(self):
        self.start()
        self.wait_served(self.add(), self.add())  # the stand-in has both forms, in turn

    def test_a_job_without_labels_is_nobodys(self):
        self.start()
        bare = self.add(labels=[], group="Elsewhere")  # all it asks for is a group
        self.wait_served(self.add())
        self.assertEqual(self.job(bare)["status"], "queued")

    def test_a_job_that_waits_for_an_approval(self):
        self.start()
        job = self.add(status="waiting")
        self.wait_served(self.add())
        self.assertEqual(self.job(job)["status"], "waiting")
        self.github.control("PATCH", f"/jobs/{job}", {"status": "queued"})
        self.wait_served(job)

    def test_a_job_on_the_second_page(self):
        first = self.add(labels=["gpu"])
        run = self.job(first)["run_id"]
        for number in range(110):
            self.add(f"other {number}", labels=["gpu"], run_id=run)
        job = self.add(run_id=run)
        self.start()
        self.wait_served(job)

    def test_a_job_of_yesterday_is_a_leftover(self):
        old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90_000))
        # Of labels of its own: GitHub would give it to any runner that has its labels.
        leftover = self.add(created_at=old, labels=["mv-guarded"])
        self.start()
        self.wait_served(self.add())
        self.assertEqual(self.job(leftover)["status"], "queued")

    def test_a_job_of_an_old_run_that_is_run_again(self):
        first = self.add()
        self.start()
        self.wait_served(first)
        time.sleep(600)
        self.wait_served(self.add(run_id=self.job(first)["run_id"]))

    def test_a_repository_that_was_renamed(self):
        self.github.control("POST", "/repos", {"repo": "acme/renamed"})
        self.github.control("POST", "/renames", {"from": "acme/a", "to": "acme/renamed"})
        self.start()
        self.wait_served(self.github.add_job("acme/renamed", "build 2s"))

    def test_a_version_of_the_api_that_is_gone(self):
        self.fault(RUNS, 2, status=410, body={"message": "API version 2022-11-28 is gone"})
        self.start()
        self.wait_failure("410")
        self.wait_served(self.add())


class Apps(FaultTest):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([SOURCE / "tests/contract/prepare.sh"], capture_output=True, text=True)
        if done.returncode:
            raise unittest.SkipTest("npm is needed: it brings what verifies the tokens of Apps")
        cls.openapi = done.stdout.strip()

    def test_long_tokens_that_are_replaced_and_change_every_tag(self):
        keys = json.loads(subprocess.run(["node", "-e", KEYS], capture_output=True, text=True,
                                         check=True).stdout)
        key = self.root / "app.pem"
        key.write_text(keys["private"])
        key.chmod(0o600)
        self.github.control("POST", "/apps", {"app_id": 7, "client_id": "Iv1.soak",
                                              "public_key": keys["public"]})
        permissions = {"actions": "read", "administration": "write", "metadata": "read"}
        self.github.control("POST", "/installations", {
            "app_id": 7, "account": "acme", "permissions": permissions, "token_life_s": 120})
        self.start(credentials={"app": {"id": "Iv1.soak", "key_file": str(key)}})
        for _ in range(3):
            self.wait_served(self.add())
            time.sleep(150)
        self.end()
        self.assertEqual(self.failures(), [])
        requests = self.github.state()["requests"]
        self.assertGreaterEqual(
            requests["POST /app/installations/{installation_id}/access_tokens"]["201"], 3)


class ScaleSets(FaultTest):
    scopes = [{"repository": "acme/a", "discovery": "scale-set"}]

    def sets(self, **settings):
        return self.github.control("POST", "/scale_sets", settings)

    def test_byte_order_marks(self):
        self.sets(bom=True)
        self.start()
        self.wait_served(self.add())

    def test_no_message_for_a_while(self):
        self.start()
        time.sleep(180)
        self.wait_served(self.add())
        self.end()
        self.assertEqual(self.failures(), [])

    def test_queue_tokens_that_expire(self):
        self.sets(queue_token_life_s=30, admin_token_life_s=60)
        self.start()
        for _ in range(3):
            self.wait_served(self.add())
            time.sleep(60)

    def test_a_session_somebody_else_holds(self):
        self.sets(session_lapse_ms=30_000)
        first = Host(self.root, self.github, self.scopes, name="first")
        time.sleep(30)
        first.kill()  # without giving its session back
        self.start()
        self.wait_served(self.add())
        self.wait_failure("session")

    def test_more_jobs_than_a_message_holds(self):
        self.start()
        self.wait_served(*[self.add(f"job {number} 1s") for number in range(60)])

    def test_jobs_without_a_request_id(self):
        self.sets(zero_ids=True)
        self.start()
        self.wait_served(self.add(), self.add())

    def test_an_enterprise_server_that_only_offers_jobs(self):
        self.sets(ghes=True)
        self.start()
        self.wait_served(self.add(), self.add())

    def test_statistics_that_deny_what_the_message_says(self):
        self.sets(zero_statistics=True)
        self.start()
        self.wait_served(self.add())

    def test_the_service_fails(self):
        self.fault("_apis/", 4, status=503)
        self.start()
        self.wait_served(self.add())

    def test_the_service_moves(self):
        self.sets(admin_token_life_s=60)
        self.start()
        self.wait_served(self.add())
        self.sets(tenant="moved")
        time.sleep(120)
        self.wait_served(self.add())

    def test_a_job_the_queue_forgot(self):
        self.sets(overlook=True)
        self.start()
        self.add("build 2s")
        self.wait(lambda: self.host.said("seen"), "the slow look finds it")


if __name__ == "__main__":
    github.begin(SPEED)
    unittest.main(verbosity=2)
