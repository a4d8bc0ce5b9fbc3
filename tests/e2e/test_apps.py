"""mvrunner as a GitHub App: tokens that expire, permissions that are missing, scopes of their own."""

from apps import PERMISSIONS, AppTest
from harness import TOKEN, main, wait_for

MINTED = "POST /app/installations/{installation_id}/access_tokens"


class Apps(AppTest):
    def minted(self):
        return self.github.control("GET", "/state")["requests"].get(MINTED, {}).get("201", 0)

    def failure(self, scope="acme/widgets"):
        for entry in self.ps()["scopes"]:
            if entry["scope"] == scope:
                return entry.get("failure", "") + entry.get("advice", "")
        return ""

    def test_a_job_is_served_while_tokens_expire_and_are_revoked(self):
        installation = self.install(token_life_s=12)
        self.write_scopes({"repository": "acme/widgets"}, app=self.app())
        self.start_daemon()
        job = self.github.add_job("echo begun", self.gate(), "echo ended")
        self.github.wait_job(job, "in_progress")
        before = self.minted()
        wait_for(lambda: self.minted() >= before + 3, "tokens expire while the job runs")
        self.github.control("DELETE", f"/installations/{installation}/tokens")
        before = self.minted()
        wait_for(lambda: self.minted() > before, "a revoked token is replaced")
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.wait_no_vm()
        self.assertEqual(self.failure(), "")
        self.assertNotIn("event=discovery_failed", self.daemon.text())
        self.assertNotIn("ghs_", self.daemon.text())
        self.check_nothing_left()

    def test_a_missing_permission_is_named_at_start_and_gone_once_granted(self):
        installation = self.install(permissions={"actions": "read"})
        self.write_scopes({"repository": "acme/widgets"}, app=self.app())
        self.start_daemon()
        failure = wait_for(self.failure, "the failure of the scope is shown", limit=60)
        self.assertIn('"Administration: write"', failure)
        self.assertNotIn("Actions", failure)
        self.assertIn("Administration: write", self.cli("ps").stdout)
        self.assertIn("Administration: write", self.daemon.text())
        self.github.control("PATCH", f"/installations/{installation}",
                            {"permissions": PERMISSIONS})
        wait_for(lambda: not self.failure(), "the scope has recovered", limit=120)
        self.check_nothing_left()

    def test_each_scope_is_served_by_its_own_credentials(self):
        self.install(repositories=["widgets"])
        self.github.control("POST", "/repos", {"repo": "other/thing"})
        token = self.root / "other-token"
        token.write_text("ghp_other\n")
        token.chmod(0o644)
        self.github.control("POST", "/tokens", {"token": "ghp_other", "scopes": "repo",
                                                "repositories": ["other/thing"]})
        self.github.control("DELETE", f"/tokens/{TOKEN}")
        self.write_scopes({"repository": "acme/widgets", "app": self.app()},
                          {"repository": "other/thing", "token_file": str(token)})
        refused = self.cli("serve", limit=60)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"chmod 600 {token}", refused.stderr)
        token.chmod(0o600)
        self.start_daemon()
        for repo in ("acme/widgets", "other/thing"):
            job = self.github.add_job("echo fine", repo=repo)
            done = self.github.wait_job(job, "completed")
            self.assertEqual(done["conclusion"], "success", done["log"])
        self.check_nothing_left()

    def test_a_clock_that_is_off_is_named_with_the_remedy(self):
        self.install()
        self.github.control("POST", "/settings", {"clock_skew_s": 900})
        self.write_scopes({"repository": "acme/widgets"}, app=self.app())
        self.start_daemon()
        failure = wait_for(self.failure, "the failure of the scope is shown", limit=60)
        self.assertIn("behind GitHub's", failure)
        self.assertIn("timedatectl", failure)
        self.assertEqual(self.daemon.text().count("event=clock_skewed"), 1)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
