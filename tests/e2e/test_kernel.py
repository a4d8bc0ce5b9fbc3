"""The kernel of kernel/build in a microVM: it boots to the agent, and a guest has what the
distribution's kernel leaves to modules.
"""

import re

import harness
import state


class OwnKernel(harness.MvrunnerTest):
    profiles = [{"name": "small", "labels": ["mv-small"], "vcpus": 2}]

    def setUp(self):
        super().setUp()
        self.kernel = state.own_kernel()
        self.release = (self.kernel / "release").read_text().strip()
        done = self.cli("kernel", "install", "--dir", self.kernel)
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.release}\n"), done.stderr)
        self.settings_with_kernel = [{**profile, "kernel": self.release}
                                     for profile in self.settings()["profiles"]]
        self.write_config(profiles=self.settings_with_kernel)
        self.start_daemon()

    def in_guest(self, *commands):
        """Runs them in one VM; returns what each printed."""
        script = "; echo ----; ".join(f"{{ {command}; }} 2>&1" for command in commands)
        done = self.cli("run", "--", "bash", "-c", script)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [text.strip() for text in done.stdout.split("----\n")]

    def test_it_boots_and_has_all_built_in(self):
        release, version, config, sources, clock, vsock, overlay, nft, modules, processors = self.in_guest(
            "uname -r", "uname -v", "zcat /proc/config.gz", "dmesg | grep -i 'tsc.*unstable' || true",
            "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
            "test -c /dev/vsock && echo there", "grep -w overlay /proc/filesystems",
            "grep -c nft_ /proc/kallsyms", "cat /proc/modules", "nproc")
        self.assertEqual(release, self.release)
        # Nothing in it tells when, where or by whom it was built.
        self.assertRegex(version, r"^#1 SMP \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")
        self.assertEqual(config.strip(), (self.kernel / "config").read_text().strip())
        self.assertEqual((sources, vsock, modules), ("", "there", ""))
        # With two CPUs it would be the coarse clock of ticks if the TSC were not believed.
        if self.ps_accel() == "tcg":
            self.assertEqual((clock, processors), ("tsc", "2"))
        self.assertRegex(overlay, r"\boverlay$")
        self.assertGreater(int(nft), 100)
        self.assertIn(f"kernel={self.release}", self.daemon.text())

    def ps_accel(self):
        return re.search(r"event=kernel_ready .*accel=(\w+)", self.daemon.text())[1]


if __name__ == "__main__":
    harness.main()
