"""What a VM may use of the host's devices, what its guest sees of the host's CPUs, and what the daemon
itself may do."""

import pathlib
import re
import sys

from harness import INTERNET, MvrunnerTest, Namespaces, main, run, wait_for

RATE = 256 << 10  # bytes in a second
AMOUNT = 2 << 20

# Takes what is posted and says how much it was; gives AMOUNT bytes to who asks.
SERVER = f"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(bytes({AMOUNT}))
    def do_POST(self):
        self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())
http.server.ThreadingHTTPServer((sys.argv[1], 9000), Handler).serve_forever()
"""

# Each prints its name and how many milliseconds it took.
MEASURE = f"""set -e
now() {{ date +%s%3N; }}
took() {{ echo "$1 $(($(now) - $2))"; }}
head -c {AMOUNT} /dev/zero >/tmp/amount
start=$(now)
curl -sf http://{INTERNET}:9000/ | wc -c
took received $start
start=$(now)
curl -sf --data-binary @/tmp/amount http://{INTERNET}:9000/; echo
took sent $start
start=$(now)
dd if=/dev/zero of=/tmp/disk bs=1M count=8 conv=fsync 2>/dev/null
took disk $start
cat /sys/devices/system/cpu/cpu1/topology/thread_siblings_list 2>/dev/null || echo none
"""


class Rates(MvrunnerTest):
    profiles = [{"name": "small", "labels": ["mv-small"], "vcpus": 2},
                {"name": "slow", "labels": ["mv-slow"], "vcpus": 2, "smt": True,
                 "rate_limits": {"network": str(RATE), "disk": "2MiB", "iops": 2000}}]

    def measure(self, profile):
        done = self.cli("run", "--profile", profile, "--", "bash", "-c", MEASURE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(re.findall(rf"(?m)^{AMOUNT}$", done.stdout)), 2, done.stdout)
        times = {name: int(ms) / 1000 for name, ms in
                 re.findall(r"(?m)^(received|sent|disk) (\d+)$", done.stdout)}
        return times, done.stdout.splitlines()[-1]

    def rates(self):
        """What the firewall has of them."""
        return run(*Namespaces.inside(self.instance), "nft", "list", "table", "inet",
                   f"{self.instance}_rates", capture_output=True).stdout

    def test_a_vm_keeps_to_the_rates_of_its_profile(self):
        self.start_in_internet([sys.executable, "-c", SERVER, INTERNET], "server.log")
        self.start_daemon()
        slow, siblings = self.measure("slow")
        self.assertEqual(siblings, "0-1")
        # Nobody is faster than the rate, but for the burst at the start.
        least = (AMOUNT - 2 * RATE) / RATE
        for way in ("received", "sent"):
            self.assertGreater(slow[way], least, slow)
        self.assertGreater(slow["disk"], (8 - 2) / 2, slow)
        # It is the limits that did it, and the rest of the rate can be used.
        free, siblings = self.measure("small")
        self.assertEqual(siblings, "1")
        for what, time in slow.items():
            self.assertLess(free[what], time / 2, (free, slow))
        self.assertLess(slow["received"], 8 * AMOUNT / RATE, slow)
        self.check_nothing_left()

    def test_rates_outlive_the_daemon_and_end_with_the_vm(self):
        self.start_daemon()
        job = self.github.add_job(self.gate(), labels=["mv-slow"])
        self.github.wait_job(job, "in_progress")
        before = self.rates()
        self.assertIn("limit rate over 256 kbytes/second", before)
        self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        self.assertEqual(self.rates(), before)
        self.open_gate()
        self.github.wait_job(job, "completed")
        wait_for(lambda: not self.ps()["vms"], "the VM is gone")
        self.assertNotIn("limit rate", self.rates())
        self.check_nothing_left()

    def test_pages_of_a_pool_that_is_empty_are_asked_for_by_name(self):
        pool = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
        needed = (int(pool.read_text()) + 16) * 2
        slow = {**self.profiles[1], "memory": f"{max(needed, 512)}MiB", "huge_pages": "reserved"}
        self.profiles = [self.profiles[0], slow]
        self.write_config()
        self.start_daemon()
        job = self.github.add_job("true", labels=["mv-slow"])
        wait_for(lambda: "raise vm.nr_hugepages" in self.daemon.text(), "the remedy is told", limit=60)
        self.assertRegex(self.daemon.text(), r"huge pages of 2MiB, \d+ are free")
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.check_nothing_left()


class Host(MvrunnerTest):
    def test_a_host_that_cannot_limit_vms_is_refused_unless_told_otherwise(self):
        host = {**self.settings()["host"], "limits": "required"}
        self.write_config(host=host)
        doctor = self.cli("doctor", "--quick").stdout
        can_limit = re.search(r"(?m)^\s*ok\s+cgroup\b", doctor) is not None
        self.launch_daemon()
        if can_limit:
            wait_for(lambda: self.cli("ps").returncode == 0, "the daemon serves")
            self.assertEqual(self.daemon.stop(), 0)
        else:
            wait_for(lambda: not self.daemon.is_alive(), "the daemon gives up", limit=30)
            self.assertNotEqual(self.daemon.stop(), 0)
            self.assertIn("VMs cannot be held to their size on this host", self.daemon.text())
            self.assertIn("host.limits: best-effort", self.daemon.text())
            self.assertIn("'mvrunner serve' does not start so", doctor)
        self.write_config()
        self.start_daemon()
        self.check_nothing_left()

    def test_the_daemon_and_what_it_starts_cannot_do_what_they_need_not(self):
        self.start_daemon()
        status = pathlib.Path(f"/proc/{self.daemon.popen.pid}/status").read_text()
        sets = {name: int(value, 16) for name, value in re.findall(r"Cap(\w+):\t(\w+)", status)}
        # CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_MAC_ADMIN, CAP_BPF
        for number in (16, 17, 22, 25, 33, 39):
            for name in ("Eff", "Prm", "Bnd"):
                self.assertFalse(sets[name] >> number & 1, (name, number, hex(sets[name])))
        self.assertTrue(sets["Eff"] >> 12 & 1)  # CAP_NET_ADMIN
        self.check_nothing_left()


if __name__ == "__main__":
    main()
