"""VMs under Firecracker, each in a jail of its own: with the stand-ins of both programs, which keep
to the real ones' arguments, files and ends. The guest runs on the host."""

import hashlib
import io
import json
import os
import pathlib
import re
import signal
import stat
import tarfile

from harness import WEB, MvrunnerTest, main, run, wait_for
from standin import QEMU, VMMS, StandInFirecrackerTest

UID_BASE = 2_000_000  # vmm.uid_base


class Jailed(StandInFirecrackerTest):
    def start_held_job(self):
        self.github.control("POST", "/settings", {"lost_after_ms": 5000})
        self.start_daemon()
        job = self.github.add_job("echo begun", self.gate(), "echo ended")
        self.github.wait_job(job, "in_progress")
        vm = self.wait_vm("running")
        (pid,) = self.vmm_pids()
        return job, vm, pid

    def check_succeeds(self, job):
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertRegex(done["log"], r"(?s)begun.*ended")
        self.check_nothing_left()

    def test_a_job_runs_in_a_jail_that_goes_with_it(self):
        job, vm, pid = self.start_held_job()
        uid = UID_BASE + vm["slot"]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.assertRegex(status, rf"(?m)^Uid:(\t{uid}){{4}}$")
        self.assertRegex(status, rf"(?m)^Gid:(\t{uid}){{4}}$")
        self.assertRegex(status, r"(?m)^Groups:\s*$")
        self.assertTrue(any(self.instance in line and "vm-" in line for line in
                            pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()))
        # Nothing of ours is open in it but its console.
        directory = self.state / "vms" / str(vm["slot"])
        jail = directory / "firecracker" / vm["vm"] / "root"
        self.assertEqual(os.path.realpath(f"/proc/{pid}/cwd"), str(jail))
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            target = os.path.realpath(link)
            self.assertTrue(target.startswith((str(jail), str(VMMS), "/dev/", "/proc/"))
                            or target == str(directory / "console.log"), target)
        # What it shares is not its own, and what is its own is nobody else's.
        config = json.loads((jail / "vm.json").read_text())
        for name in ("vm.json", "kernel", "initramfs", "drive-base", "drive-tools"):
            info = (jail / name).stat()
            self.assertEqual((info.st_uid, info.st_mode & 0o022), (0, 0), name)
        scratch = (jail / "drive-scratch").stat()
        self.assertEqual((scratch.st_uid, stat.S_IMODE(scratch.st_mode)), (uid, 0o600))
        self.assertEqual([drive["is_read_only"] for drive in config["drives"]],
                         [True, False, True])
        (interface,) = config["network-interfaces"]
        tap = json.loads(run("ip", "-n", self.instance, "-d", "-j", "link", "show",
                             interface["host_dev_name"], capture_output=True).stdout)[0]
        self.assertEqual(tap["linkinfo"]["info_data"]["user"], uid)
        self.check_succeeds(job)

    def test_a_killed_daemon_loses_no_job_and_the_next_one_adopts_its_vm(self):
        job, vm, pid = self.start_held_job()
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.start_daemon()
        self.assertEqual(self.wait_vm("running")["vm"], vm["vm"])
        self.assertEqual(self.vmm_pids(), [pid])
        self.check_succeeds(job)

    def test_a_stopped_daemon_leaves_the_job_running_and_the_next_one_finishes_it(self):
        job, vm, pid = self.start_held_job()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(self.vmm_pids(), [pid])
        self.start_daemon()
        self.assertEqual(self.wait_vm("running")["vm"], vm["vm"])
        self.check_succeeds(job)

    def test_a_vmm_that_dies_is_told_and_the_next_job_is_served(self):
        job, vm, pid = self.start_held_job()
        os.kill(pid, signal.SIGSEGV)
        (ended,) = wait_for(self.finished, "its end is known", limit=60)
        self.assertEqual((ended["vm"], ended["cause"]), (vm["vm"], "vmm_crashed"), ended)
        self.assertIn("SIGSEGV", ended["cause_text"])
        done = self.github.wait_job(self.github.add_job("echo fine"), "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.github.wait_job(job, "completed")  # GitHub gave it up
        wait_for(lambda: not self.github.runners(), "the lost runner is gone")
        self.check_nothing_left()

    def test_many_jobs_each_in_a_machine_of_its_own(self):
        self.start_daemon()
        jobs = [self.github.add_job("pwd", name=f"job-{n}") for n in range(12)]
        logs = [self.github.wait_job(job, "completed") for job in jobs]
        self.assertEqual({done["conclusion"] for done in logs}, {"success"})
        self.assertEqual(len({name for name, _ in self.booted()}), len(self.booted()))
        self.assertGreaterEqual(len(self.booted()), 12)
        self.check_nothing_left()


class Chosen(StandInFirecrackerTest):
    """A profile says which VMM its VMs have, and what they may use."""

    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "jailed", "labels": ["mv-jailed"], "vmm": "firecracker", "vcpus": 2,
                 "smt": True, "huge_pages": "none",
                 "rate_limits": {"network": "1MiB", "disk": "3MiB", "iops": 70}},
                {"name": "lost", "labels": ["mv-lost"], "vmm": "firecracker",
                 "huge_pages": "transparent"}]

    def vmm(self):
        return {**super().vmm(), "backend": "qemu", "qemu_binary": str(QEMU)}

    def test_a_profile_has_its_own(self):
        self.start_daemon()
        done = self.github.wait_job(self.github.add_job("echo fine"), "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        job = self.github.add_job(self.gate(), labels=["mv-jailed"])
        vm = self.wait_vm("running", "jailed")
        jail = self.state / "vms" / str(vm["slot"]) / "firecracker" / vm["vm"] / "root"
        config = json.loads((jail / "vm.json").read_text())
        self.assertTrue(config["machine-config"]["smt"])
        (interface,) = config["network-interfaces"]
        second = {"refill_time": 1000}
        for way in ("rx_rate_limiter", "tx_rate_limiter"):
            self.assertEqual(interface[way], {"bandwidth": {**second, "size": 1 << 20}})
        rates = {drive["drive_id"]: drive.get("rate_limiter") for drive in config["drives"]}
        self.assertEqual(rates, {"base": None, "tools": None,
                                 "scratch": {"bandwidth": {**second, "size": 3 << 20},
                                             "ops": {**second, "size": 70}}})
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.assertEqual(set(re.findall(r'vmm="(\w+) ', self.daemon.text())),
                         {"qemu", "firecracker"})
        # The release is too old for what this one wants.
        job = self.github.add_job("true", labels=["mv-lost"])
        wait_for(lambda: "1.17 or newer is needed" in self.daemon.text(), "it is told", limit=60)
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.check_nothing_left()

    def test_a_vmm_that_is_not_there_is_why_a_job_waits(self):
        missing = {**self.vmm(), "firecracker_binary": "/no/such/firecracker"}
        self.write_config(vmm=missing)
        self.start_daemon()
        job = self.github.add_job("true", labels=["mv-jailed"])
        explained = wait_for(lambda: self.cli("explain", str(job)).stdout, "it is explained")
        self.assertIn("vmm: firecracker is not installed", explained)
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.check_nothing_left()


class Broken(StandInFirecrackerTest):
    """What Firecracker or its jailer does wrong, and a sound profile beside it."""

    faults = {"jailer": ("fake.jailer=3", "the jailer was told to fail"),
              "seccomp": ("fake.crash=boot fake.exit=148", "148"),
              "early": ("fake.crash=start", "told to end at start"),
              "panics": ("fake.panic", "Kernel panic")}
    profiles = [{"name": "small", "labels": ["mv-small"]},
                *({"name": name, "labels": [f"mv-{name}"], "kernel_args": words}
                  for name, (words, _) in faults.items())]

    def test_each_fault_is_told_and_leaves_nothing(self):
        self.start_daemon()
        broken = [self.github.add_job("true", labels=[f"mv-{name}"], name=name)
                  for name in self.faults]
        for name, (_, text) in self.faults.items():
            with self.subTest(name):
                attempts = wait_for(lambda: self.finished(name), f"{name} has failed", limit=60)
                self.assertIn(text, attempts[-1]["cause_text"], attempts)
        sound = self.github.wait_job(self.github.add_job("echo fine"), "completed")
        self.assertEqual(sound["conclusion"], "success", sound["log"])
        for job in broken:
            self.assertEqual(self.github.job(job)["status"], "queued")
            self.github.control("POST", f"/jobs/{job}/cancel")
        self.check_nothing_left()


class Saved(StandInFirecrackerTest):
    """VMs that begin from a state of another one."""

    faults = {"nosave": "fake.nosave", "norestore": "fake.norestore", "hushed": "fake.hushed"}
    profiles = [{"name": "small", "labels": ["mv-small"]},
                *({"name": name, "labels": [f"mv-{name}"], "kernel_args": words}
                  for name, words in faults.items())]

    def setUp(self):
        super().setUp()
        self.identities = self.root / "vmm/identities.log"
        self.identities.touch()
        self.identities.chmod(0o666)

    def settings(self):
        return {**super().settings(), "saved_states": {"enabled": True}}

    def run_jobs(self, count, label="mv-small"):
        for _ in range(count):
            job = self.github.add_job("true", labels=[label])
            self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
            self.wait_no_vm()

    def logged(self, event):
        return [line for line in self.daemon.text().splitlines() if f" event={event} " in line]

    def test_a_vm_begins_from_the_state_of_the_first_and_has_an_identity_of_its_own(self):
        self.start_daemon()
        self.run_jobs(1)
        (state,) = (self.state / "saved").iterdir()
        for name in ("state.machine", "state.memory"):
            info = (state / name).stat()
            self.assertEqual((info.st_uid, stat.S_IMODE(info.st_mode)), (0, 0o444))
        before = (state / "state.machine").read_bytes()
        self.assertIn(b"mvr.waits", before)
        self.assertNotIn(b"mvr.hostname", before)
        self.run_jobs(2)
        self.assertEqual(len(self.logged("state_saved")), 1)
        self.assertEqual(len(self.logged("vm_restored")), 2)
        self.assertEqual((state / "state.machine").read_bytes(), before)
        told = [line.split(" ", 1) for line in self.identities.read_text().splitlines()]
        self.assertEqual([name for name, _ in told], [name for name, _ in self.booted()])
        self.assertEqual(len({json.loads(identity)["seed"] for _, identity in told}), 3)
        for name, identity in told:
            self.assertIn(f"mvr.hostname={name} ", json.loads(identity)["words"])
        self.check_nothing_left()

    def test_a_killed_daemon_leaves_a_vm_that_the_next_one_names(self):
        points = self.root / "points"
        for point in ("state begun", "state written", "state published"):
            with self.subTest(point):
                points.unlink(missing_ok=True)
                job = self.github.add_job("true")
                self.launch_daemon(f"MVRUNNER_FAIL_POINTS={points}",
                                   f"MVRUNNER_FAIL_AT=1 {point}")
                wait_for(lambda: not self.daemon.is_alive(), f"it dies at {point}", limit=60)
                self.start_daemon()
                done = self.github.wait_job(job, "completed")
                self.assertEqual(done["conclusion"], "success", done["log"])
                self.wait_no_vm()
                self.assertEqual(self.logged("state_saved"), [])
                self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        self.run_jobs(1)
        self.assertEqual(len(self.logged("vm_restored")), 1)
        self.check_nothing_left()

    def test_a_state_that_is_not_written_or_not_taken_costs_no_job(self):
        self.start_daemon()
        for name in self.faults:
            with self.subTest(name):
                self.run_jobs(2, f"mv-{name}")
                self.assertEqual([vm["cause"] for vm in self.finished(name)], ["finished"] * 2)
        self.assertEqual(self.logged("vm_restored"), [])
        self.assertEqual(len(self.logged("state_not_saved")), 1)
        self.assertEqual(len(self.logged("saved_state_not_used")), 2)
        self.check_nothing_left()


class Kept(MvrunnerTest):
    """A release that mvrunner keeps itself, from the tarball it comes in."""

    def settings(self):
        return {**super().settings(), "vmm": {"backend": "firecracker", "accel": "kvm"}}

    def release(self, version, *programs):
        folder = f"release-v{version}-x86_64"
        path = self.root / f"firecracker-v{version}-x86_64.tgz"
        with tarfile.open(path, "w:gz") as tar:
            for program in programs:
                text = (VMMS / program).read_bytes().replace(b"1.16.1", version.encode())
                entry = tarfile.TarInfo(f"{folder}/{program}-v{version}-x86_64")
                entry.size, entry.mode = len(text), 0o755
                tar.addfile(entry, io.BytesIO(text))
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def install(self, path, sha256, option="--file"):
        return self.cli("firecracker", "install", option, path, "--sha256", sha256)

    def test_a_release_is_installed_listed_used_and_removed(self):
        doctor = self.cli("doctor", "--quick")
        self.assertIn("mvrunner firecracker install", doctor.stdout + doctor.stderr)
        for version in ("1.15.0", "1.16.2"):
            done = self.install(*self.release(version, "firecracker", "jailer"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout.startswith(f"{version} is current"), done.stdout)
        listed = json.loads(self.cli("firecracker", "ls", "-o", "json").stdout)
        self.assertEqual(listed, [{"version": "1.16.2", "current": True},
                                  {"version": "1.15.0", "current": False}])
        self.assertEqual(self.cli("firecracker", "rm", "1.15.0").returncode, 0)
        self.assertIn("current", self.cli("firecracker", "rm", "1.16.2").stderr)
        self.assertNotIn("firecracker install", self.cli("doctor", "--quick").stdout)
        self.start_daemon()
        job = self.github.add_job("true")  # the guest says hello and no more
        wait_for(lambda: "event=agent_up" in self.daemon.text(), "a VM runs under it", limit=60)
        self.assertIn('vmm="firecracker 1.16.2"', self.daemon.text())
        # A distribution's kernel is packed; the one in the jail is not.
        (kernel,) = self.state.glob("vms/*/firecracker/*/root/kernel")
        self.assertEqual(kernel.read_bytes()[:4], b"\x7fELF")
        self.github.control("POST", f"/jobs/{job}/cancel")
        for vm in self.ps()["vms"]:
            self.cli("kill", vm["vm"])
        wait_for(lambda: not self.github.runners(), "its runner is gone")
        self.check_nothing_left()

    def test_what_is_no_release_is_refused(self):
        path, sha256 = self.release("1.16.1", "firecracker", "jailer")
        wrong = self.install(path, "0" * 64)
        self.assertIn(sha256, wrong.stderr)
        self.assertIn("64 hexadecimal digits", self.install(path, "short").stderr)
        old = self.install(*self.release("1.14.0", "firecracker", "jailer"))
        self.assertIn("1.14.0 is too old", old.stderr)
        lacking = self.install(*self.release("1.16.1", "firecracker"))
        self.assertIn("has no jailer", lacking.stderr)
        by_http = self.install(f"{WEB}/{path.name}", sha256, "--url")
        self.assertIn("only https", by_http.stderr)
        for done in (wrong, old, lacking, by_http):
            self.assertNotEqual(done.returncode, 0)
        self.assertEqual(json.loads(self.cli("firecracker", "ls", "-o", "json").stdout), [])
        self.assertEqual(list((self.state / "firecracker").iterdir()), [])


class Absent(StandInFirecrackerTest):
    def vmm(self):
        return {**super().vmm(), "jailer_binary": "/no/such/jailer"}

    def test_a_missing_program_is_named_with_what_to_do(self):
        self.launch_daemon()
        wait_for(lambda: not self.daemon.is_alive(), "the daemon gives up", limit=30)
        self.assertNotEqual(self.daemon.stop(), 0)
        self.assertIn("/no/such/jailer is not installed", self.daemon.text())
        doctor = self.cli("doctor")
        self.assertIn("/no/such/jailer is not installed", doctor.stdout + doctor.stderr)


if __name__ == "__main__":
    main()
