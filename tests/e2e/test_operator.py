"""What people do at the host: drain, ssh, logs, kill, one-off commands."""

import csv
import json
import pathlib
import selectors

import state
from harness import MvrunnerTest, main, wait_for
from standin import StandInVmmTest


class Operator(MvrunnerTest):
    def hold_job(self):
        job = self.github.add_job("echo begun", self.gate())
        self.github.wait_job(job, "in_progress")
        return job, self.wait_vm("running")["vm"]

    def test_drain_waits_for_the_running_job_and_takes_no_other_until_switched_off(self):
        self.start_daemon()
        job, _ = self.hold_job()
        drain = self.start_cli("drain")
        wait_for(lambda: self.ps()["draining"], "the host drains")
        second = self.github.add_job("echo later")
        waits = wait_for(lambda: self.ps()["waits"], "the second job's wait is known")
        self.assertEqual(waits[0]["reason"], "draining")
        self.assertIsNone(drain.poll(), "drain returned with a job running")
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.assertEqual(drain.wait(300), 0)
        self.assertIn("drained", drain.stdout.read())
        self.assertEqual(self.github.job(second)["status"], "queued")
        self.assertEqual(self.cli("drain", "--off").returncode, 0)
        self.assertEqual(self.github.wait_job(second, "completed")["conclusion"], "success")
        self.check_nothing_left()

    def test_a_drain_with_a_deadline_ends_the_job_that_does_not(self):
        self.start_daemon()
        job, vm = self.hold_job()
        self.github.control("POST", "/settings", {"lost_after_ms": 5000})
        refused = self.cli("drain", "--deadline", "soon")
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertEqual(self.cli("drain", "--deadline", "1h", "--no-wait").returncode, 0)
        far = self.ps()["drain_deadline"]
        # The deadline outlives the daemon, and is not lost by asking again without one.
        self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        wait_for(lambda: self.ps()["draining"], "the next daemon drains as well", limit=30)
        self.assertEqual(self.ps()["drain_deadline"][:17], far[:17])
        waiting = self.cli("drain", "--no-wait")
        self.assertIn("are stopped at", waiting.stdout)
        self.assertEqual(self.wait_vm("running")["vm"], vm)
        done = self.cli("drain", "--deadline", "3s")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("drained", done.stdout)
        self.assertNotEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        (ended,) = self.finished()
        self.assertIn("deadline", ended["cause_text"])
        self.assertEqual(self.cli("undrain").returncode, 0)
        self.assertFalse(self.ps()["draining"])
        wait_for(lambda: not self.github.runners(), "the runner is gone")
        self.check_nothing_left()

    def test_explain_says_of_a_job_what_is_known(self):
        self.start_daemon()
        job, vm = self.hold_job()
        self.assertIn(f"VM {vm} of profile small runs build", self.cli("explain", "build").stdout)
        self.assertEqual(self.cli("drain", "--no-wait").returncode, 0)
        second = self.github.add_job("true", name="later")
        wait_for(lambda: self.ps()["waits"], "the second job's wait is known")
        for wanted in ("later", str(second), "small"):
            told = self.cli("explain", wanted)
            self.assertIn(f"oldest: later of acme/widgets ({second})", told.stdout, told.stderr)
            self.assertIn("the host is draining", told.stdout)
            self.assertIn("what to do:", told.stdout)
        unknown = self.cli("explain", "nobody")
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("nobody", unknown.stderr)
        self.github.control("POST", f"/jobs/{second}/cancel")
        self.open_gate()
        self.github.wait_job(job, "completed")
        self.check_nothing_left()

    def test_ssh_runs_a_command_in_a_live_vm_and_returns_its_exit_code(self):
        self.start_daemon()
        _, vm = self.hold_job()
        done = self.cli("ssh", vm, "--", "echo", "user=$(id -un)", ";", "exit", "7")
        self.assertEqual((done.returncode, done.stdout), (7, "user=runner\n"), done.stderr)
        missing = self.cli("ssh", "no-such-vm", "--", "true")
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn("no-such-vm", missing.stderr)
        self.open_gate()
        self.check_nothing_left()

    def test_logs_show_the_runners_lines_of_a_live_vm(self):
        self.start_daemon()
        _, vm = self.hold_job()
        self.assertIn("Running job: build", self.cli("logs", vm).stdout)
        self.assertEqual(self.cli("logs", "--console", vm).returncode, 0)
        self.open_gate()
        self.check_nothing_left()

    def test_an_image_cannot_be_removed_while_a_vm_uses_it(self):
        state.own_image(self.state)
        self.start_daemon()
        _, vm = self.hold_job()
        refused = self.cli("image", "rm", "debian-12")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("used by a running VM", refused.stderr)
        self.assertIn("debian-12", self.cli("image", "ls").stdout)
        self.assertEqual(self.wait_vm("running")["vm"], vm, "the VM was harmed")
        self.open_gate()
        self.wait_no_vm()
        removed = self.cli("image", "rm", "debian-12")
        self.assertEqual(removed.returncode, 0, removed.stderr)
        self.assertNotIn("debian-12", self.cli("image", "ls").stdout)
        self.check_nothing_left()

    def test_kill_ends_a_vm_with_its_job(self):
        self.start_daemon()
        job, vm = self.hold_job()
        self.github.control("POST", "/settings", {"lost_after_ms": 5000})
        self.assertEqual(self.cli("kill", vm).returncode, 0)
        self.wait_no_vm()
        (ended,) = self.finished()
        self.assertEqual(ended["cause"], "killed")
        self.assertNotEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        wait_for(lambda: not self.github.runners(), "the runner is gone")
        self.check_nothing_left()


