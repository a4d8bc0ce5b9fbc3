"""The package on a real systemd host: installed, serving, upgraded, killed, removed and purged while
jobs run. The host is a Debian 12 machine booted here, with a working /dev/kvm (machine.py).

Environment: MVR_PACKAGE, the .deb; MVRUNNER, as for the other end-to-end tests.
"""

import base64
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import machine

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import state  # noqa: E402: found by the line above

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "ghp_systemdhost0123456789"
THERE = "198.51.100.2"  # this host's loopback, as the machine reaches it
JOB_LIMIT = 300
# Of a file, process or kernel object that is ours, wherever it may be.
TRACES = """
find / -xdev \\( -path /proc -o -path /sys -o -path /srv -o -path /var/log/journal \\
  -o -path /var/log/dpkg.log -o -path /var/log/apt -o -path /var/cache \\
  -o -path '/root/*.deb' \\) -prune -o \\( -name '*mvrunner*' -o -name mvr \\) -print
find /run /sys/fs/cgroup \\( -name '*mvrunner*' -o -name mvr \\) -print 2>/dev/null
ps -eo args | grep -E 'qemu-system|mvrunner|dnsmasq' | grep -v grep
nft list tables
ip -o link show | grep mvr
ip netns list
getent group mvrunner
systemctl list-units --all --no-legend '*mvrunner*'
true
"""


