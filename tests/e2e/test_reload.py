"""A running daemon takes a changed configuration, or says why it does not."""

import signal

from harness import WEB, MvrunnerTest, main, wait_for


class Reload(MvrunnerTest):
    def write_profiles(self, *profiles, **changes):
        self.profiles = list(profiles)
        self.write_config(**changes)

    def log_has(self, text):
        wait_for(lambda: text in self.daemon.text(), f"the daemon logs {text}", limit=30)

    def test_a_broken_file_is_refused_with_its_places_and_the_old_one_serves_on(self):
        self.start_daemon()
        sound = self.config.read_text()
        self.config.write_text(sound.replace('"vcpus": 1', '"vcpus": 99'))
        line = next(n for n, text in enumerate(self.config.read_text().splitlines(), 1)
                    if '"vcpus"' in text)
        done = self.cli("reload")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(f"{self.config}:{line}:", done.stderr)
        self.assertIn("profiles[0].vcpus", done.stderr)
        self.log_has("event=reload_refused")
        self.assertIn("profiles[0].vcpus", self.daemon.text())
        # Another problem, since lines that repeat are counted only.
        self.config.write_text(sound.replace('"vcpus": 1', '"vcpus": 98'))
        self.daemon.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: self.daemon.text().count("event=reload_refused") == 2,
                 "SIGHUP is refused as well", limit=30)
        self.config.write_text(sound)
        job = self.github.add_job("echo fine")
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.check_nothing_left()

    def test_a_new_profile_is_served_while_a_job_of_removed_ones_runs_on(self):
        self.start_daemon()
        held = self.github.add_job("echo begun", self.gate(), "echo ended")
        self.github.wait_job(held, "in_progress")
        name = self.wait_vm("running")["vm"]
        self.github.control("POST", "/repos", {"repo": "acme/gadgets"})
        pattern = {"name": "other", "labels": ["mv-{cpus}cpu-{memory}gb"], "memory": "1GiB",
                   "max_vcpus": 2, "max_memory": "2GiB"}
        self.write_profiles(pattern,
                            github={**self.settings()["github"],
                                    "scopes": [{"repository": "acme/gadgets"}]},
                            network={**self.settings()["network"], "subnet": "10.77.0.0/16",
                                     "allow": ["10.0.0.1:443"]})
        done = self.cli("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("profiles: applied", done.stdout)
        self.assertIn("network.allow: applied", done.stdout)
        self.assertIn("network.subnet: needs a restart", done.stdout)
        self.assertIn("github.scopes: applied", done.stdout)
        job = self.github.add_job(f"curl -sf {WEB}/; nproc", labels=["mv-2cpu-1gb"], name="fresh",
                                  repo="acme/gadgets")
        completed = self.github.wait_job(job, "completed")
        self.assertEqual(completed["conclusion"], "success", completed["log"])
        self.assertEqual(self.wait_vm("running")["vm"], name)
        self.open_gate()
        completed = self.github.wait_job(held, "completed")
        self.assertEqual(completed["conclusion"], "success", completed["log"])
        self.wait_no_vm()
        self.assertEqual(len(self.finished("other-2cpu-1gb")), 1)
        wait_for(lambda: not self.github.runners(), "no runner is left")
        # The network it was started with is the one it leaves.
        self.write_profiles({"name": "small", "labels": ["mv-small"]})
        self.check_nothing_left()

    def test_a_command_whose_profile_goes_while_it_waits_fails(self):
        small = {"name": "small", "labels": ["mv-small"]}
        self.write_profiles(small, {"name": "gone", "labels": ["mv-gone"]})
        self.start_daemon()
        self.assertEqual(self.cli("drain").returncode, 0)
        command = self.start_cli("run", "--profile", "gone", "--", "true")
        wait_for(lambda: [wait for wait in self.ps()["waits"] if wait["profile"] == "gone"],
                 "the command waits", limit=30)
        self.write_profiles(small)
        self.assertEqual(self.cli("reload").returncode, 0)
        _, said = command.communicate(timeout=30)
        self.assertEqual(command.returncode, 1, said)
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertIn("profile 'gone' is no longer configured", said)
        self.check_nothing_left()

    def test_scopes_and_token_change_with_a_signal(self):
        self.write_config(github={**self.settings()["github"], "scopes": []})
        self.start_daemon()
        self.github.control("POST", "/repos", {"repo": "acme/gadgets"})
        job = self.github.add_job("echo fine", repo="acme/gadgets")
        github = self.settings()["github"]
        self.write_config(github={**github, "scopes": [{"repository": "acme/gadgets"}]})
        self.daemon.popen.send_signal(signal.SIGHUP)
        self.log_has("event=reloaded")
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.wait_no_vm()
        (self.root / "token").unlink()
        done = self.cli("reload")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(str(self.root / "token"), done.stderr)
        self.settings()  # writes it again
        self.assertIn("nothing has changed", self.cli("reload").stdout)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
