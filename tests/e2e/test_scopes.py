"""Where jobs come from: enterprises, scale sets, and jobs that are not served because of their origin."""

import json

from harness import TOKEN, MvrunnerTest, main, wait_for
from standin import StandInVmmTest


class Origins(StandInVmmTest):
    # No job that is refused has labels of one that is served: GitHub would give it to that one's VM.
    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "guarded", "labels": ["mv-guarded"]},
                {"name": "open", "labels": ["mv-open"], "public_repositories": True}]

    def reason(self, name):
        def waits():
            told = json.loads(self.cli("explain", name, "-o", "json").stdout or "{}")
            return told["waits"][0] if told.get("waits") else None
        return wait_for(waits, f"{name} waits for a reason")

    def write_organization(self, **fields):
        github = self.settings()["github"]
        github["scopes"] = [{"organization": "acme", **fields}]
        self.write_config(github=github)

    def add(self, name, repo="acme/widgets", labels=("mv-small",), **fields):
        body = {"repo": repo, "name": name, "labels": list(labels), **fields}
        return self.github.control("POST", "/jobs", body)["job_id"]

    def test_jobs_of_public_repositories_and_forks_wait_and_explain_says_why(self):
        self.github.control("POST", "/repos", {"repo": "acme/public", "private": False})
        self.write_organization()
        self.start_daemon()
        refused = {"forked": self.add("forked", labels=["mv-guarded"], fork=True),
                   "seen": self.add("seen", "acme/public", ["mv-guarded"]),
                   "barred": self.add("barred", "acme/public", ["mv-open"])}
        served = self.add("own")
        self.github.wait_job(served, "completed")
        self.assertEqual(self.reason("forked")["reason"], "fork_pull_request")
        self.assertIn("fork_pull_requests", self.reason("forked")["advice"])
        # GitHub's default group refuses public repositories, which comes first.
        self.assertEqual(self.reason("seen")["reason"], "public_repository")
        barred = self.reason("barred")
        self.assertEqual((barred["reason"], barred["text"]),
                         ("runner_group", "the default runner group refuses public repositories"))
        told = self.cli("explain", "barred").stdout
        self.assertIn("the default runner group refuses public repositories", told)
        self.assertIn("what to do: ", told)
        group = {"org": "acme", "name": "open", "allows_public_repositories": True}
        self.github.control("POST", "/groups", group)
        self.write_organization(runner_group="open")
        self.assertEqual(self.cli("reload").returncode, 0)
        self.github.wait_job(refused.pop("barred"), "completed")
        for job in refused.values():
            self.assertEqual(self.github.job(job)["status"], "queued")
        found = json.loads(self.cli("doctor", "--quick", "-o", "json").stdout)
        told = {one["check"]: one for one in found}
        self.assertIn("also for public repositories", told["runner group"]["text"])
        self.assertEqual(told["polling"]["verdict"], "ok", told["polling"])
        self.assertIn("repositories: 2", told["polling"]["text"])
        self.assertIn("of 5000 requests left", told["rate limit"]["text"])
        self.check_nothing_left()

    def test_an_organization_s_repositories_are_found_and_chosen_by_pattern(self):
        for name in ("lib-a", "lib-old", "web"):
            self.github.control("POST", "/repos", {"repo": f"acme/{name}"})
        self.write_organization(repositories=["lib-*", "widgets"], exclude=["*-old"])
        self.start_daemon()
        jobs = {"lib-a": self.add("lib-a", "acme/lib-a")}
        for name in ("lib-old", "web"):
            jobs[name] = self.add(name, f"acme/{name}", ["mv-guarded"])
        self.github.wait_job(jobs["lib-a"], "completed")
        self.github.wait_job(self.add("own"), "completed")
        for name in ("lib-old", "web"):
            self.assertEqual(self.github.job(jobs[name])["status"], "queued")
        self.check_nothing_left()

    def test_a_repository_out_of_sight_is_told_at_each_try_and_the_rest_is_served(self):
        self.github.control("POST", "/repos", {"repo": "acme/closed"})
        self.github.control("POST", "/faults", {
            "match": "^GET /repos/acme/closed/actions/runs", "count": 1000, "status": 404,
            "body": {"message": "Not Found"}})
        self.write_organization()
        self.start_daemon()
        wait_for(lambda: "event=discovery_failed" in self.daemon.text(), "the failure is told")
        for number in range(5):
            job = self.add(f"own {number}")
            self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        (scope,) = self.ps()["scopes"]
        self.assertIn("acme/closed", scope["failure"])
        self.assertNotIn("event=discovery_recovered", self.daemon.text())
        self.github.control("DELETE", "/faults")
        wait_for(lambda: "event=discovery_recovered" in self.daemon.text(), "it is in sight again")
        answers = self.github.control("GET", "/state")["requests"]
        self.assertEqual(self.daemon.text().count("event=discovery_failed"),
                         answers["GET /repos/{owner}/{repo}/actions/runs"]["404"])
        self.assertEqual(self.daemon.text().count("event=discovery_recovered"), 1)
        self.check_nothing_left()

    def test_an_enterprise_serves_the_repositories_of_its_organizations(self):
        self.github.control("POST", "/enterprises", {"slug": "big", "organizations": ["acme"]})
        self.github.control("POST", "/tokens", {"token": TOKEN, "scopes": "repo"})
        github = self.settings()["github"]
        github["scopes"] = [{"enterprise": "big", "organizations": ["acme"]}]
        self.write_config(github=github)
        self.start_daemon()
        job = self.add("own")

        def failure():
            return next((scope.get("failure") for scope in self.ps()["scopes"]), None)
        told = wait_for(failure, "the missing scope is told")
        self.assertIn("manage_runners:enterprise", told)
        self.github.control("POST", "/tokens",
                            {"token": TOKEN, "scopes": "repo, manage_runners:enterprise"})
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.check_nothing_left()


