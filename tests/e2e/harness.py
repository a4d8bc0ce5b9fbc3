"""What the end-to-end tests stand on: two network namespaces, the stand-in GitHub, the daemon.

Each test gets a host of its own. <id>h plays the host: mvrunner runs there. <id>i plays the
Internet: the stand-in GitHub (198.51.100.10:8080), a resolver and a web server (:8000) whose
directory the test fills. Both end with the test, whatever happens; nothing outside is touched.

Environment: MVRUNNER (the program, beside its guest/mvrunner-agent), MVR_E2E_ACCEL (auto).
"""

import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import state

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MVRUNNER = pathlib.Path(os.environ.get("MVRUNNER", SOURCE / "build/dev/src/mvrunner"))
HOST = "198.51.100.1"
INTERNET = "198.51.100.10"
GITHUB = f"http://{INTERNET}:8080"
WEB = f"http://{INTERNET}:8000"
TOKEN = "ghp_endtoend0123456789"
VMM = os.environ.get("MVR_E2E_VMM", "qemu")  # of real VMs; see scripts/test
DNSMASQ = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-hosts",
           "--bind-interfaces", "--user=root"]
SLOW = 300  # seconds for anything that boots a VM in emulation on a busy machine


def wait_for(check, what, limit=SLOW, every=0.25):
    """Returns check()'s first true value; fails with `what` after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(every)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, **options)


class Process:
    """A program we started, its output in a file; ended by stop()."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, **options)

    def is_alive(self):
        return self.popen.poll() is None

    def stop(self, number=signal.SIGTERM, limit=30):
        """Ends it and returns its exit status."""
        if self.is_alive():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.popen.args[:4]} did not end in {limit} s")

    def text(self):
        return pathlib.Path(self.log).read_text(errors="replace")


class Namespaces:
    def __init__(self, name):
        self.host, self.internet, self.name = f"{name}h", f"{name}i", name

    def create(self):
        inside, outside = f"{self.name}x0", f"{self.name}x1"
        for namespace in (self.host, self.internet):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.host, "link", "add", inside, "type", "veth",
            "peer", "name", outside, "netns", self.internet)
        run("ip", "-n", self.host, "addr", "add", f"{HOST}/24", "dev", inside)
        run("ip", "-n", self.internet, "addr", "add", f"{INTERNET}/24", "dev", outside)
        run("ip", "-n", self.host, "link", "set", inside, "up")
        run("ip", "-n", self.internet, "link", "set", outside, "up")
        run("ip", "-n", self.host, "route", "add", "default", "via", INTERNET)
        run(*self.inside(self.host), "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def remove(self, instance):
        for namespace in (self.host, self.internet, instance):
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)

    @staticmethod
    def inside(namespace):
        # Not `ip netns exec`: that makes a mount namespace, where ours would not be seen.
        return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


class GithubStandIn:
    def __init__(self, case):
        self.case = case
        command = ["node", SOURCE / "tests/fakes/github/server.mjs", "--listen",
                   f"{INTERNET}:8080", "--token", TOKEN, "--log", case.root / "requests.log"]
        openapi = state.openapi_description() if case.validates else None
        if openapi:
            command += ["--openapi", openapi]
        self.process = case.start_in_internet(command, "github.log")
        wait_for(lambda: '"url"' in self.process.text(), "the stand-in GitHub listens")

    def control(self, method, path, body=None):
        command = [*Namespaces.inside(self.case.namespaces.internet), "curl", "-sS",
                   "--fail-with-body", "-X", method, "-H", "Authorization: Bearer control",
                   f"{GITHUB}/_control{path}"]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{method} {path}: {done.stdout} {done.stderr}")
        return json.loads(done.stdout) if done.stdout else None

    def add_job(self, *steps, labels=("mv-small",), repo="acme/widgets", name="build",
                uses=()):
        """Queues a job of shell steps, after it got the actions it uses; returns its id."""
        body = {"repo": repo, "name": name, "labels": list(labels),
                "steps": [{"name": f"step {n}", "run": text} for n, text in enumerate(steps)]}
        if uses:
            body["uses"] = list(uses)
        return self.control("POST", "/jobs", body)["job_id"]

    def job(self, job_id):
        return self.control("GET", f"/jobs/{job_id}")

    def runners(self):
        return self.control("GET", "/state")["runners"]

    def wait_job(self, job_id, status, limit=SLOW):
        def reached():
            job = self.job(job_id)
            self.case.assertFalse(status != "completed" and job["status"] == "completed",
                                  f"the job ended early: {job}")
            return job if job["status"] == status else None
        return wait_for(reached, f"job {job_id} is {status}", limit)


