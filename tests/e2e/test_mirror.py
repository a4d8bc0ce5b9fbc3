"""The registry mirror, as programs in the VMs' network namespace see it; with the stand-in VMM."""

import os
import pathlib
import re
import signal
import subprocess

from harness import WEB, Namespaces, main, wait_for
from registry import DEBUG, LAYER, MIRROR, UPSTREAM, Upstream
from standin import StandInVmmTest


class Mirror(StandInVmmTest):
    def start(self, **settings):
        self.upstream = Upstream(self)
        self.write_config(registry_mirror={"enabled": True, "upstream": UPSTREAM, **settings})
        self.start_daemon()
        self.wait_ready()

    def wait_ready(self, times=1):
        wait_for(lambda: self.daemon.text().count("event=mirror_ready") >= times, "the mirror is up",
                 limit=60)

    def curl(self, address, path, *options):
        """(status, body) as a VM gets it; status 0: there is no way."""
        done = subprocess.run(
            [*Namespaces.inside(self.instance), "curl", "-s", "--max-time", "5", "-w",
             "\n%{http_code}", *options, f"http://{address}{path}"], capture_output=True)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    def pull(self, name):
        target = self.root / name
        done = subprocess.run(
            [*Namespaces.inside(self.instance), "skopeo", "copy", "-q", "--preserve-digests",
             "--src-tls-verify=false",
             f"docker://{MIRROR}/library/hello:latest", f"oci:{target}:x"],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        layer = target / "blobs/sha256" / self.upstream.layer.removeprefix("sha256:")
        self.assertGreater(layer.stat().st_size, LAYER)

    def wait_kept(self):
        """docker-registry passes a blob on and, on a second fetch of its own, keeps it."""
        links = self.state / "registry/docker/registry/v2/repositories/library/hello/_layers/sha256"

        def are_kept():
            fetched = self.upstream.fetched()
            blobs = [path for path in fetched if "/blobs/" in path]
            return len(list(links.glob("*/link"))) == 2 and len(blobs) == 4
        wait_for(are_kept, "both blobs are kept", limit=60)

    def registries(self):
        found = []
        for pid in self._our_pids():
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if words.startswith(b"docker-registry\0serve\0/proc/self/fd/"):
                found.append(pid)
        return found

    def _our_pids(self):
        """Processes in the test's host whose parent, or which, is its daemon's."""
        network = os.stat(f"/run/netns/{self.namespaces.host}").st_ino
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.stat(entry / "ns/net").st_ino == network:
                    yield int(entry.name)
            except OSError:
                pass  # it has ended

    def metrics(self):
        done = subprocess.run([*Namespaces.inside(self.namespaces.host), "curl", "-s",
                               "http://127.0.0.1:9840/metrics"], capture_output=True, text=True)
        found = re.findall(r"^(mvrunner_mirror_\S+) ([0-9.e+-]+)$", done.stdout, re.M)
        return {name: float(value) for name, value in found}

    def wait_requests(self, **wanted):
        def count():
            now = self.metrics()
            return all(now.get(f'mvrunner_mirror_requests_total{{kind="{kind}",result="{result}"}}')
                       == value for key, value in wanted.items()
                       for kind, _, result in [key.partition("_")])
        wait_for(count, f"the metrics say {wanted}", limit=60)

    def test_one_fetch_serves_all_and_what_is_there_outlives_upstream_and_daemon(self):
        self.start()
        self.pull("first")
        self.wait_kept()
        fetched = self.upstream.fetched()
        manifests = [path for path in fetched if "/manifests/" in path]
        self.assertEqual(len(manifests), 1, fetched)
        self.pull("second")
        self.assertEqual(self.upstream.fetched(), fetched)  # by tag and by digest, nothing again
        self.wait_requests(manifest_miss=1, manifest_hit=1, blob_miss=2, blob_hit=2)
        self.assertGreater(self.metrics()["mvrunner_mirror_served_bytes_total"], 2 * LAYER)
        wait_for(lambda: self.metrics()["mvrunner_mirror_bytes"] > LAYER, "the store is measured",
                 limit=60)

        # A daemon that is killed takes it along; the next one's has all that was kept.
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.start_daemon()
        self.wait_ready(times=2)
        self.assertEqual(len(self.registries()), 1)
        self.pull("third")
        self.assertEqual(self.upstream.fetched(), fetched)

        # It is started again when it ends, and what it counted stays counted.
        self.wait_requests(manifest_miss=0, manifest_hit=1, blob_miss=0, blob_hit=2)
        restarts = self.metrics()["mvrunner_mirror_restarts_total"]
        os.kill(self.registries()[0], signal.SIGKILL)
        self.wait_ready(times=3)
        self.pull("fourth")
        self.wait_requests(manifest_miss=0, manifest_hit=2, blob_miss=0, blob_hit=4)
        self.assertEqual(self.metrics()["mvrunner_mirror_restarts_total"], restarts + 1)

        self.upstream.process.stop()
        self.pull("fifth")
        self.check_nothing_left()
        wait_for(lambda: not self.registries(), "the registry ends with the daemon", limit=30)

    def test_vms_read_it_and_nothing_else_of_the_host(self):
        self.start()
        self.start_on_host(self.web_server(), "host-web.log")
        self.assertEqual(self.curl(MIRROR, "/v2/")[0], 200)
        self.assertEqual(self.curl(DEBUG, "/debug/vars")[0], 0)
        self.assertEqual(self.curl(MIRROR.replace("5000", "8000"), "/")[0], 0)
        manifest = f"/v2/library/hello/manifests/{self.upstream.manifest}"
        self.assertEqual(self.curl(MIRROR, manifest, "-X", "DELETE")[0], 405)
        self.assertIn(self.curl(MIRROR, manifest, "-X", "PUT", "-d", "{}")[0], (400, 405))
        self.assertEqual(self.curl(MIRROR, "/v2/library/hello/blobs/uploads/", "-X", "POST")[0],
                         405)
        # As another machine of the host's network that knows the address would come.
        route = ["ip", "-n", self.namespaces.internet, "route", "add", "10.231.255.253/32", "via",
                 "198.51.100.1"]
        subprocess.run(route, check=True)
        outside = subprocess.run(
            [*Namespaces.inside(self.namespaces.internet), "curl", "-s", "--max-time", "3",
             f"http://{MIRROR}/v2/"], capture_output=True)
        self.assertNotEqual(outside.returncode, 0)
        self.check_nothing_left()

    def test_the_store_is_held_to_its_size(self):
        self.start(max_size="2MiB")
        self.pull("first")
        wait_for(lambda: "event=mirror_store_shrunk" in self.daemon.text(), "the store shrinks",
                 limit=60)
        blobs = self.state / "registry/docker/registry/v2/blobs/sha256"
        layer = self.upstream.layer.removeprefix("sha256:")
        self.assertFalse((blobs / layer[:2] / layer).exists())
        self.assertGreater(self.metrics()["mvrunner_mirror_removed_blobs_total"], 0)
        self.pull("second")  # fetched again, while it runs
        self.check_nothing_left()

    def test_a_login_is_seen_by_nobody(self):
        password = "s3cret-of-the-upstream"
        login = self.root / "login"
        login.write_text(f"robot:{password}\n")
        login.chmod(0o600)
        self.start(login_file=str(login))
        self.pull("first")
        (pid,) = self.registries()
        seen = [pathlib.Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        self.assertNotIn(password.encode(), b"".join(seen))
        self.assertNotIn(password, self.daemon.text())
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.assertRegex(status, r"(?m)^Uid:\t2001000\t2001000\t2001000\t2001000$")
        self.assertEqual(self.daemon.stop(), 0)
        left = subprocess.run(["grep", "-rlF", password, self.state, self.root / "run"],
                              capture_output=True, text=True)
        self.assertEqual(left.stdout, "")

        login.chmod(0o644)
        self.launch_daemon()
        wait_for(lambda: not self.daemon.is_alive(), "the daemon refuses an open file", limit=30)
        self.assertIn("chmod 600", self.daemon.text())

    def test_without_its_upstream_or_its_program_the_daemon_runs_and_tries_again(self):
        self.write_config(registry_mirror={"enabled": True, "upstream": UPSTREAM})
        self.start_daemon()
        wait_for(lambda: "event=mirror_ended" in self.daemon.text(), "the registry gives up", 60)
        self.assertIn("connection refused", self.daemon.text())
        self.upstream = Upstream(self)
        self.wait_ready()
        self.pull("first")
        self.assertEqual(self.daemon.stop(), 0)
        programs = self.root / "programs"
        programs.mkdir()
        for directory in ("/usr/sbin", "/usr/bin"):
            for program in pathlib.Path(directory).iterdir():
                if program.name != "docker-registry" and not (programs / program.name).exists():
                    (programs / program.name).symlink_to(program)
        self.start_daemon(f"PATH={programs}")
        wait_for(lambda: "event=mirror_failed" in self.daemon.text(), "it says what is missing", 60)
        self.assertIn("apt install docker-registry", self.daemon.text())
        self.check_nothing_left()

    def test_a_host_without_a_mirror_opens_no_port(self):
        self.upstream = Upstream(self)
        self.start_daemon()
        server = [*self.web_server()[:-1], "5000"]
        self.start_on_host(server, "host-web.log")
        here = [*Namespaces.inside(self.namespaces.host), "curl", "-s", "-o", "/dev/null",
                f"http://{MIRROR}/"]
        wait_for(lambda: subprocess.run(here).returncode == 0, "something listens there", limit=60)
        self.assertEqual(self.curl(MIRROR, "/")[0], 0)
        self.assertEqual(self.curl(WEB.removeprefix("http://"), "/")[0], 200)
        self.assertFalse((self.state / "registry").exists())
        self.check_nothing_left()


if __name__ == "__main__":
    main()
