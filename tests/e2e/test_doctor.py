"""`mvrunner doctor` on a host that is well, and on one that is not."""

import json

from harness import GITHUB, MvrunnerTest, main


class Doctor(MvrunnerTest):
    def settings(self):
        settings = super().settings()  # it writes the token
        # A name, so that a guest has something to resolve; no scope: this host cannot.
        settings["github"] = {"url": "http://github.test:8080"}
        return settings

    def findings(self, *arguments):
        done = self.cli("doctor", "-o", "json", *arguments)
        findings = json.loads(done.stdout or "[]")
        self.assertTrue(findings, done.stderr)
        failed = {one["check"] for one in findings if one["verdict"] == "fail"}
        self.assertEqual(done.returncode, 4 if failed else 0, done.stderr)
        for one in findings:
            self.assertEqual(one["remedy"] == "", one["verdict"] == "ok", one)
        return failed, {one["check"]: one for one in findings}

    def test_a_host_that_is_well_boots_a_vm_that_reaches_github(self):
        failed, findings = self.findings()
        self.assertLessEqual(failed, {"kvm"})  # the one thing emulation does without
        self.assertEqual(findings["test VM"]["verdict"], "ok", findings)
        self.assertIn("resolved github.test", findings["test VM"]["text"])
        for check in ("kernel", "namespace", "tap", "firewall", "programs", "memory", "image"):
            self.assertEqual(findings[check]["verdict"], "ok", findings[check])
        self.assertEqual(self._own_programs(), [], "a daemon is left")
        # Beside a daemon, in words.
        self.start_daemon()
        told = self.cli("doctor", "--quick").stdout
        self.assertIn("ok    firewall          nftables works\n", told)
        self.assertNotIn("test VM", told)
        self.cli("drain")
        _, findings = self.findings()
        self.assertIn("draining", findings["test VM"]["text"])
        self.check_nothing_left()

    def test_what_is_wrong_is_named_with_its_remedy(self):
        self.processes[0].stop()  # the resolver
        _, findings = self.findings()
        self.assertEqual(findings["test VM"]["verdict"], "fail", findings)
        self.assertIn("cannot resolve github.test", findings["test VM"]["text"])
        self.write_config(profiles=[{**self.settings()["profiles"][0], "image": "nothing-here",
                                     "disk": "8TiB"}])
        failed, findings = self.findings()
        self.assertLessEqual({"image", "profiles"}, failed)
        self.assertIn("mvrunner image build -t nothing-here", findings["image"]["remedy"])
        self.assertIn("8TiB", findings["profiles"]["text"])
        self.assertNotIn("test VM", findings)
        self.check_host_left_clean()

    def test_what_github_says_of_a_scope_is_told(self):
        scopes = [{"repository": "acme/widgets"}]
        github = {"url": GITHUB, "token_file": str(self.root / "token"), "scopes": scopes}
        self.github.add_job("true")
        self.write_config(github=github)
        _, findings = self.findings("--quick")
        self.assertEqual(findings["github"]["text"], "acme/widgets: queued jobs: 1, runners: 0")
        (self.root / "token").write_text("ghp_wrong0123456789\n")
        failed, findings = self.findings("--quick")
        self.assertIn("github", failed)
        self.assertIn("401", findings["github"]["text"])
        self.assertNotIn("ghp_wrong", findings["github"]["text"])
        (self.root / "token").chmod(0o644)
        _, findings = self.findings("--quick")
        self.assertIn("chmod 600", findings["github"]["text"])


if __name__ == "__main__":
    main()