class MvrunnerTest(unittest.TestCase):
    """Base of all: setUp makes the host, GitHub and a prepared state directory. No daemon yet."""

    profiles = [{"name": "small", "labels": ["mv-small"]}]
    validates = True  # every request and answer of the stand-in against GitHub's description
    resolver = INTERNET  # the nameserver of the host's resolv.conf
    dns_names = {"github.test": INTERNET}  # that it knows; with all below them

    def setUp(self):
        self.instance = f"e{secrets.token_hex(3)}"
        # Short, for unix sockets, and open to the users VMs run as.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mvr-", dir="/var/tmp"))
        self.root.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.addCleanup(self._report_failure)
        self.state = self.root / "state"
        self.config = self.root / "mvrunner.yaml"
        self.processes = []
        self.daemon = None
        self.namespaces = Namespaces(self.instance)
        self.addCleanup(self._end_everything)
        self.namespaces.create()
        state.copy_into(self.state)
        (self.root / "web").mkdir()
        (self.root / "resolv.conf").write_text(f"nameserver {self.resolver}\n")
        self.start_in_internet(
            [*DNSMASQ, "--no-resolv", f"--listen-address={INTERNET}",
             *(f"--address=/{name}/{address}" for name, address in self.dns_names.items())],
            "dnsmasq.log")
        self.start_in_internet(self.web_server(), "web.log")
        self.github = GithubStandIn(self)
        self.addCleanup(self._check_contract)
        self.github.control("POST", "/repos", {"repo": "acme/widgets"})
        self.write_config()

    # ---- programs --------------------------------------------------------------------------------

    def web_server(self):
        return [sys.executable, "-m", "http.server", "--directory", self.root / "web", "8000"]

    def start_in_internet(self, command, log):
        return self._start(self.namespaces.internet, command, log)

    def start_on_host(self, command, log):
        return self._start(self.namespaces.host, command, log)

    def _start(self, namespace, command, log):
        process = Process([*Namespaces.inside(namespace), *command], self.root / log)
        self.processes.append(process)
        return process

    def mvrunner(self, *arguments):
        return [*Namespaces.inside(self.namespaces.host), str(MVRUNNER), "--config",
                str(self.config), *arguments]

    def cli(self, *arguments, limit=SLOW, cwd=None):
        """Runs a verb; returns the completed process, whatever its exit code."""
        return subprocess.run(self.mvrunner(*arguments), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=limit, cwd=cwd)

    def start_cli(self, *arguments):
        process = subprocess.Popen(self.mvrunner(*arguments), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def launch_daemon(self, *environment):
        """Starts it with these NAME=VALUE besides; start_daemon() also waits for it."""
        command = ["env", *environment, MVRUNNER, "--config", self.config, "serve"]
        self.daemon = self.start_on_host(command, "daemon.log")

    def start_daemon(self, *environment):
        self.launch_daemon(*environment)

        def answers():
            self.assertTrue(self.daemon.is_alive(), self.daemon.text())
            return self.cli("ps", "-o", "json").returncode == 0
        wait_for(answers, "the daemon answers")

    # ---- configuration ---------------------------------------------------------------------------

    def settings(self):
        """The configuration as a value; JSON is YAML."""
        token = self.root / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        sizes = {"memory": "512MiB", "vcpus": 1, "disk": "2GiB", "image": "debian-12",
                 "boot_timeout": "4m", "listen_timeout": "2m", "job_timeout": "20m"}
        return {
            "state_dir": str(self.state), "run_dir": str(self.root / "run"),
            "instance": self.instance, "log_level": "debug", "runner": state.runner_name(),
            "control_group": "root",
            "github": {"url": GITHUB, "token_file": str(token), "poll_interval": "1s",
                       "scopes": [{"repository": "acme/widgets"}]},
            "host": {"id": "e2e", "memory": "8GiB", "cpus": 8, "reserve_memory": "1GiB",
                     "reserve_disk": "1GiB", "max_vms": 8, "limits": "best-effort"},
            "network": {"resolv_conf": str(self.root / "resolv.conf")},
            "vmm": {"backend": VMM, "accel": os.environ.get("MVR_E2E_ACCEL", "auto")},
            "profiles": [{**sizes, **profile} for profile in self.profiles],
        }

    def write_config(self, **changes):
        self.config.write_text(json.dumps({**self.settings(), **changes}, indent=2))

    # ---- looking ---------------------------------------------------------------------------------

    def ps(self):
        done = self.cli("ps", "--all", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def wait_vm(self, phase, profile="small"):
        """Waits for a VM of the profile in this phase; returns its row of `ps`."""
        def found():
            wanted = (profile, phase)
            vms = self.ps()["vms"]
            return next((vm for vm in vms if (vm["profile"], vm["phase"]) == wanted), None)
        return wait_for(found, f"a {profile} VM is {phase}")

    def wait_no_vm(self):
        wait_for(lambda: not self.ps()["vms"], "all VMs are gone")

    def finished(self, profile="small"):
        return [vm for vm in self.ps()["finished"] if vm["profile"] == profile]

    def vmm_pids(self):
        if self.settings()["vmm"].get("backend") != "firecracker":
            return self._our_processes("qemu-system")
        # Its command line names no directory of ours: it is in a jail, and alone in its cgroup.
        return [int(pid) for path in self._cgroups("vm-")
                for pid in pathlib.Path(path, "cgroup.procs").read_text().split()]

    def _our_processes(self, program=""):
        """Processes that have this test's directory in their command line."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended
            if str(self.root) in words and program in words:
                found.append(int(entry.name))
        return found

    # ---- a gate: how a test holds a job and lets it go -------------------------------------------

    def gate(self, name="go"):
        """Shell text that waits until open_gate(name)."""
        return f"until curl -sf --max-time 10 {WEB}/{name}; do sleep 1; done"

    def open_gate(self, name="go"):
        (self.root / "web" / name).write_text("open\n")

    # ---- leaks -----------------------------------------------------------------------------------

    def check_no_vm_left(self):
        """Nothing of any VM is on the host; the daemon may run."""
        self.assertEqual(self.vmm_pids(), [])
        vms = self.state / "vms"
        self.assertEqual(sorted(vms.iterdir()) if vms.exists() else [], [])
        self.assertEqual(self._taps(), [])
        self.assertEqual(self._cgroups("vm-"), [])
        self.assertEqual(self.github.runners(), [])

    def check_nothing_left(self):
        """The same, and the daemon, once its VMs have gone, ended cleanly: nothing of its network
        stays either."""
        if self.daemon.is_alive():  # a job's end is known before its VM is gone
            self.wait_no_vm()
        self.assertEqual(self.daemon.stop(), 0, self.daemon.text())
        self.check_no_vm_left()
        self.check_host_left_clean()
        wait_for(lambda: not self._own_programs(), "the daemon's own programs end")
        self.assertEqual(list((self.root / "run").iterdir()), [])

    def check_host_left_clean(self):
        """What all VMs share is gone as well: namespace, veth pair, firewall, cgroup."""
        self.assertFalse(pathlib.Path("/run/netns", self.instance).exists(), "a namespace is left")
        inside = Namespaces.inside(self.namespaces.host)
        links = run(*inside, "ip", "-j", "link", capture_output=True).stdout
        names = [link["ifname"] for link in json.loads(links)]
        self.assertEqual(sorted(names), [f"{self.instance}x0", "lo"])
        self.assertEqual(run(*inside, "nft", "list", "tables", capture_output=True).stdout, "")
        self.assertEqual(self._cgroups(), [])

    def _own_programs(self):
        ours = {pid for process in self.processes for pid in [process.popen.pid]}
        return [pid for pid in self._our_processes() if pid not in ours]

    def _taps(self):
        if not pathlib.Path("/run/netns", self.instance).exists():
            return []
        listed = run("ip", "-n", self.instance, "-j", "link", capture_output=True).stdout
        return [link["ifname"] for link in json.loads(listed)
                if link["ifname"].startswith(f"{self.instance}t")]

    def _cgroups(self, prefix=""):
        """Our VMs' cgroups, then the one around them: as rmdir wants them."""
        roots = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()
                 if line.split()[2] == "cgroup2"]
        # Not glob(): others' cgroups come and go meanwhile, and it minds.
        return [path for root in roots for path, _, _ in os.walk(root, topdown=False)
                if self.instance in pathlib.Path(path).parts
                and os.path.basename(path).startswith(prefix)]

    # ---- the end ---------------------------------------------------------------------------------

    def _end_everything(self):
        for process in reversed(self.processes):
            if process.is_alive():
                process.popen.terminate()
        for process in self.processes:
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
        for pid in self._our_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for path in self._cgroups():  # what a stand-in VM ran in there
            try:
                pathlib.Path(path, "cgroup.kill").write_text("1")
            except OSError:
                pass
        wait_for(lambda: not self._our_processes(), "killed processes are gone")
        wait_for(self._remove_cgroups, "the cgroups of killed VMs are free")
        self.namespaces.remove(self.instance)
        state.keep_caches(self.state)

    def _remove_cgroups(self):
        try:
            for path in self._cgroups():
                os.rmdir(path)
        except OSError:
            return False  # still busy with a process that was just killed
        return True

    def _check_contract(self):
        violations = self.github.control("GET", "/violations")
        self.assertEqual(violations, [], "requests broke GitHub's published contract")

    def _report_failure(self):
        outcome = self._outcome.result
        if not any(test is self for test, _ in outcome.failures + outcome.errors):
            return
        for log in [*sorted(self.root.glob("*.log")), *sorted(self.state.glob("vms/*/*.log"))]:
            tail = log.read_text(errors="replace").splitlines()[-80:]
            print(f"---- {log.relative_to(self.root)}", *tail, sep="\n", file=sys.stderr)


def main():
    if os.geteuid() != 0:
        print("skipped: the end-to-end tests need root for network namespaces")
        sys.exit(77)
    unittest.main(verbosity=2, catchbreak=True)  # the test Ctrl-C interrupts still cleans up