class OneOffCommand(MvrunnerTest):
    def test_run_passes_the_commands_output_and_exit_code_on(self):
        self.start_daemon()
        done = self.cli("run", "--", "sh", "-c", "echo out; echo err >&2; exit 9")
        self.assertEqual((done.returncode, done.stdout), (9, "out\n"), done.stderr)
        self.assertIn("err\n", done.stderr)
        self.check_nothing_left()

    def test_run_streams_output_while_the_command_runs(self):
        self.start_daemon()
        command = self.start_cli("run", "--", "sh", "-c", f"echo begun; {self.gate()}")
        with selectors.DefaultSelector() as selector:
            selector.register(command.stdout, selectors.EVENT_READ)
            self.assertTrue(selector.select(300), "no output while the command runs")
        self.assertEqual(command.stdout.readline(), "begun\n")
        self.assertIsNone(command.poll())
        self.open_gate()
        self.assertEqual(command.wait(300), 0)
        self.check_nothing_left()

    def test_run_interrupted_ends_its_vm(self):
        self.start_daemon()
        command = self.start_cli("run", "--", "sh", "-c", "echo begun; sleep 3600")
        self.assertEqual(command.stdout.readline(), "begun\n")
        command.kill()
        self.check_nothing_left()

    def test_run_works_without_a_daemon_and_leaves_nothing(self):
        self.config = pathlib.Path(self.config.name)  # relative to where it is typed
        done = self.cli("run", "--", "sh", "-c", "echo alone; exit 4", cwd=self.root)
        self.assertEqual((done.returncode, done.stdout), (4, "alone\n"), done.stderr)
        wait_for(lambda: not self._own_programs(), "its daemon has ended")
        self.check_no_vm_left()
        self.check_host_left_clean()

    def test_run_of_a_program_that_is_not_there_says_so(self):
        self.start_daemon()
        done = self.cli("run", "--", "/no/such/program")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/no/such/program", done.stdout + done.stderr)
        self.check_nothing_left()


class Reports(StandInVmmTest):
    def report(self, *arguments):
        done = self.cli("report", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_past_jobs_are_added_up(self):
        self.assertEqual(json.loads(self.report("-o", "json")), [])  # no history yet
        self.start_daemon()
        for step, conclusion in (("true", "success"), ("true", "success"), ("false", "failure")):
            job = self.github.add_job(step, name="a, \"b\"")
            self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], conclusion)
        self.wait_no_vm()
        (row,) = json.loads(self.report("-o", "json"))
        self.assertEqual((row["key"], row["jobs"], row["failed"], row["lost"], row["minutes"]),
                         ("acme/widgets", 3, 1, 0, 3))
        self.assertGreater(row["wait_p95_ms"], 0)
        # The facts of a job, which name its workflow, are fetched after it.
        wait_for(lambda: len(self.report("--by", "job", "-o", "csv").splitlines()) == 2,
                 "all jobs are of one kind", limit=30)
        header, line = csv.reader(self.report("--by", "job", "-o", "csv").splitlines())
        self.assertEqual(header[:3], ["job", "jobs", "failed"])
        self.assertTrue(line[0].endswith('a, "b"'), line)
        self.assertEqual(line[1:4], ["3", "1", "0"])
        self.assertIn("small", self.report("--by", "profile"))
        self.assertEqual(json.loads(self.report("--since", "1ms", "-o", "json")), [])
        refused = self.cli("report", "--since", "yesterday")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--since", refused.stderr)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
