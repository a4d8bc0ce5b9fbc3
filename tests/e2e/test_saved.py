"""VMs that begin from a saved state: each a machine of its own, and none at any price."""

import itertools
import os
import signal
import threading
import time
import unittest

from harness import TOKEN, VMM, MvrunnerTest, main, wait_for
from test_secrets import Needles, file_data

RESTORES = 20
AT_ONCE = 2
# What no two VMs may have in common, in words that a shell prints.
FACTS = """
echo "hostname $(hostname)"
echo "etc_hostname $(cat /etc/hostname)"
echo "machine_id $(cat /etc/machine-id)"
echo "boot_id $(cat /proc/sys/kernel/random/boot_id)"
echo "mac $(cat /sys/class/net/eth0/address)"
echo "uuid $(cat /proc/sys/kernel/random/uuid)"
echo "urandom $(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')"
echo "name $(mktemp -u)"
echo "address $(hostname -I)"
echo "scratch $(cat /tmp/mark 2>/dev/null || echo clean)"
echo "clock $(date +%s.%N)"
"""


class SavedTest(MvrunnerTest):
    max_size = "20GiB"

    def settings(self):
        return {**super().settings(),
                "saved_states": {"enabled": True, "max_size": self.max_size}}

    def states(self):
        """The directories of the states that are whole."""
        saved = self.state / "saved"
        return sorted(path for path in saved.iterdir() if not path.name.startswith("draft-")) \
            if saved.exists() else []

    def logged(self, event):
        return [line for line in self.daemon.text().splitlines() if f" event={event} " in line]

    def run_command(self, text):
        done = self.cli("run", "--", "sh", "-c", text)
        self.assertEqual(done.returncode, 0, done.stderr + self.daemon.text()[-3000:])
        return done.stdout

    def save_one(self):
        """The first VM of its kind; returns the state's directory."""
        self.run_command("true")
        (state,) = self.states()
        self.assertEqual(len(self.logged("state_saved")), 1)
        return state

    def check_runs_a_job(self):
        job = self.github.add_job('echo "as $(id -un)"')
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertIn("as runner", done["log"])


