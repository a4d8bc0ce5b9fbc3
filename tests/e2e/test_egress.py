"""What VMs behind a gate reach: by name, by address, through the name servers, and over restarts."""

import json
import signal

from harness import INTERNET, MvrunnerTest, main, run, wait_for

ALLOWED, OTHER = "198.51.100.20", "198.51.100.30"


def fetch(host):
    return (f"if curl -sf --max-time 8 http://{host}:8000/here; then echo ' {host}: reached'; "
            f"else echo '{host}: not reached'; fi")


# A question as any program may send it to any server: perl-base has what it takes.
ASK = ("perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => "
       "$ARGV[1], Proto => \"udp\"); $s->send(pack(\"nnnnnn\", 7, 256, 1, 0, 0, 0) . join(\"\", map "
       "{ chr(length) . $_ } split /[.]/, $ARGV[2]) . pack(\"Cnn\", 0, 1, 1)); $r = \"\"; vec($r, "
       "fileno $s, 1) = 1; if (select($r, undef, undef, 4)) { $s->recv($b, 512); print \"answer \", "
       "ord(substr $b, 3, 1) & 15, \"\\n\" } else { print \"silence\\n\" }' ")


class EgressTest(MvrunnerTest):
    dns_names = {**MvrunnerTest.dns_names, "allowed.test": ALLOWED, "other.test": OTHER}
    profiles = [{"name": "listed", "labels": ["mv-listed"], "egress": "allow-list",
                 "egress_allow": ["*.allowed.test"]},
                {"name": "closed", "labels": ["mv-closed"], "egress": "none"},
                {"name": "learner", "labels": ["mv-learner"], "egress": "learn"}]

    def setUp(self):
        super().setUp()
        for address in (ALLOWED, OTHER):
            run("ip", "-n", self.namespaces.internet, "addr", "add", f"{address}/32", "dev", "lo")
            run("ip", "-n", self.namespaces.host, "route", "add", address, "via", INTERNET)
        (self.root / "web/here").write_text("hello")

    def settings(self):
        settings = super().settings()
        settings["network"] = {**settings.get("network", {}), "allow": [f"{INTERNET}:8080"]}  # GitHub
        return settings

    def lines_of(self, profile, *steps):
        job = self.github.add_job(*steps, labels=[f"mv-{profile}"])
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        return done["log"]


class Limited(EgressTest):
    def test_a_job_reaches_github_and_what_its_list_names(self):
        self.start_daemon()
        log = self.lines_of(
            "listed", fetch("allowed.test"), fetch("www.allowed.test"), fetch("other.test"),
            fetch(OTHER), fetch("notallowed.test"),
            # By name servers: the one on the Internet, the host's own, and the gateway.
            f"{ASK} {INTERNET} 53 other.test; {ASK} 10.231.255.253 1053 other.test",
            f"{ASK} $(ip -o route get 1.1.1.1 | sed 's/.* via \\([^ ]*\\).*/\\1/') 53 a.other.test")
        self.assertIn("hello allowed.test: reached", log)
        self.assertIn("hello www.allowed.test: reached", log)
        for name in ("other.test", OTHER, "notallowed.test"):
            self.assertIn(f"{name}: not reached", log)
        self.assertEqual(log.count("silence"), 2, log)
        self.assertIn("answer 5", log)  # REFUSED
        # Told once, and not what passed.
        told = self.daemon.text()
        self.assertEqual(told.count("event=egress_refused"), told.count("name=other.test") +
                         told.count("name=notallowed.test") + told.count("name=a.other.test"))
        self.assertEqual(told.count("name=other.test"), 1, told)
        # What one VM may reach is nobody else's.
        log = self.lines_of("closed", fetch("allowed.test"), fetch(ALLOWED))
        self.assertIn("allowed.test: not reached", log)
        self.assertIn(f"{ALLOWED}: not reached", log)
        self.check_nothing_left()

    def test_a_restart_and_a_reload_close_nothing_and_open_nothing(self):
        self.start_daemon()
        job = self.github.add_job(fetch("allowed.test"), self.gate_by_name(), fetch(ALLOWED),
                                  fetch("allowed.test"), fetch("other.test"), labels=["mv-listed"])
        self.github.wait_job(job, "in_progress")
        wait_for(lambda: "allowed.test: reached" in self.github.job(job)["log"], "the first step")
        self.assertEqual(self.daemon.stop(signal.SIGKILL), -signal.SIGKILL)
        self.profiles = [{**profile, "egress": "none", "egress_allow": []}
                         for profile in self.profiles]
        self.write_config()
        self.start_daemon()
        self.cli("reload")
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertIn(f"hello {ALLOWED}: reached", done["log"])
        self.assertEqual(done["log"].count("hello allowed.test: reached"), 2, done["log"])
        self.assertIn("other.test: not reached", done["log"])
        # The next one is of the new kind.
        self.assertIn("allowed.test: not reached", self.lines_of("listed", fetch("allowed.test")))
        self.check_nothing_left()

    def gate_by_name(self):
        return "until curl -sf --max-time 10 http://www.allowed.test:8000/go; do sleep 1; done"


class Learning(EgressTest):
    def test_what_a_job_asks_for_becomes_its_list(self):
        nothing = self.cli("egress", "learner")
        self.assertIn("egress: learn", nothing.stderr)
        self.start_daemon()
        log = self.lines_of("learner", fetch("www.allowed.test"), fetch("other.test"),
                            "getent hosts codeload.github.com || true")
        self.assertIn("hello www.allowed.test: reached", log)
        self.assertIn("hello other.test: reached", log)
        self.wait_no_vm()
        learned = json.loads(self.cli("egress", "learner", "-o", "json").stdout)
        self.assertIn("www.allowed.test", learned)
        self.assertIn("other.test", learned)
        self.assertNotIn("codeload.github.com", learned)
        pasted = self.cli("egress", "learner").stdout
        self.assertIn("egress: allow-list\n", pasted)
        self.assertIn("      - other.test\n", pasted)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
