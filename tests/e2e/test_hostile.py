"""A guest that attacks, as root, what is around it: the host serves on, and the neighbour's job
ends as if nothing had been. What the attacker does is in hostile.pl."""

import pathlib
import re
import shutil
import sys

from harness import INTERNET, SOURCE, WEB, MvrunnerTest, main, wait_for

# Prints the first line of every datagram.
SINK = ("import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.bind((sys.argv[1], 9999))\n"
        "while True: print(s.recvfrom(2000)[0].decode(errors='replace'), flush=True)\n")


class HostileTest(MvrunnerTest):
    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "attacker", "labels": ["mv-attacker"], "disk": "1GiB"}]

    def setUp(self):
        super().setUp()
        shutil.copy(SOURCE / "tests/e2e/hostile.pl", self.root / "web")
        self.start_daemon()
        self.job = self.github.add_job(self.gate())
        self.neighbour = self.wait_vm("running")

    def command(self, *words):
        script = f"curl -sf {WEB}/hostile.pl | sudo perl - {' '.join(words)}"
        return ["run", "--profile", "attacker", "--", "sh", "-c", script]

    def attack(self, *words):
        """The attacker's command, ended, and what is told of its VM."""
        before = {vm["vm"] for vm in self.finished("attacker")}
        done = self.cli(*self.command(*words))
        (vm,) = wait_for(lambda: [vm for vm in self.finished("attacker")
                                  if vm["vm"] not in before], f"the VM of {words} is gone")
        return done, vm

    def check_all_is_well(self):
        """The daemon and the neighbour are what they were, and nothing is left of anybody."""
        self.assertTrue(self.daemon.is_alive(), self.daemon.text())
        (vm,) = self.ps()["vms"]
        self.assertEqual((vm["vm"], vm["phase"]), (self.neighbour["vm"], "running"))
        self.open_gate()
        done = self.github.wait_job(self.job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.check_nothing_left()


class Channel(HostileTest):
    def test_whatever_comes_by_the_channel_harms_nobody(self):
        # What breaks the protocol ends its VM, and the reason is told.
        for name, reason in {"line": "longer than", "utf8": "not a JSON", "control": "job",
                             "numbers": "bounds", "direction": "shutdown",
                             "nested": "channel"}.items():
            with self.subTest(name):
                done, vm = self.attack(name)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertEqual(vm["cause"], "agent_failed", vm)
                self.assertIn(reason, vm["cause_text"])
                self.assertRegex(self.daemon.text(), f"agent_failed.*{vm['vm']}|"
                                                     f"{vm['vm']}.*agent_failed")
        # What keeps to it may say what it likes of itself.
        for name in ("noise", "forged", "flood"):
            with self.subTest(name):
                done, vm = self.attack(name)
                self.assertEqual((done.returncode, done.stdout), (0, f"{name} is over\n"),
                                 done.stderr)
                self.assertEqual(vm["cause"], "finished", vm)
        kept = sum(file.stat().st_blocks * 512 for file in self.state.rglob("*.log"))
        self.assertLess(kept, 40 << 20, "what a guest writes fills the host's disk")
        self.check_all_is_well()


class Network(HostileTest):
    def test_no_forged_frame_gets_anywhere(self):
        sink = self.start_in_internet([sys.executable, "-c", SINK, INTERNET], "sink.log")
        # The address of the attacker is the one of the next slot: it is told by what it asks.
        own = "$(ip -o route get 198.51.100.10 | sed 's/.* src \\([^ ]*\\).*/\\1/')"
        done, _ = self.attack("network", INTERNET, "9999", self.neighbour["address"], own)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(),
                         ["nobody has the neighbour", "IPv6 is silent", "network is over"])
        # The last one sent, which is genuine, has come: the others would have.
        lines = wait_for(lambda: sink.text().splitlines(), "the genuine datagram")
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"^from 10\.231\.")
        self.assertNotIn(self.neighbour["address"], lines[0])
        self.check_all_is_well()


class Room(HostileTest):
    def test_a_guest_takes_no_more_room_than_its_size(self):
        done, vm = self.attack("disk")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^No space left on device after \d+ MiB\ndisk is over\n$")
        self.assertEqual(vm["cause"], "finished", vm)
        self.assertRegex(self.daemon.text(), r"vm_troubled.* cause=disk_full")
        attacker = self.start_cli(*self.command("memory", "; sleep 600"))
        self.assertEqual(attacker.stdout.readline(), "killed by 9\n")
        self.assertIn("for lack of memory", wait_for(self.oom_line, "its end is told", limit=60))
        vm = self.wait_vm("running", "attacker")
        # What the VMM had at most: its guest's memory, and what it has of its own.
        most = max(self.peak_memory(pid) for pid in self.vmm_pids())
        self.assertLess(most, (512 + 150 + 128) << 10)
        disk = pathlib.Path(self.state, "vms", str(vm["slot"]), "scratch.ext4")
        self.assertLess(disk.stat().st_blocks * 512, 1 << 30)
        self.cli("kill", vm["vm"], limit=60)
        wait_for(lambda: len(self.ps()["vms"]) == 1, "it is gone", limit=60)
        self.check_all_is_well()

    def oom_line(self):
        return next((line for line in self.daemon.text().splitlines() if "cause=guest_oom" in line), "")

    @staticmethod
    def peak_memory(pid):
        """In KiB."""
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


class Machine(HostileTest):
    def test_the_end_of_a_machine_is_nobody_elses(self):
        for name, cause in {"reset": "vm_died", "panic": "panicked"}.items():
            with self.subTest(name):
                done, vm = self.attack(name)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(vm["cause"], cause, vm)
        self.check_all_is_well()

    def test_a_machine_that_obeys_nobody_is_ended(self):
        for name, sign in {"forks": "forking", "deaf": "spinning"}.items():
            with self.subTest(name):
                attacker = self.start_cli(*self.command(name))
                self.assertEqual(attacker.stdout.readline(), f"{sign}\n")
                vm = self.wait_vm("running", "attacker")
                killed = self.cli("kill", vm["vm"], limit=60)
                self.assertEqual(killed.returncode, 0, killed.stderr)
                wait_for(lambda: len(self.ps()["vms"]) == 1, f"{name} is gone", limit=60)
                self.assertNotEqual(attacker.wait(60), 0)
        self.check_all_is_well()


if __name__ == "__main__":
    main()