class Restored(SavedTest):
    def facts_of_one(self):
        """Of one VM, as (name, value), its SSH host key among them."""
        command = self.start_cli("run", "--", "sh", "-c", FACTS + self.gate_in_vm())
        before = time.time()
        facts = {}
        for line in command.stdout:
            name, _, value = line.strip().partition(" ")
            facts[name] = value
            if name == "clock":
                break
        facts["late"] = time.time() - float(facts["clock"])
        self.assertGreater(float(facts["clock"]), before - 2)
        key = self.cli("ssh", facts["hostname"], "--",
                       "cat /run/mvrunner/ssh/host_key.pub; touch /tmp/go")
        facts["ssh_host_key"] = key.stdout.strip()
        self.assertEqual(command.wait(120), 0)
        return facts

    @staticmethod
    def gate_in_vm():
        return "echo used >/tmp/mark; until test -e /tmp/go; do sleep 0.1; done"

    def test_twenty_vms_of_one_state_have_nothing_in_common(self):
        self.start_daemon()
        self.save_one()
        turns, all_facts, lock = itertools.count(), [], threading.Lock()
        failures = []

        def work():
            while next(turns) < RESTORES:
                try:
                    facts = self.facts_of_one()
                except Exception as error:  # told below: a thread's own end is silent
                    failures.append(error)
                    return
                with lock:
                    all_facts.append(facts)
        threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(all_facts), RESTORES)
        self.assertEqual(len(self.logged("vm_restored")), RESTORES)
        self.assertEqual(len(self.logged("state_saved")), 1)
        self.assertEqual(self.logged("saved_state_not_used"), [])
        for name in ("hostname", "etc_hostname", "machine_id", "boot_id", "uuid", "urandom",
                     "name", "ssh_host_key"):
            values = [facts[name] for facts in all_facts]
            self.assertEqual(len(set(values)), RESTORES, (name, values))
            self.assertTrue(all(values), name)
        # These are of the slot, which the next VM gets again.
        slots = {(facts["mac"], facts["address"]) for facts in all_facts}
        self.assertEqual(len({mac for mac, _ in slots}), len(slots))
        self.assertEqual(len({address for _, address in slots}), len(slots))
        self.assertGreaterEqual(len(slots), AT_ONCE)
        self.assertEqual({facts["scratch"] for facts in all_facts}, {"clean"})
        self.assertLess(max(abs(facts["late"]) for facts in all_facts), 5)
        self.check_nothing_left()

    def test_a_job_runs_in_a_restored_vm_and_its_state_holds_no_secret(self):
        self.start_daemon()
        self.check_runs_a_job()
        (state,) = self.states()
        self.assertEqual(state.stat().st_mode & 0o777, 0o700)
        self.check_runs_a_job()
        self.wait_no_vm()
        self.assertEqual(len(self.logged("vm_restored")), 1)
        secrets = [(each["kind"], each["text"])
                   for each in self.github.control("GET", "/secrets")]
        self.assertIn("jit_config", {kind for kind, _ in secrets})
        needles = Needles([("token", TOKEN), *secrets])
        for path in state.iterdir():
            for data in file_data(path):
                self.assertEqual(needles.found(data), [], path)
                for vm in self.finished():
                    self.assertNotIn(vm["vm"].encode(), data, "the name of a VM")
        self.check_nothing_left()

    def test_another_kind_of_vm_gets_a_state_of_its_own(self):
        self.start_daemon()
        self.save_one()
        self.write_config(profiles=[{**self.settings()["profiles"][0], "memory": "640MiB",
                                     "kernel_args": "mitigations=off"}])
        self.assertEqual(self.cli("reload").returncode, 0)
        self.assertIn("mitigations=off", self.run_command("cat /proc/cmdline"))
        self.assertEqual(len(self.states()), 2)
        self.assertEqual(self.logged("vm_restored"), [])
        self.assertIn("mitigations=off", self.run_command("cat /proc/cmdline"))
        self.assertEqual(len(self.logged("vm_restored")), 1)
        self.check_nothing_left()


class Unusable(SavedTest):
    def damage(self, name, change):
        self.start_daemon()
        (path,) = self.save_one().glob(f"*{name}")
        with open(path, "r+b") as file:
            change(file)

    def check_boots_instead(self, reason):
        self.check_runs_a_job()
        self.wait_no_vm()
        self.assertEqual(self.logged("vm_restored"), [])
        (line,) = self.logged("saved_state_not_used")
        self.assertRegex(line, reason)
        self.assertEqual(len(self.finished()), 2)  # not one more
        self.assertEqual(self.states(), [])
        self.check_nothing_left()

    def test_a_state_qemu_cannot_read_is_dropped_and_the_job_runs_all_the_same(self):
        self.damage("machine", lambda file: file.write(bytes(4096)))
        self.check_boots_instead("exit 1|QEMU|VMM")

    def test_a_state_whose_guest_does_not_live_is_given_up(self):
        def overwrite(file):
            size = os.fstat(file.fileno()).st_size
            for at in range(0, size, 4096):
                os.pwrite(file.fileno(), bytes(64), at)
        self.damage("memory", overwrite)
        self.check_boots_instead("guest-reset|SIG|exit")

    def test_a_state_of_another_size_is_written_anew(self):
        self.damage("memory", lambda file: file.truncate(4096))
        self.check_runs_a_job()
        self.assertEqual(len(self.logged("state_saved")), 2)
        self.assertEqual(len(self.states()), 1)
        self.check_nothing_left()


