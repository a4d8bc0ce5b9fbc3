"""Actions that jobs use: learned from their VMs, fetched once, and on a drive in the VMs after that."""

import json

from harness import MvrunnerTest, main, run, wait_for

SHA = "08eba0b27e820071cde6df949e0beb9ba4906955"
TOOL = {"repository": "acme/tool", "ref": "v1", "sha": SHA}
TAKEN = "cat /opt/actions-runner/_work/_actions/acme/tool/v1/action.yml"


class Actions(MvrunnerTest):
    def setUp(self):
        super().setUp()
        self.write_config(action_cache="on")
        self.github.control("POST", "/actions", TOOL)

    def downloads(self):
        counts = self.github.control("GET", "/state")["requests"]
        return sum(sum(by_status.values()) for name, by_status in counts.items()
                   if f"/archive/{SHA}" in name)

    def run_job(self):
        """A job that uses the action; returns where that came from."""
        job = self.github.add_job(TAKEN, "mount | grep action-archives || true", uses=[TOOL])
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertIn("name: acme/tool", done["log"])
        self.wait_no_vm()
        source = done["log"].split(f"acme/tool@{SHA} is from ")[1].splitlines()[0]
        return source, done["log"]

    def listed(self):
        done = self.cli("action", "ls", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(each["repository"], each["sha"], each["state"], each["vms"])
                for each in json.loads(done.stdout)]

    def metric(self, name):
        text = run(*self.namespaces.inside(self.namespaces.host), "curl", "-sSf",
                   "http://127.0.0.1:9840/metrics", capture_output=True).stdout
        return next(line.split()[1] for line in text.splitlines() if line.startswith(name + " "))

    def test_the_third_job_finds_what_the_first_two_downloaded(self):
        self.start_daemon()
        wait_for(lambda: "event=chore_done chore=actions" in self.daemon.text(), "the first look")
        self.assertEqual(self.run_job()[0], "GitHub")
        wait_for(lambda: self.listed() == [("acme/tool", SHA, "seen once", 1)], "it was learned")
        self.assertIn("0 archives", self.cli("action", "update").stdout)
        self.assertEqual(self.run_job()[0], "GitHub")
        wait_for(lambda: self.listed() == [("acme/tool", SHA, "waiting", 2)], "it was learned")
        self.assertEqual(self.downloads(), 2)

        done = self.cli("action", "update")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 archive, ", done.stdout)
        self.assertEqual(self.downloads(), 3)
        self.assertEqual(self.listed(), [("acme/tool", SHA, "cached", 2)])
        self.assertEqual(self.metric("mvrunner_action_cache_archives"), "1")

        source, log = self.run_job()
        self.assertEqual(source, "the cache")
        mount = next(line for line in log.splitlines() if " on /opt/action-archives " in line)
        for option in ("ro", "nosuid", "nodev"):
            self.assertIn(option, mount.split("(")[1].rstrip(")").split(","))
        self.assertEqual(self.downloads(), 3, "it came from the drive")
        wait_for(lambda: self.listed() == [("acme/tool", SHA, "cached", 3)], "it was counted")

        self.check_nothing_left()
        self.write_config(action_cache="off")
        self.assertEqual(self.cli("action", "update").returncode, 1)
        self.assertEqual(self.cli("action", "prune").returncode, 0)
        left = [path.name for path in (self.state / "actions").rglob("*.ext4")]
        self.assertEqual(left, [])


if __name__ == "__main__":
    main()
