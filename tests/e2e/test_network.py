"""What a VM reaches and what it does not."""

from harness import DNSMASQ, HOST, INTERNET, WEB, MvrunnerTest, main, run

# A one-shot listener and a probe that need nothing but what the image has.
LISTEN = ("perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 9000, Listen => 5, "
          "ReuseAddr => 1) or die; print \"listening\\n\"; $| = 1; while ($c = $s->accept) "
          "{ print $c \"hello\\n\"; close $c }' >/tmp/listener 2>&1 &")
LINK_LOCAL, PRIVATE = "169.254.169.254", "192.168.77.1"


def probe(host, port):
    return (f"if timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}' 2>/dev/null; "
            f"then echo 'reached {host}:{port}'; else echo 'blocked {host}:{port}'; fi")


class Isolation(MvrunnerTest):
    def setUp(self):
        super().setUp()
        for address in (LINK_LOCAL, PRIVATE):
            run("ip", "-n", self.namespaces.internet, "addr", "add", f"{address}/32", "dev", "lo")
        # On every address of the host.
        self.start_on_host(self.web_server(), "host-web.log")

    def test_a_vm_reaches_the_internet_but_not_the_host_nor_private_addresses(self):
        self.start_daemon()
        # The first VM's gateway, and both ends of the link between host and VMs' namespace.
        own = ["10.231.0.1", "10.231.255.253", "10.231.255.254"]
        blocked = [HOST, PRIVATE, LINK_LOCAL, *own]
        script = "; ".join(probe(address, 8000) for address in [INTERNET, *blocked])
        done = self.cli("run", "--", "bash", "-c", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertIn(f"reached {INTERNET}:8000", lines)
        for address in blocked:
            self.assertIn(f"blocked {address}:8000", lines)
        self.check_nothing_left()

    def test_a_vm_does_not_reach_another_vm(self):
        self.start_daemon()
        listen = f"{LISTEN} until grep -q listening /tmp/listener; do sleep 1; done"
        first = self.github.add_job(listen, probe("127.0.0.1", 9000), self.gate())
        self.github.wait_job(first, "in_progress")
        address = self.wait_vm("running")["address"]
        second = self.github.add_job(probe(address, 9000), probe(address, 22))
        done = self.github.wait_job(second, "completed")
        self.assertIn(f"blocked {address}:9000", done["log"])
        self.assertIn(f"blocked {address}:22", done["log"])
        self.open_gate()
        # The listener was there all the time.
        done = self.github.wait_job(first, "completed")
        self.assertIn("reached 127.0.0.1:9000", done["log"])
        self.check_nothing_left()

    def test_an_allowed_private_address_is_reached_and_only_that(self):
        network = {**self.settings()["network"], "allow": [f"{PRIVATE}:8000"]}
        self.write_config(network=network)
        self.start_daemon()
        script = f"{probe(PRIVATE, 8000)}; {probe(LINK_LOCAL, 8000)}"
        done = self.cli("run", "--", "bash", "-c", script)
        self.assertEqual(done.stdout.splitlines(),
                         [f"reached {PRIVATE}:8000", f"blocked {LINK_LOCAL}:8000"], done.stderr)
        self.check_after_run()

    def test_a_vm_cannot_use_another_address_than_its_own(self):
        self.start_daemon()
        script = ("dev=$(ip -o route get 198.51.100.10 | sed 's/.* dev \\([^ ]*\\).*/\\1/'); "
                  "sudo ip addr add 10.231.9.9/32 dev $dev; "
                  f"curl -s --max-time 5 --interface 10.231.9.9 {WEB}/ >/dev/null "
                  "&& echo spoofed || echo held")
        done = self.cli("run", "--", "bash", "-c", script)
        self.assertEqual(done.stdout, "held\n", done.stderr)
        self.check_after_run()

    def check_after_run(self):
        self.check_nothing_left()


class Names(MvrunnerTest):
    def check_names_resolve(self):
        self.start_daemon()
        done = self.cli("run", "--", "getent", "ahostsv4", "github.test")
        self.assertIn(INTERNET, done.stdout, done.stderr)
        self.check_nothing_left()

    def test_names_resolve_through_the_hosts_resolver(self):
        self.check_names_resolve()


class NamesWithLoopbackResolver(Names):
    resolver = "127.0.0.1"

    def test_names_resolve_through_the_hosts_resolver(self):
        self.start_on_host(
            [*DNSMASQ, "--no-resolv", "--listen-address=127.0.0.1", f"--server={INTERNET}"],
            "loopback-dnsmasq.log")
        self.check_names_resolve()


if __name__ == "__main__":
    main()