@unittest.skipUnless(VMM == "qemu", "a program of Firecracker's is checked more closely")
class Mute(SavedTest):
    """The VMM is there, and never restores anything."""

    def settings(self):
        script = self.root / "mute-qemu"
        if not script.exists():
            script.write_text('#!/bin/sh\ncase "$*" in *-incoming*) exec sleep 600 ;; esac\n'
                              'exec qemu-system-x86_64 "$@"\n')
            script.chmod(0o755)
        settings = super().settings()
        return {**settings, "vmm": {**settings["vmm"], "qemu_binary": str(script)}}

    def test_a_vm_that_says_nothing_is_given_up_and_the_job_runs_all_the_same(self):
        self.start_daemon()
        self.save_one()
        self.check_runs_a_job()
        self.wait_no_vm()
        self.assertEqual(self.logged("vm_restored"), [])
        self.assertEqual(len(self.logged("saved_state_not_used")), 1)
        self.assertEqual(self.states(), [])
        self.check_nothing_left()


class TooLarge(SavedTest):
    max_size = "2MiB"

    def test_a_state_above_the_limit_is_not_kept_and_not_tried_again(self):
        self.start_daemon()
        for _ in range(2):
            self.check_runs_a_job()
        self.assertEqual(len(self.logged("state_not_saved")), 1)
        self.assertEqual(list((self.state / "saved").iterdir()), [])
        self.check_nothing_left()


class Killed(SavedTest):
    """The daemon dies at some point; a job that waits for it is served all the same."""

    def die_at(self, point):
        points = self.root / "points"
        points.unlink(missing_ok=True)
        self.launch_daemon(f"MVRUNNER_FAIL_POINTS={points}", f"MVRUNNER_FAIL_AT=1 {point}")
        wait_for(lambda: not self.daemon.is_alive(), f"the daemon dies at {point}")
        self.assertEqual(self.daemon.popen.returncode, -signal.SIGKILL)

    def check_succeeds(self, job):
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])

    def check_adopted_and_not_saved(self, job, jobs=1):
        self.start_daemon()
        self.check_succeeds(job)
        self.assertEqual(self.logged("state_saved"), [])
        self.assertEqual(list((self.state / "saved").iterdir()), [])
        self.wait_no_vm()
        self.assertEqual(len(self.finished()), jobs, "its VM was not adopted")

    def test_while_a_state_is_written(self):
        self.start_daemon()
        job = self.github.add_job("true")
        wait_for(lambda: any(file.stat().st_size for file in
                             self.state.glob("saved/draft-*/*memory")),
                 "a state is being written", every=0.005)
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        time.sleep(1)  # QEMU is done with it, and waits
        self.check_adopted_and_not_saved(job)
        self.check_runs_a_job()
        self.assertEqual(len(self.states()), 1)
        self.check_nothing_left()

    def test_around_the_writing_of_a_state(self):
        for jobs, point in enumerate(("state begun", "state written"), 1):
            with self.subTest(point):
                job = self.github.add_job("true")
                self.die_at(point)
                self.check_adopted_and_not_saved(job, jobs)
                self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        self.check_nothing_left()

    def test_while_a_vm_begins_from_one(self):
        self.start_daemon()
        self.save_one()
        self.wait_no_vm()
        self.assertEqual(self.daemon.stop(), 0)
        job = self.github.add_job("true")
        self.die_at("spawned")
        time.sleep(1)
        self.start_daemon()
        self.check_succeeds(job)
        self.assertEqual(len(self.states()), 1)
        self.check_nothing_left()

    def test_a_daemon_that_was_stopped_lets_a_waiting_vm_have_its_name(self):
        job = self.github.add_job("hostname")
        self.die_at("state published")
        self.assertEqual(len(self.vmm_pids()), 1)
        self.start_daemon()
        self.check_succeeds(job)
        self.wait_no_vm()
        self.assertEqual(len(self.finished()), 1, "its VM was not adopted")
        self.assertEqual(len(self.states()), 1)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
