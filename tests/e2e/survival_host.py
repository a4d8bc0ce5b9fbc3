"""The host that test_survival.py kills the daemon on: the scenario and the verdict."""

import collections
import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import standin
from harness import INTERNET, TOKEN, GithubStandIn, Namespaces, run, wait_for

LIMIT = 60  # seconds for a step of the scenario
SPARE_SLOT = 5  # beyond the budget of three VMs
JOB_LIMIT = 3.5  # seconds; the warning comes at nine tenths of it
WAITED_TO_THE_END = re.compile("the host is draining|a queued job needs its room|"
                               "its claim was lost when the daemon restarted")
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


UNDER = {"qemu": standin.StandInVmmTest, "firecracker": standin.StandInFirecrackerTest}


class Host(UNDER[os.environ.get("MVR_SURVIVAL_VMM", "qemu")]):
    """One host that lives through the scenario again and again."""

    validates = False  # the other tests do
    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "stuck", "labels": ["mv-stuck"], "kernel_args": "fake.hang"},
                {"name": "ready", "labels": ["mv-ready"], "warm": 1},
                {"name": "brief", "labels": ["mv-brief"],
                 "job_timeout": f"{JOB_LIMIT * 1000:.0f}ms"}]

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
        settings["host"]["max_vms"] = 3
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
        self.fatal, self.deaths, self.waited = list(fatal), [], set()
        (self.root / "daemon.log").unlink(missing_ok=True)
        self.claims.write_text("")
        self.gate = self.root / "web" / f"gate-{len(self.booted())}"
        self.gate_opens = None
        self.brief = self.github.add_job(
            "echo begun", f"until [ -e {self.gate} ]; do sleep 0.05; done", "echo ended",
            labels=["mv-brief"], name="near its limit")
        self.stuck = self.github.add_job("true", labels=["mv-stuck"], name="never")
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
        self.waited |= {spec["name"] for spec in self.specs()
                        if (spec["phase"], spec["scope"]) == ("warm", "")}
        time.sleep(self.absence)
        self.launch_daemon()
        self.drain(self.draining)

    def names(self):
        """The fail points the latest daemon passed, in order."""
        return [line.split(" ", 1)[1] for line in self.points.read_text().splitlines()]

    def wait(self, check, what):
        def tended():
            self.tend()
            self.mind_the_limit()
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
        """Each kind of action happens: a cancelled boot, a warm VM that gets a job, one that is
        given up for jobs and one that a drain ends, more jobs than VMs, a command, a job that is
        told of its limit. At the end the daemon is stopped and the host is as it was."""
        self.drain(False)
        self.wait_boot("stuck", 1)
        self.github.control("POST", f"/jobs/{self.stuck}/cancel")
        self.first_warm = self.wait_warm()
        warm = self.add_job("ready", "from a warm VM", seconds=1.2)
        self.wait(lambda: self.status(warm) != "queued", "the job for the warm VM runs")
        self.wait_warm()
        self.remember_spec()
        jobs = [warm, self.add_job("small", "job", 0.6)]
        command = threading.Thread(target=self.run_command, daemon=True)
        command.start()
        for job in [*jobs, self.brief]:
            self.wait(lambda job=job: self.status(job) == "completed", f"job {job} ends")
        self.wait(lambda: not command.is_alive(), "the command ends")
        self.wait_warm()
        self.drain(True)
        self.wait(self.has_no_vm, "all VMs go")
        # A runner whose VM was removed just before a death is found by the successor's sweep.
        self.wait(lambda: len(self.github.runners()) == len(self.foreign.runners),
                  "the runners are gone")
        self.stop_daemon()
        return jobs

    def add_job(self, profile, name, seconds):
        return self.github.add_job("echo begun", f"sleep {seconds}", "echo ended",
                                   labels=[f"mv-{profile}"], name=name)

    def wait_warm(self):
        """The name of a VM that waits for a job."""
        def found():
            status = self.ask({"op": "ps"})
            return next((vm["vm"] for vm in status[-1]["vms"]
                         if (vm["phase"], vm["scope"]) == ("warm", "")), None) if status else None
        return self.wait(found, "a VM is warm")

    def mind_the_limit(self):
        """The job that is told of its limit ends soon after that, whether or not it was told: with
        no daemon there is nobody who tells it."""
        if self.gate_opens:
            return
        begun = [spec["since_ms"] / 1000 for spec in self.specs()
                 if (spec["profile"], spec["phase"]) == ("brief", "running")]
        if begun:
            left = begun[0] + 0.915 * JOB_LIMIT - time.monotonic()
            self.gate_opens = threading.Timer(max(0, left), self.gate.touch)
            self.gate_opens.start()

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

    def specs(self):
        """What spec.json of each VM says, but for those that go or are made just now."""
        found = []
        for path in self.state.glob("vms/*/spec.json"):
            try:
                found.append(json.loads(path.read_text()))
            except (OSError, ValueError):
                pass
        return [spec for spec in found if spec["slot"] != SPARE_SLOT]

    def remember_spec(self):
        for spec in self.specs():
            self.spec = spec

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

    def check(self, jobs):
        for job in map(self.github.job, jobs):
            self.assertEqual(job["conclusion"], "success", job)
            self.assertEqual((job["log"].count("begun"), job["log"].count("ended")), (1, 1), job)
        self.assertEqual(self.github.job(self.stuck)["conclusion"], "cancelled")
        runners = [self.github.job(job)["runner_name"] for job in [*jobs, self.brief]]
        self.assertEqual(len(set(runners)), len(runners), "a runner took two jobs")
        booted = collections.Counter(name for name, _ in self.booted())
        self.assertEqual([name for name, count in booted.items() if count > 1], [])
        self.check_vms()
        if not self.deaths:
            self.assertEqual((self.command["event"], self.command["code"]), ("exit", 3))
            self.check_undisturbed()
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

    def check_vms(self):
        claimed = collections.Counter(self.claims.read_text().split())
        self.assertEqual([name for name, count in claimed.items() if count > 1], [])
        rows = self.history()
        for name in rows:
            for which in ("console", "agent"):
                self.assertTrue((self.state / f"logs/{name}.{which}.log").exists(),
                                f"no {which} log of {name}")
        for name in self.waited:
            self.assertIn(f"event=vm_adopted vm={name} ", self.daemon.text())
            job, why = rows[name]
            self.assertTrue(job or WAITED_TO_THE_END.search(why), f"{name} ended: {why}")
        # Had another been booted beside one that waited already, one of them would have to go.
        self.assertEqual([row for row in rows.items() if "no more warm VMs" in row[1][1]], [])
        self.check_brief(rows)

    def check_brief(self, rows):
        """On a machine that is slow just then it does not end before its limit."""
        job = self.github.job(self.brief)
        self.assertEqual(job["log"].count("begun"), 1, job)
        if job["conclusion"] != "success":
            (why,) = [why for name, why in rows.values() if name == job["name"]]
            self.assertIn("the job ran longer than", why)
            times = job["times_ms"]
            self.assertGreater(times["completed"] - times["started"], JOB_LIMIT * 1000 - 100)
        self.assertLessEqual(self.notices(rows), 1)

    def check_undisturbed(self):
        rows = self.history()
        self.assertEqual(rows[self.first_warm][0], "from a warm VM")
        ends = [why for name, (_, why) in rows.items() if name.startswith("ready-")]
        for expected in ("a queued job needs its room", "the host is draining"):
            self.assertIn(expected, ends)
        self.assertEqual(self.notices(rows), 1)

    def history(self):
        """The job and the end of each VM of this life: one entry for each."""
        database = sqlite3.connect(self.state / "history.sqlite")
        rows = database.execute("SELECT vm, job, cause_text FROM finished").fetchall()
        database.close()
        booted = [name for name, _ in self.booted()[self.first_boot:]]
        rows = [row for row in rows if row[0] in booted]
        self.assertEqual(sorted(row[0] for row in rows), sorted(booted), "VMs in history")
        return {vm: (job, why) for vm, job, why in rows}

    def notices(self, rows):
        """How many warnings the job near its limit got."""
        logs = [self.state / f"logs/{name}.agent.log" for name in rows if name.startswith("brief-")]
        return sum(log.read_text().count("near its time limit") for log in logs)

    def own_processes(self):
        return [pid for pid in self._own_programs() if pid != self.foreign.sleeper.pid]

    def survive(self, fatal=(), absence=0):
        """Once through the scenario; returns where daemons died."""
        if self.spec:
            self.foreign.plant_stale_vm(self.spec)
        self.begin(fatal, absence)
        try:
            jobs = self.live_through()
        finally:
            if self.gate_opens:
                self.gate_opens.cancel()
            self.gate.touch()
        self.passes = self.names()
        try:
            if hasattr(self.foreign, "editor"):
                self.check(jobs)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.say_logs()}")
        return self.deaths

