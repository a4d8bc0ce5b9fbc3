"""`kill -9` of the daemon at every state write and between every two effects, with VMs in every
phase: no job is lost, no VM boots or works twice, nothing leaks, nothing foreign is touched.

The fail points (src/daemon/fail_point.h) are counted by a first pass through the scenario; then
the daemon dies at one after the other, and every second time its successor dies as well, somewhere
in its first passes. Each distinct name is died at in its first, second and last pass;
MVR_SURVIVAL=all takes every single pass.
"""

import collections
import concurrent.futures
import ctypes
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import unittest

import standin
from harness import INTERNET, TOKEN, GithubStandIn, Namespaces, main, run, wait_for

WORKERS = 3
MOST_FAILURES = 5
LIMIT = 60  # seconds for a step of the scenario
SPARE_SLOT = 5  # beyond the budget of two VMs
CLONE_NEWNET = 0x40000000


class DirectGithub(GithubStandIn):
    """The stand-in GitHub by one connection, made in its namespace: thousands of looks."""

    def __init__(self, case):
        self.connection = None
        super().__init__(case)

    def connect(self):
        def make():
            with open(f"/run/netns/{self.case.namespaces.internet}") as namespace:
                if ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError("setns")
            connection = http.client.HTTPConnection(INTERNET, 8080, timeout=30)
            connection.auto_open = 0  # it would be in our namespace
            connection.connect()
            self.connection = connection
        thread = threading.Thread(target=make)  # a namespace is a thread's
        thread.start()
        thread.join()
        if not self.connection:
            raise OSError("the stand-in GitHub does not answer")

    def control(self, method, path, body=None, token="control", below="/_control"):
        for attempt in range(2):
            try:
                if not self.connection:
                    self.connect()
                text = None if body is None else json.dumps(body)
                self.connection.request(method, below + path, text, {
                    "Authorization": f"Bearer {token}", "Content-Type": "application/json",
                    "User-Agent": "test"})
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):
                self.connection = None  # it was idle for too long
                if attempt:
                    raise
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text else None

    def add_foreign_runner(self, name):
        self.control("POST", "/repos/acme/widgets/actions/runners/generate-jitconfig",
                     {"name": name, "runner_group_id": 1, "labels": ["other"]},
                     token=TOKEN, below="/api/v3")


class Foreign:
    """What is not ours, put where it looks most like it."""

    def __init__(self, host):
        self.host = host
        self.sleeper = subprocess.Popen(["sleep", "100000"])
        vms = host.state / "vms"
        self.spare = vms / str(SPARE_SLOT)
        self.files = [host.state / "notes.txt", vms / "keep-me/notes.txt", vms / "000/notes.txt"]
        for path in self.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine\n")
        self.tap = "foreign0"
        run("ip", "-n", host.namespaces.host, "tuntap", "add", "dev", self.tap, "mode", "tap")
        self.runners = ["mv-e2e2-0123abcd", "mv-e2e-builder", "mv-e2e-0123abcd9"]
        for name in self.runners:
            host.github.add_foreign_runner(name)

    def plant_stale_vm(self, spec):
        """A slot whose recorded pid now belongs to another process, and an `editor` at work there
        whose command line has all a VMM's has."""
        self.spare.mkdir()
        stale = {**spec, "slot": SPARE_SLOT, "pid": self.sleeper.pid, "start_time": 1,
                 "name": "small-stale2"}
        (self.spare / "spec.json").write_text(json.dumps(stale))
        with open(self.spare / "console.log", "w") as console:
            self.editor = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(100000)",
                 "-name", "guest=small-stale2,process=x", self.spare / "monitor.sock"],
                stdout=console)

    def check(self):
        case = self.host
        case.assertIsNone(self.sleeper.poll(), "the process with a reused pid was ended")
        case.assertIsNone(self.editor.poll(), "the editor was ended")
        for path in self.files:
            case.assertEqual(path.read_text(), "mine\n")
        case.assertEqual(sorted(one["name"] for one in case.github.runners()),
                         sorted(self.runners), "runners at GitHub")

    def end_editor(self):
        self.editor.kill()
        self.editor.wait()

    def end(self):
        self.sleeper.kill()
        self.sleeper.wait()
        if hasattr(self, "editor"):
            self.end_editor()


