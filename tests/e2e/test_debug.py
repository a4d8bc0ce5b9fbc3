"""Looking into VMs: held ones, exec, ssh without the guest's network, logs and events."""

import json
import os
import pathlib
import pty
import subprocess
import time

from harness import MvrunnerTest, main, wait_for


class Debugging(MvrunnerTest):
    profiles = [{"name": "small", "labels": ["mv-small"],
                 "hold_on_failure": {"for": "30m", "max": 1}}]

    def exec(self, vm, *command, stdin=subprocess.DEVNULL, user=None):
        options = ["--user", user] if user else []
        return subprocess.run(self.mvrunner("exec", *options, vm, "--", *command), stdin=stdin,
                              capture_output=True, timeout=300)

    def held(self):
        return wait_for(lambda: next((vm for vm in self.ps()["vms"] if vm["phase"] == "held"), None),
                        "a VM is held")

    def check_exec(self, vm):
        done = self.exec(vm, "sh", "-c", "id -un; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, b"runner\n", b"err\n"))
        self.assertEqual(self.exec(vm, "id", "-un", user="root").stdout, b"root\n")
        missing = self.exec(vm, "/no/such/program")
        self.assertEqual(missing.returncode, 127)
        self.assertIn(b"/no/such/program", missing.stderr)
        # More than fits any window, both ways.
        data = os.urandom(1_500_000)
        source = self.root / "data"
        source.write_bytes(data)
        with open(source, "rb") as stdin:
            there_and_back = self.exec(vm, "cat", stdin=stdin)
        self.assertEqual(there_and_back.stdout, data)

    def check_ssh_without_network(self, vm):
        broken = self.exec(vm, "sh", "-c", "ip link set eth0 down 2>/dev/null || "
                           "echo 1 > /proc/sys/net/ipv4/conf/eth0/disable_policy; "
                           "ip -4 addr flush dev eth0; true", user="root")
        self.assertEqual(broken.returncode, 0, broken.stderr)
        done = self.cli("ssh", vm, "--", "echo", "user=$(id -un)", ";", "exit", "5")
        self.assertEqual((done.returncode, done.stdout), (5, "user=runner\n"), done.stderr)

    def check_scp(self, vm):
        """What `ssh-config` prints is all that scp needs."""
        printed = self.cli("ssh-config", vm)
        self.assertEqual(printed.returncode, 0, printed.stderr)
        config = self.root / "ssh_config"
        config.write_text(printed.stdout)
        (self.root / "letter").write_text("hello\n")
        environment = {**os.environ, "HOME": str(self.root / "home")}
        environment.pop("XDG_RUNTIME_DIR", None)
        for source, target in ((self.root / "letter", f"{vm}:/tmp/letter"),
                               (f"{vm}:/tmp/letter", self.root / "answer")):
            copied = subprocess.run(
                [*self.inside_host(), "scp", "-F", config, source, target],
                capture_output=True, text=True, timeout=300, env=environment,
                stdin=subprocess.DEVNULL)
            self.assertEqual(copied.returncode, 0, copied.stderr)
        self.assertEqual((self.root / "answer").read_text(), "hello\n")

    def inside_host(self):
        from harness import Namespaces
        return Namespaces.inside(self.namespaces.host)

    def check_logs(self, vm):
        for wanted in (vm, "build"):
            shown = self.cli("logs", wanted)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn("Running job: build", shown.stdout)
        runner = self.cli("logs", "--runner", vm)
        self.assertRegex(runner.stdout, r"==> Runner_.*\.log")
        self.assertIn("Job build completed with result: Failed", runner.stdout)

    def test_a_failed_job_is_held_looked_into_and_let_go(self):
        self.start_daemon()
        following = self.start_cli("events", "-f")
        job = self.github.add_job("echo begun; exit 3")
        held = self.held()
        vm = held["vm"]
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "failure")
        wait_for(lambda: not self.github.runners(), "its runner is gone from GitHub")
        # It counts, and it is not paused.
        self.assertEqual(self.ps()["used"]["vms"], 1)
        self.assertIn("held_until", self.held())
        wait_for(lambda: self.held().get("memory_used"), "what it uses is told")
        self.check_exec(vm)
        self.check_ssh_without_network(vm)
        self.check_scp(vm)
        # Another daemon finds it as it was.
        self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        wait_for(lambda: self.held()["vm"] == vm, "it is held after a restart")
        self.assertEqual(self.exec(vm, "echo", "still here").stdout, b"still here\n")
        top = self.cli("top")
        self.assertRegex(top.stdout, rf"(?m)^{vm} +held ")
        # Setting up the job shows where it ran.
        self.assertIn(f"VM: {vm}", self.github.job(job)["log"])
        # Let go by its own time.
        self.assertEqual(self.cli("hold", vm, "--for", "2s").returncode, 0)
        self.wait_no_vm()
        (ended,) = self.finished()
        self.assertEqual((ended["cause"], ended["result"]), ("finished", "Failed"))
        self.check_logs(vm)
        names = [json.loads(line)["event"] for line in self.cli("events").stdout.splitlines()]
        self.assertIn("vm_adopted", names)
        self.assertIn("command_started", names)
        self.check_nothing_left()
        events = [json.loads(line) for line in following.communicate()[0].splitlines()]
        names = [event["event"] for event in events]
        for name in ("job_seen", "listening", "job_started", "vm_held", "command_started",
                     "ssh_key_authorized"):
            self.assertIn(name, names)
        self.assertTrue(all(event["time"].endswith("Z") for event in events))
        who = next(event for event in events if event["event"] == "ssh_key_authorized")
        self.assertEqual((who["vm"], who["by"]), (vm, "root"))

    def test_an_operator_holds_a_job_that_succeeds_and_kills_it(self):
        self.start_daemon()
        job = self.github.add_job("echo begun", self.gate())
        self.github.wait_job(job, "in_progress")
        vm = self.wait_vm("running")["vm"]
        self.assertIn("once its job has ended", self.cli("hold", vm).stdout)
        refused = self.cli("hold", "--for", "soon", vm)
        self.assertNotEqual(refused.returncode, 0)
        screen = self.watch_top()
        self.assertIn(vm, screen)
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.assertEqual(self.held()["vm"], vm)
        late = self.cli("hold", "no-such-vm")
        self.assertEqual(late.returncode, 1)
        self.assertEqual(self.cli("drain").returncode, 0)  # a host that drains holds nobody
        self.check_nothing_left()

    def watch_top(self):
        """What a terminal of 80 by 24 shows of `top` until q is typed."""
        pid, terminal = pty.fork()
        if pid == 0:
            arguments = self.mvrunner("top")
            os.execvp(arguments[0], arguments)
        import fcntl
        import struct
        import termios
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        shown = b""
        end = time.monotonic() + 60
        typed = False
        while time.monotonic() < end:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
            if not typed and b"q quit" in shown:
                os.write(terminal, b"q")
                typed = True
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)
        return shown.decode(errors="replace")


if __name__ == "__main__":
    main()
