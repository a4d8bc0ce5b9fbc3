"""What the daemon shows by HTTP, with the stand-in VMM."""

import html
import json
import re
import subprocess

import state
from harness import SOURCE, Namespaces, main, wait_for
from standin import StandInVmmTest

ADDRESS = "127.0.0.1:9840"


class Web(StandInVmmTest):
    profiles = [{"name": "small", "labels": ["mv-small"]},
                {"name": "large", "labels": ["mv-large"], "memory": "6GiB"}]

    def get(self, path, *options, address=ADDRESS):
        """(status, body); status 0: nothing listens there."""
        done = subprocess.run(
            [*Namespaces.inside(self.namespaces.host), "curl", "-s", "-w", "\n%{http_code}",
             *options, f"http://{address}{path}"], capture_output=True, text=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def metrics(self):
        status, text = self.get("/metrics")
        self.assertEqual(status, 200, text)
        samples = re.findall(r"^([a-z_]+(?:\{.*\})?) ([0-9.e+-]+)$", text, re.M)
        return {name: float(value) for name, value in samples}

    def hold_jobs(self):
        """Two jobs of one kind, one of which has no room, and one nobody serves."""
        for name in ("first", "second"):
            self.github.add_job("sleep 1000", labels=["mv-large"], name=name)
        self.github.add_job("true", labels=["mv-gpu"], name="lonely")
        wait_for(lambda: len(self.ps()["waits"]) == 2 and self.ps()["vms"][0]["phase"] == "running",
                 "one job runs and two wait")

    def test_metrics_are_what_ps_prints(self):
        self.start_daemon()
        self.hold_jobs()
        listed, metrics = self.ps(), self.metrics()
        for wait in listed["waits"]:
            key = (f'{{scope="{wait["scope"]}",profile="{wait["profile"]}",'
                   f'reason="{wait["reason"]}"}}')
            self.assertEqual(metrics[f"mvrunner_waiting_jobs{key}"], wait["jobs"])
            age = metrics[f"mvrunner_oldest_wait_seconds{key}"] * 1000
            self.assertLess(abs(age - wait["oldest"]["age_ms"]), 60_000)
        self.assertEqual({wait["reason"] for wait in listed["waits"]}, {"no_memory", "no_profile"})
        for group in ("capacity", "used"):
            for name, value in listed[group].items():
                unit = "_bytes" if name in ("memory", "disk") else ""
                if name != "disk" or group == "used":  # others write to this disk meanwhile
                    self.assertEqual(metrics[f"mvrunner_{group}_{name}{unit}"], value)
        self.assertEqual(metrics['mvrunner_vms{profile="large",phase="running"}'], 1)
        self.assertEqual(metrics["mvrunner_vm_launches_total"], 1)
        self.assertEqual(metrics["mvrunner_launch_seconds_count"], 1)
        self.github.control("POST", "/settings", {"lost_after_ms": 1000})
        self.assertEqual(self.cli("drain", "--deadline", "1s").returncode, 0)
        ends = 'mvrunner_vm_ends_total{profile="large",cause="killed"}'
        wait_for(lambda: self.metrics().get(ends) == 1, "the end is counted", limit=60)
        text = self.get("/metrics")[1]
        linted = subprocess.run([state.promtool(), "check", "metrics"], input=text,
                                capture_output=True, text=True)
        self.assertEqual((linted.returncode, linted.stdout + linted.stderr), (0, ""))
        self.check_dashboard(text)
        wait_for(lambda: not self.github.runners(), "the runner is gone", limit=60)
        self.check_nothing_left()

    def check_dashboard(self, metrics):
        """Prometheus reads its queries, and what they name is there."""
        dashboard = json.loads((SOURCE / "config/grafana-dashboard.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"]
                   for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 30)
        families = set(re.findall(r"^# TYPE (\S+)", metrics, re.M))
        named = {re.sub("_bucket$", "", name) for query in queries
                 for name in re.findall(r"mvrunner_[a-z_]+", query)}
        self.assertEqual(named - families, set())
        rules = self.root / "rules.yaml"
        rules.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
            {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
            for number, query in enumerate(queries)]}]}))
        checked = subprocess.run([state.promtool(), "check", "rules", rules], capture_output=True,
                                 text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_status_page_is_what_ps_prints(self):
        self.start_daemon()
        self.hold_jobs()
        status, page = self.get("/", "-D", str(self.root / "headers"))
        headers = (self.root / "headers").read_text().lower()
        self.assertEqual(status, 200)
        self.assertIn("content-type: text/html; charset=utf-8", headers)
        self.assertIn("content-security-policy: default-src 'none'; style-src 'sha256-", headers)
        self.assertIn("referrer-policy: no-referrer", headers)
        listed = self.ps()
        self.assertIn(listed["vms"][0]["vm"], page)
        self.assertIn("running first of", page)
        for wait in listed["waits"]:
            self.assertIn(html.escape(wait["text"]), page)
        # The half hours of the waits: a job has started.
        self.assertIn('<svg class="chart" role="img" aria-label="Bars for 1 job;', page)
        self.github.control("POST", "/settings", {"lost_after_ms": 1000})
        self.assertEqual(self.cli("drain", "--deadline", "1s").returncode, 0)
        wait_for(lambda: not self.ps()["vms"], "no VM is left", limit=60)
        self.daemon.stop()
        self.start_daemon()
        page = self.get("/")[1]
        self.assertRegex(page, r"<bdi>first</bdi>.*killed")
        self.assertIn('aria-label="Bars for 1 job;', page)
        self.assertEqual(self.get("/", "-H", "Host: evil.example:9840")[0], 403)
        wait_for(lambda: not self.github.runners(), "the runner is gone", limit=60)
        self.check_nothing_left()

    def test_readiness_says_why_not(self):
        self.start_daemon()
        self.assertEqual(self.get("/healthz"), (200, "ok\n"))
        wait_for(lambda: self.get("/readyz") == (200, "ok\n"), "the host is ready")
        self.cli("drain")
        self.assertEqual(self.get("/readyz"), (503, "the host is draining\n"))
        self.assertEqual(self.get("/healthz")[0], 200)
        self.assertEqual(self.get("/nothing")[0], 404)
        self.assertEqual(self.get("/metrics", "-X", "POST")[0], 405)
        self.check_nothing_left()

    def test_web_sites_that_resolve_to_this_host_read_nothing(self):
        self.start_daemon()
        status, body = self.get("/metrics", "-H", "Host: evil.example:9840")
        self.assertEqual(status, 403, body)
        self.assertNotIn("mvrunner_", body)
        self.check_nothing_left()

    def test_a_reload_moves_the_listener_and_a_taken_port_is_tried_again(self):
        taken = self.start_on_host(["python3", "-c", (
            "import socket, time\n"
            "s = socket.create_server(('127.0.0.1', 9840)); print('listens', flush=True)\n"
            "time.sleep(1000)")], "taken.log")
        wait_for(lambda: "listens" in taken.text(), "the port is taken")
        self.start_daemon()
        self.assertIn("web_not_listening", self.daemon.text())
        self.assertIn(ADDRESS, self.daemon.text())
        taken.stop()
        wait_for(lambda: self.get("/healthz")[0] == 200, "the listener is there", limit=30)
        self.write_config(web={"listen": "[::1]:9841"})
        self.assertIn("web.listen: applied", self.cli("reload").stdout)
        self.assertEqual(self.get("/healthz", address="[::1]:9841")[0], 200)
        self.assertEqual(self.get("/healthz")[0], 0)
        self.write_config(web={"listen": ""})
        self.cli("reload")
        self.assertEqual(self.get("/healthz", address="[::1]:9841")[0], 0)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