class Host(standin.StandInVmmTest):
    """One host that lives through the scenario again and again."""

    validates = False  # the other tests do
    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "stuck", "labels": ["mv-stuck"], "kernel_args": "fake.hang"}]

    def setUp(self):
        super().setUp()
        self.github.process.stop()
        (self.root / "github.log").unlink()
        self.github = DirectGithub(self)
        self.github.control("POST", "/repos", {"repo": "acme/widgets"})
        self.github.control("POST", "/settings", {"lost_after_ms": 20_000})
        self.addCleanup(lambda: self.github.connection.close())
        self.foreign = Foreign(self)
        self.addCleanup(self.foreign.end)
        self.spec, self.allowed, self.passes = None, None, []

    def settings(self):
        settings = super().settings()
        settings["host"]["max_vms"] = 2
        for profile in settings["profiles"]:
            profile["boot_timeout"] = "15s"
        return settings

    def _report_failure(self):
        pass  # the test that drives us says what it saw

    def say_logs(self):
        tail = "\n".join(self.daemon.text().splitlines()[-150:])
        return f"\n---- deaths {self.deaths}\n{tail}"

    # ---- daemons come and go ---------------------------------------------------------------------

    def begin(self, fatal, absence):
        """`fatal`: at which pass the first daemon dies, the second, ..., as MVRUNNER_FAIL_AT."""
        self.fatal, self.deaths = list(fatal), []
        (self.root / "daemon.log").unlink(missing_ok=True)
        self.first_boot = len(self.booted())
        self.draining = False
        # VMs go on meanwhile: from one phase to the next, and to their end.
        self.absence = absence
        self.launch_daemon()

    def launch_daemon(self):
        self.points = self.root / "points"
        self.points.unlink(missing_ok=True)
        environment = [f"MVRUNNER_FAIL_POINTS={self.points}"]
        if self.fatal:
            environment.append(f"MVRUNNER_FAIL_AT={self.fatal.pop(0)}")
        self.processes = [process for process in self.processes if process.is_alive()]
        super().launch_daemon(*environment)

    def tend(self):
        """Replaces a daemon that died; nothing else than a fail point may have ended it."""
        if self.daemon.is_alive():
            return
        self.assertEqual(self.daemon.popen.returncode, -signal.SIGKILL, self.say_logs())
        self.deaths.append(self.names()[-1])
        time.sleep(self.absence)
        self.launch_daemon()
        self.drain(self.draining)

    def names(self):
        """The fail points the latest daemon passed, in order."""
        return [line.split(" ", 1)[1] for line in self.points.read_text().splitlines()]

    def wait(self, check, what):
        def tended():
            self.tend()
            return check()
        try:
            return wait_for(tended, what, limit=LIMIT, every=0.03)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.say_logs()}")

    def ask(self, request, last=lambda answer: True):
        """The daemon's answers to a request up to the last one; None when it died over it."""
        answers = []
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(LIMIT)
                control.connect(str(self.root / "run/control.sock"))
                control.sendall(json.dumps(request).encode() + b"\n")
                for line in control.makefile("rb"):
                    answers.append(json.loads(line))
                    if last(answers[-1]):
                        return answers
        except OSError:
            pass
        return None

    def drain(self, on):
        """As many times as it takes: what a daemon that dies has been told may be lost."""
        self.draining = on

        def told():
            answer = self.ask({"op": "drain", "on": on})
            status = answer and self.ask({"op": "ps"})
            return status and status[-1]["draining"] == on
        self.wait(told, f"draining: {on}")

    # ---- the scenario ----------------------------------------------------------------------------

    def live_through(self):
        """Each kind of action happens: more jobs than VMs, a command, a cancelled
        boot, a drain; at the end the daemon is stopped and the host is as it was."""
        self.drain(False)
        jobs = [self.github.add_job("echo begun", "sleep 0.7", "echo ended", name=f"job {n}")
                for n in range(3)]
        self.wait(lambda: self.status(jobs[0]) != "queued", "a job runs")
        stuck = self.github.add_job("true", labels=["mv-stuck"], name="never")
        command = threading.Thread(target=self.run_command, daemon=True)
        command.start()
        self.wait_boot("stuck", 1)
        self.remember_spec()
        self.github.control("POST", f"/jobs/{stuck}/cancel")
        for job in jobs:
            self.wait(lambda job=job: self.status(job) == "completed", f"job {job} ends")
        self.wait(lambda: not command.is_alive(), "the command ends")
        self.drain(True)
        self.wait(self.has_no_vm, "all VMs go")
        # A runner whose VM was removed just before a death is found by the successor's sweep.
        self.wait(lambda: len(self.github.runners()) == len(self.foreign.runners),
                  "the runners are gone")
        self.stop_daemon()
        return jobs, stuck

    def status(self, job):
        return self.github.job(job)["status"]

    def wait_boot(self, profile, count):
        def reached():
            booted = [name for name, _ in self.booted()[self.first_boot:]]
            return len([name for name in booted if name.startswith(profile + "-")]) >= count
        self.wait(reached, f"VM {count} of {profile} boots")

    def run_command(self):
        """Once the daemon took it the person who asked sees it end, or the daemon die."""
        request = {"op": "run", "profile": "small", "argv": ["sh", "-c", "sleep 0.2; exit 3"]}
        deaths = None
        while deaths != len(self.deaths) or not self.daemon.is_alive():
            deaths = len(self.deaths)
            answers = self.ask(request, lambda answer: answer.get("event") in ("exit", "failed"))
            if answers:
                self.command = answers[-1]
                return
            time.sleep(0.05)
            if self.daemon.is_alive():
                deaths = None  # it was not there yet
        self.command = None

    def has_no_vm(self):
        status = self.ask({"op": "ps"})
        return status and not status[-1]["vms"]

    def remember_spec(self):
        for path in self.state.glob("vms/*/spec.json"):
            try:
                self.spec = json.loads(path.read_text())
            except (OSError, ValueError):
                pass  # gone, or just being made

    def vms(self):
        foreign = ("keep-me", "000")
        return [path for path in (self.state / "vms").iterdir() if path.name not in foreign]

    def stop_daemon(self):
        while True:
            if self.daemon.is_alive():
                self.daemon.popen.terminate()
            if self.daemon.popen.wait(LIMIT) == 0:
                return
            self.tend()
            self.wait(lambda: self.ask({"op": "ps"}), "the daemon answers")

    # ---- the verdict -----------------------------------------------------------------------------

    def check(self, jobs, stuck):
        for job in map(self.github.job, jobs):
            self.assertEqual(job["conclusion"], "success", job)
            self.assertEqual((job["log"].count("begun"), job["log"].count("ended")), (1, 1), job)
        self.assertEqual(self.github.job(stuck)["conclusion"], "cancelled")
        runners = [self.github.job(job)["runner_name"] for job in jobs]
        self.assertEqual(len(set(runners)), len(jobs), "a runner took two jobs")
        booted = collections.Counter(name for name, _ in self.booted())
        self.assertEqual([name for name, count in booted.items() if count > 1], [])
        if not self.deaths:
            self.assertEqual(self.command, {"event": "exit", "code": 3})
        self.foreign.check()
        self.foreign.end_editor()
        self.assertEqual(self.vms(), [])
        wait_for(lambda: not self.own_processes(), "all processes of ours are gone", 10)
        self.assertEqual(self._cgroups(), [])
        self.assertFalse(pathlib.Path("/run/netns", self.instance).exists(), "the namespace")
        inside = Namespaces.inside(self.namespaces.host)
        links = json.loads(run(*inside, "ip", "-j", "link", capture_output=True).stdout)
        self.assertEqual(sorted(link["ifname"] for link in links),
                         sorted([f"{self.instance}x0", "foreign0", "lo"]))
        self.assertEqual(run(*inside, "nft", "list", "tables", capture_output=True).stdout, "")
        self.assertEqual(list((self.root / "run").iterdir()), [])
        found = sorted(str(path.relative_to(self.state)) for path in self.state.glob("*"))
        found += sorted(str(path.relative_to(self.state)) for path in self.state.glob("scratch/*"))
        self.allowed = self.allowed or found
        self.assertEqual(found, self.allowed, "files in the state directory")

    def own_processes(self):
        return [pid for pid in self._own_programs() if pid != self.foreign.sleeper.pid]

    def survive(self, fatal=(), absence=0):
        """Once through the scenario; returns where daemons died."""
        if self.spec:
            self.foreign.plant_stale_vm(self.spec)
        self.begin(fatal, absence)
        jobs, stuck = self.live_through()
        self.passes = self.names()
        try:
            if hasattr(self.foreign, "editor"):
                self.check(jobs, stuck)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.say_logs()}")
        return self.deaths