class Github:
    """The stand-in GitHub on this host's loopback."""

    def __init__(self, log):
        command = [*machine.DIES_WITH_US, "node", SOURCE / "tests/fakes/github/server.mjs", "--listen", "127.0.0.1:0",
                   "--token", TOKEN]
        with open(log, "wb") as output:
            self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                            stderr=output, stdin=subprocess.DEVNULL, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.control("POST", "/repos", {"repo": "acme/widgets"})

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def control(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.url}/_control{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer control", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add_job(self, *steps, name):
        body = {"repo": "acme/widgets", "name": name, "labels": ["mv-small"],
                "steps": [{"name": f"step {n}", "run": text} for n, text in enumerate(steps)]}
        return self.control("POST", "/jobs", body)["job_id"]

    def wait_job(self, job_id, status, limit=JOB_LIMIT):
        end = time.monotonic() + limit
        while True:
            job = self.control("GET", f"/jobs/{job_id}")
            if job["status"] == status:
                return job
            if job["status"] == "completed" or time.monotonic() > end:
                raise AssertionError(f"job {job_id} is not {status} within {limit} s: {job}")
            time.sleep(0.5)


class Gates:
    """A web server on this host's loopback that has the files open() names."""

    def __init__(self):
        names = self.names = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path[1:] in names else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, address):
        return f"http://{address}:{self.server.server_address[1]}"

    def open(self, name):
        self.names.add(name)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Systemd(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="mvr-host-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.began = time.monotonic()
        self.package = pathlib.Path(os.environ["MVR_PACKAGE"]).resolve()
        depends = subprocess.run(["dpkg-deb", "-f", self.package, "Depends"], check=True,
                                 capture_output=True, text=True).stdout
        names = [part.split("|")[0].split()[0] for part in depends.split(",")]
        # The stand-ins of Firecracker are written in Python. D-Bus is only recommended.
        files = machine.disk([*names, "dbus", "python3"], state.prepare(), state.STORES)
        self.say("disk ready")
        self.github = Github(self.work / "github.log")
        self.addCleanup(self.github.stop)
        self.gates = Gates()
        self.addCleanup(self.gates.stop)
        self.host = machine.Machine(files, self.work)
        self.addCleanup(self.host.stop)
        self.addCleanup(self._report_failure)
        self.host.check("systemctl is-system-running --wait || test $? = 1", 300)
        self.say("booted: " + self.host.check("systemctl --version | head -1; uname -r"))

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def _report_failure(self):
        outcome = self._outcome.result
        if not any(test is self for test, _ in outcome.failures + outcome.errors):
            return
        # The shortest first: not everybody who reads this sees all of it.
        for title, command in (
                ("VMs", "mvrunner ps -a"),
                ("VMMs, twice", "ps -C qemu-system-x86_64 -o pid,stat,cputimes,wchan; sleep 5; "
                                "ps -C qemu-system-x86_64 -o pid,stat,cputimes,wchan"),
                ("consoles", "tail -n 15 /var/lib/mvrunner/vms/*/console.log "
                             "/var/lib/mvrunner/logs/*.console.log"),
                ("connections", "tail -n 10 /proc/net/nf_conntrack"),
                ("journal", "journalctl --no-pager -o short-monotonic -u mvrunner -u mvrunner-vms | "
                            "grep -v event_ignored | tail -n 60"),
                ("all of the journal", "journalctl --no-pager -o short-monotonic | tail -n 60")):
            try:
                _, said = self.host.run(command, 60)
            except (OSError, AssertionError) as error:
                said = f"nothing: {error}"
            print(f"---- {title}", said, sep="\n", file=sys.stderr)
        print("---- serial", (self.work / "serial.log").read_text(errors="replace")[-1000:], sep="\n",
              file=sys.stderr)

    # ---- steps -----------------------------------------------------------------------------------

    def send(self, path, content):
        """Writes a file of the machine."""
        text = base64.b64encode(content).decode()
        self.host.check(f": > {path}")
        for at in range(0, len(text), 1 << 20):  # a multiple of four
            self.host.check(f"base64 -d >> {path} <<'E'\n{text[at:at + (1 << 20)]}\nE")

    def newer(self):
        """The same package with a higher version."""
        tree, newer = self.work / "tree", self.work / "newer.deb"
        machine.run("dpkg-deb", "-R", self.package, tree)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"^Version: .*", "Version: 9.9.9", control.read_text(), flags=re.M))
        machine.run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, newer,
                    stdout=subprocess.DEVNULL)
        return newer

    def write_config(self, profile=None, **settings):
        port = self.github.url.rsplit(":", 1)[1]
        sizes = {"memory": "512MiB", "vcpus": 1, "disk": "2GiB", "image": "debian-12",
                 "boot_timeout": "4m", "listen_timeout": "4m", "job_timeout": "20m"}
        config = {
            "runner": state.runner_name(), "log_level": "debug",
            "github": {"url": f"http://{THERE}:{port}", "token_credential": "github-token",
                       "poll_interval": "1s", "scopes": [{"repository": "acme/widgets"}]},
            "host": {"id": "systemd", "reserve_memory": "512MiB", "reserve_disk": "512MiB"},
            "profiles": [{"name": "small", "labels": ["mv-small"], **sizes, **(profile or {})}],
            **settings}
        self.send("/etc/mvrunner/mvrunner.yaml", json.dumps(config, indent=1).encode())

    def configure(self):
        self.host.check("mkdir -p /etc/mvrunner /etc/credstore /etc/systemd/system/mvrunner.service.d")
        self.write_config()
        self.send("/etc/credstore/github-token", TOKEN.encode() + b"\n")
        self.host.check("chmod 600 /etc/credstore/github-token")
        self.send("/etc/systemd/system/mvrunner.service.d/token.conf",
                  b"[Service]\nLoadCredential=github-token:/etc/credstore/github-token\n")
        self.host.check("systemctl daemon-reload")
        # Links, made by the same account: no other copy of the image is needed.
        self.host.check("install -d -m 711 /var/lib/mvrunner && "
                        "cp -al /srv/seed/* /var/lib/mvrunner/")

    def show(self, prop, unit="mvrunner.service"):
        return self.host.check(f"systemctl show --property={prop} --value {unit}")

    def start_job(self, name):
        """A job that runs until finish(); returns its id once it runs."""
        wait = f"until curl -sf --max-time 10 {self.gates.url(THERE)}/{name}; do sleep 5; done"
        job = self.github.add_job("echo begun", wait, "echo ended", name=name)
        self.github.wait_job(job, "in_progress")
        self.say(f"job {name} runs")
        return job

    def finish(self, job, name):
        self.gates.open(name)
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertRegex(done["log"], r"(?s)begun.*ended")
        self.say(f"job {name} succeeded")

    def vmm(self):
        """The one VMM's pid and start time."""
        (pid,) = self.host.check("pgrep -f qemu-system-x86_64").split()
        return pid, self.host.check(f"cut -d' ' -f22 /proc/{pid}/stat")

    def wait_status(self, text):
        self.host.wait_for("systemctl show --property=StatusText --value mvrunner | "
                           f"tee /dev/stderr | grep -qxF '{text}'", f"its status is {text}")

    def wait_active(self):
        self.host.wait_for("test $(systemctl show --property=ActiveState --value mvrunner) = active "
                           "&& mvrunner ps >/dev/null", "the daemon serves")

    # ---- the story -------------------------------------------------------------------------------

    def test_the_package_serves_jobs_and_leaves_no_trace(self):
        before = self.traces()
        self.install()
        self.serve()
        self.upgrade_and_crash()
        self.run_out_of_memory()
        self.jail()
        self.rebuild()
        self.remove_idle_and_come_back()
        self.remove_busy()
        self.assertEqual(self.traces(), before)

    def traces(self):
        return sorted(self.host.check(TRACES, 300).splitlines())

    def install(self):
        self.send("/root/mvrunner.deb", self.package.read_bytes())
        said = self.host.check("dpkg -i /root/mvrunner.deb", 300)
        self.assertIn("mvrunner init", said)
        self.assertEqual(self.show("ActiveState"), "inactive")
        self.assertEqual(self.host.run("systemctl is-enabled mvrunner")[1].strip(), "disabled")
        self.host.check("getent group mvrunner")
        self.say("installed")

    def serve(self):
        self.configure()
        self.host.check("systemctl enable --now mvrunner", 300)
        self.assertEqual(self.show("NotifyAccess"), "main")
        self.assertEqual(self.show("WatchdogUSec"), "2min")
        self.assertNotEqual(self.show("WatchdogTimestampMonotonic"), "0")
        self.assertEqual(self.show("StatusText"), "0 VMs, 0 jobs running, 0 waiting")
        self.say("serving, " + self.host.check("systemd-analyze security mvrunner | tail -n 1"))
        self.host.check("journalctl -u mvrunner -o cat | grep 'event=kernel_ready .*accel=kvm'")

    def upgrade_and_crash(self):
        job = self.start_job("first")
        vmm = self.vmm()
        self.wait_status("1 VM, 1 job running, 0 waiting")
        self.check_limits(vmm[0])
        self.send("/root/newer.deb", self.newer().read_bytes())
        old = self.show("MainPID")
        self.host.check("dpkg -i /root/newer.deb", 300)
        self.wait_active()
        self.assertNotEqual(self.show("MainPID"), old)
        self.assertEqual(self.host.check("dpkg-query -W -f '${Version}' mvrunner"), "9.9.9")
        self.say("upgraded")
        old = self.show("MainPID")
        self.host.check("systemctl kill --kill-whom=main -s KILL mvrunner")
        self.host.wait_for(f"test $(systemctl show --property=MainPID --value mvrunner) != {old}",
                           "another daemon starts")
        self.wait_active()
        self.assertEqual(self.show("NRestarts"), "1")
        self.host.check("systemctl reload mvrunner")
        self.assertEqual(self.show("ActiveState"), "active")
        self.say("killed, restarted, reloaded")
        self.assertEqual(self.vmm(), vmm)
        self.finish(job, "first")
        self.host.wait_for("mvrunner ps -o json | grep -q '\"vms\": *\\[\\]'", "no VM is left")

    def group_of(self, pid):
        return "/sys/fs/cgroup" + self.host.check(f"sed 's/^0:://' /proc/{pid}/cgroup")

    def run_out_of_memory(self):
        """The host's kernel kills the VMM, and the daemon says so."""
        job = self.start_job("starved")
        self.host.check(f"echo 16M > {self.group_of(self.vmm()[0])}/memory.max")
        self.host.wait_for("mvrunner ps -a -o json | grep -q '\"cause\": \"host_oom\"'",
                           "the end of the VM is explained")
        self.github.control("POST", f"/jobs/{job}/cancel")
        self.host.wait_for("mvrunner ps -o json | grep -q '\"vms\": *\\[\\]'", "no VM is left")
        self.say("a VMM was killed for lack of memory")

    def jail(self):
        """The service may do all that Firecracker's jailer does, and Firecracker opens."""
        self.host.check("mkdir /opt/vmm")
        for name in ("jailer", "firecracker"):
            self.send(f"/opt/vmm/{name}", (SOURCE / "tests/fakes/vmm" / name).read_bytes())
        self.host.check("chmod 755 /opt/vmm/*; for kernel in /var/lib/mvrunner/kernels/*/vmlinuz; do "
                        "rm $kernel; printf '\\177ELF of a stand-in' > $kernel; done")
        programs = {"firecracker_binary": "/opt/vmm/firecracker", "jailer_binary": "/opt/vmm/jailer"}
        self.write_config({"warm": 1, "kernel_args": "fake.strict"},
                          vmm={"backend": "firecracker", "accel": "kvm", **programs})
        self.host.check("systemctl restart mvrunner")
        self.host.wait_for("mvrunner ps -o json | grep -q '\"phase\": *\"warm\"'", "a VM is in its jail")
        (pid,) = self.host.check("pgrep -f /opt/vmm/firecracker || pgrep -f -- --start-time-us").split()
        self.assertRegex(self.group_of(pid), r"/system.slice/mvrunner-vms.service/mvr/vm-\d+$")
        self.assertEqual(self.host.check(f"stat -c %u /proc/{pid}"), "2000000")
        self.host.check("rm -r /var/lib/mvrunner/kernels && cp -al /srv/seed/kernels /var/lib/mvrunner/")
        self.write_config(vmm={"backend": "qemu", **programs})
        self.host.check("systemctl restart mvrunner")
        self.host.wait_for("mvrunner ps -o json | grep -q '\"vms\": *\\[\\]'", "the VM is not wanted")
        self.write_config()
        self.host.check("systemctl restart mvrunner; rm -r /opt/vmm")
        self.wait_active()
        self.say("a VM was in a jail")

    def rebuild(self):
        """What builds an image has the host for itself, as from a shell."""
        builder = """#!/bin/sh
test "$1" = info && echo '{"store": {"GraphDriverName": "overlay"}}' && exit
test "$1" = --version && echo 'buildah version 1.28.2' && exit
{ grep CapBnd /proc/self/status; cat /proc/self/cgroup; touch /home/seen && echo writes
  unshare -m mount -t tmpfs none /mnt && echo mounts; } > /root/builder.said 2>&1
echo 'told to fail' >&2
exit 1
"""
        self.send("/usr/local/bin/buildah", builder.encode())
        self.host.check("chmod 755 /usr/local/bin/buildah; mkdir /home/image; "
                        "echo FROM scratch > /home/image/Dockerfile")
        self.write_config(images=[{"name": "debian-12", "context": "/home/image", "rebuild": "base"}])
        self.host.check("systemctl restart mvrunner")
        self.host.wait_for("grep -q mounts /root/builder.said", "the builder mounts")
        said = self.host.check("cat /root/builder.said; rm /root/builder.said /home/seen")
        self.assertIn("writes", said)
        self.assertIn("mvrunner-chore.service", said)
        self.assertEqual(said.split("CapBnd:")[1].split()[0],
                         self.host.check("grep CapBnd /proc/1/status").split()[1])
        self.host.wait_for("journalctl -u mvrunner -o cat | grep 'event=chore_failed'", "it is told")
        self.assertIn("told to fail", self.host.check(
            "journalctl -u mvrunner -o cat | grep 'event=chore_failed' | tail -n 1"))
        self.host.check("! test -e /var/lib/mvrunner/chore.env && rm -r /usr/local/bin/buildah /home/image")
        self.write_config()
        self.host.check("systemctl restart mvrunner")
        self.wait_active()
        self.say("an image was to be built anew")

    def check_limits(self, pid):
        group = self.group_of(pid)
        self.assertRegex(group, r"/system.slice/mvrunner-vms.service/mvr/vm-\d+$")
        limits = self.host.check(f"cd {group} && cat memory.max cpu.max pids.max").split("\n")
        self.assertGreaterEqual(int(limits[0]), 512 << 20)
        self.assertLess(int(limits[0]), 1024 << 20)
        self.assertRegex(limits[1], r"^\d+ 100000$")
        self.assertGreater(int(limits[2]), 0)
        self.assertIn("/dev/kvm", self.host.check(f"ls -l /proc/{pid}/fd"))
        self.say(f"in a KVM guest, with memory.max {limits[0]}, cpu.max {limits[1]}, "
                 f"pids.max {limits[2]}")

    def remove_idle_and_come_back(self):
        self.host.check("dpkg --remove mvrunner", 300)
        self.host.check("! test -e /run/mvrunner && ! nft list tables | grep . && "
                        "! ip netns list | grep . && ! pgrep -x 'mvrunner|sleep|dnsmasq'")
        self.host.check("test -e /etc/mvrunner/mvrunner.yaml -a -e /var/lib/mvrunner/history.sqlite")
        self.host.check("dpkg -i /root/newer.deb", 300)
        self.wait_active()  # it was enabled before
        self.say("removed without a job, and installed again")

    def remove_busy(self):
        job = self.start_job("second")
        vmm = self.vmm()
        said = self.host.check("dpkg --remove mvrunner", 300)
        self.assertIn("go on to their end", said)
        self.assertEqual(self.host.run("command -v mvrunner")[0], 1)
        self.wait_status("1 VM, 1 job running, 0 waiting; draining")
        self.say("removed, with a job running")
        # The daemon that was left may die as well.
        old = self.show("MainPID")
        self.host.check("systemctl kill --kill-whom=main -s KILL mvrunner")
        self.host.wait_for(f"pid=$(systemctl show --property=MainPID --value mvrunner); "
                           f"test $pid != 0 && test $pid != {old}", "another daemon starts")
        self.assertIn("a job still runs", self.host.check("dpkg --purge mvrunner", 300))
        self.say("purged, with a job running")
        self.assertEqual(self.vmm(), vmm)
        self.finish(job, "second")
        self.host.wait_for("! test -e /var/lib/mvrunner && "
                           "! systemctl list-units --all --no-legend 'mvrunner*' | grep .",
                           "what was left goes")
        self.host.check("rm -r /etc/credstore/github-token /etc/systemd/system/mvrunner.service.d; "
                        "systemctl daemon-reload")
        self.say("nothing is left")


def main():
    missing = [name for name in ("mmdebstrap", "node", "qemu-system-x86_64", "dpkg-deb")
               if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        print(f"skipped: needs root and {' '.join(missing)}")
        sys.exit(77)
    unittest.main(verbosity=2, catchbreak=True)


if __name__ == "__main__":
    main()