class Refused(MvrunnerTest):
    """With real VMs: the gate is in the guest."""

    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "forks", "labels": ["mv-forks"], "fork_pull_requests": True}]

    def test_a_refused_job_that_github_gives_to_another_s_vm_runs_no_step(self):
        self.start_daemon()
        steps = [{"name": "plain", "run": "echo stolen"},
                 {"name": "stubborn", "run": "echo stolen as well", "if": "always()"}]
        body = {"repo": "acme/widgets", "name": "forked", "labels": ["mv-small"], "fork": True}
        refused = self.github.control("POST", "/jobs", {**body, "steps": steps})["job_id"]

        def told():
            waits = json.loads(self.cli("explain", "forked", "-o", "json").stdout or "{}")
            return waits.get("waits")
        self.assertEqual(wait_for(told, "forked waits")[0]["reason"], "fork_pull_request")
        # The first in GitHub's queue gets the runner that comes for the second.
        own = self.github.add_job("echo served")
        ended = self.github.wait_job(refused, "completed")
        self.assertIn("mvrunner: profile small serves no pull requests from forks", ended["log"])
        self.assertNotIn("stolen", ended["log"])
        self.assertEqual(ended["conclusion"], "cancelled")
        done = self.github.wait_job(own, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertIn("served", done["log"])
        self.assertNotEqual(done["runner_name"], ended["runner_name"])
        body = {**body, "labels": ["mv-forks"], "steps": [{"run": "echo served as well"}]}
        allowed = self.github.control("POST", "/jobs", body)["job_id"]
        done = self.github.wait_job(allowed, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertIn("served as well", done["log"])
        self.wait_no_vm()
        self.assertEqual(len(self.finished()), 2)
        self.check_nothing_left()


class ScaleSets(MvrunnerTest):
    """With a real VM."""

    def settings(self):
        settings = super().settings()
        settings["github"]["discovery"] = "scale-set"
        return settings

    def sets(self):
        return self.github.control("GET", "/scale_sets")

    def test_a_job_of_a_scale_set_runs_in_a_vm_and_sessions_are_given_back(self):
        self.start_daemon()
        job = self.github.add_job("echo served", self.gate())
        running = self.github.wait_job(job, "in_progress")
        self.assertRegex(running["runner_name"], r"^mv-e2e-[0-9a-f]{8}$")
        # The job goes on over a restart, and the next daemon gets the session at once.
        self.assertEqual(self.daemon.stop(), 0, self.daemon.text())
        self.start_daemon()
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        second = self.github.add_job("echo again")
        self.assertEqual(self.github.wait_job(second, "completed")["conclusion"], "success")
        self.wait_no_vm()
        self.assertNotIn("SessionConflict", self.daemon.text())
        self.check_nothing_left()
        self.assertTrue(self.sets(), "the set is kept: without it, its jobs would be dropped")


if __name__ == "__main__":
    main()