class Survival(unittest.TestCase):
    def setUp(self):
        self.lock = threading.Lock()
        self.died, self.failures = collections.Counter(), []
        self.seen_after = {}  # what only successors pass: name -> the death and absence before
        self.hosts, self.idle = [], []
        self.addCleanup(lambda: [host.doCleanups() for host in self.hosts])

    def test_the_daemon_may_die_anywhere(self):
        begin = time.monotonic()
        host = self.take_host()
        passes = collections.Counter(host.passes)
        self.give_back(host)
        deaths = [f"{n} {name}" for name, count in passes.items() for n in self.chosen(count)]
        # Every second time the successor dies as well, at one of its first passes.
        self.live([([death] if index % 2 else [death, str(index * 7 % 45 + 1)],
                    (0, 0.4, 1)[index % 3]) for index, death in enumerate(deaths)], passes)
        recovery = dict(self.seen_after)
        for _ in range(3):  # what a successor finds depends on how far the VMs have come
            self.live([([death, f"1 {name}"], absence)
                       for name, (death, absence) in recovery.items()
                       if name not in self.died], passes)
        missed = sorted((set(passes) | set(recovery)) - set(self.died))
        print(f"{sum(passes.values())} passes of {len(passes)} fail points, {len(recovery)} more "
              f"in recovery; {sum(self.died.values())} deaths in {time.monotonic() - begin:.0f} s; "
              f"never died at: {missed}", file=sys.stderr)
        self.assertFalse(self.failures, "\n\n".join(self.failures))
        self.assertFalse(set(missed) & set(passes))

    @staticmethod
    def chosen(count):
        everything = range(1, count + 1)
        if os.environ.get("MVR_SURVIVAL") == "all":
            return everything
        return sorted({1, min(2, count), count})

    def live(self, lives, passes):
        """`lives`: where the daemons die, and how long none is there then."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for life in [pool.submit(self.live_once, *life, passes) for life in lives]:
                life.result()

    def live_once(self, fatal, absence, passes):
        if len(self.failures) >= MOST_FAILURES:
            return
        host = self.take_host()
        try:
            deaths = host.survive(fatal, absence)
        except Exception:
            why = f"died at {fatal}, absent {absence} s:\n{traceback.format_exc()}"
            with self.lock:
                self.failures.append(why[:20_000])
                self.hosts.remove(host)
            host.doCleanups()
            return
        with self.lock:
            self.died.update(deaths)
            if len(deaths) == 1:
                for name in set(host.passes) - set(passes):
                    self.seen_after.setdefault(name, (fatal[0], absence))
        self.give_back(host)

    def take_host(self):
        with self.lock:
            if self.idle:
                return self.idle.pop()
            host = Host()
            self.hosts.append(host)
        host.setUp()
        host.survive()  # it fills caches, and leaves a spec.json to make a stale one of
        host.survive()
        return host

    def give_back(self, host):
        with self.lock:
            self.idle.append(host)


if __name__ == "__main__":
    main()
