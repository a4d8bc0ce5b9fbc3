"""The guest kernel's configuration, merged as kernel/build does it: what Docker, buildx, KinD, K3s
and the VMMs need is built in, on both architectures, and a line that does not stick is named.

Lists of symbols: *.list beside this file. Takes the distribution's kernel source, fetched once.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
import state  # noqa: E402

# What moby's checker lists and a guest does without: a storage driver is enough (overlay2), AppArmor
# is the security module of the images, real-time groups need every thread in the root group (cgroup
# v2), and swap is always accounted since Linux 6.1.
LEFT_OUT = {"AUFS_FS", "BTRFS_FS", "BTRFS_FS_POSIX_ACL", "MEMCG_SWAP", "RT_GROUP_SCHED", "SECURITY_SELINUX"}


def configuration(directory, architecture, kernel=SOURCE / "kernel"):
    """Runs kernel/build; returns the path of the merged configuration."""
    command = [kernel / "build", "--config-only", "--arch", architecture, "--out", directory]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr)
    return pathlib.Path(done.stdout.strip())


def wanted(name):
    lines = (SOURCE / f"tests/kernel/{name}.list").read_text().splitlines()
    return [symbol for line in lines if not line.startswith("#") for symbol in line.split()]


class Configuration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.TemporaryDirectory(prefix="kernel-config.")
        cls.addClassCleanup(cls.work.cleanup)
        cls.merged = {architecture: configuration(pathlib.Path(cls.work.name, architecture), architecture)
                      for architecture in ("x86_64", "arm64")}

    def check(self, architecture, name):
        lines = self.merged[architecture].read_text().splitlines()
        missing = [symbol for symbol in wanted(name) if f"CONFIG_{symbol}=y" not in lines]
        self.assertEqual(missing, [], f"{name}.list, {architecture}")

    def test_what_containers_need_is_built_in(self):
        for architecture in self.merged:
            for name in ("docker", "buildx", "kind", "k3s"):
                with self.subTest(architecture=architecture, name=name):
                    self.check(architecture, name)

    def test_what_the_machines_need_is_built_in(self):
        for architecture in self.merged:
            with self.subTest(architecture=architecture):
                self.check(architecture, f"vmm-{architecture}")

    def test_nothing_is_left_to_modules(self):
        # No guest has a module to load.
        for path in self.merged.values():
            self.assertEqual(re.findall(r"^CONFIG_\w+=m$", path.read_text(), re.M), [])

    def test_mobys_own_checker_misses_nothing_we_want(self):
        checker = state.unpacked("docker.io", "usr/share/docker.io/contrib/check-config.sh")
        for path in self.merged.values():
            # It also looks at this host, hence its status is not ours.
            done = subprocess.run(["bash", checker, path], capture_output=True, text=True)
            text = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
            self.assertGreater(len(re.findall(r"CONFIG_\w+: enabled", text)), 60, text + done.stderr)
            missing = set(re.findall(r"CONFIG_(\w+): missing", text))
            self.assertLessEqual(missing, LEFT_OUT)


class Refusals(unittest.TestCase):
    """kernel/build with one fragment changed."""

    def refusal(self, line):
        with tempfile.TemporaryDirectory(prefix="kernel-config.") as work:
            kernel = pathlib.Path(work, "kernel")
            shutil.copytree(SOURCE / "kernel", kernel)
            with open(kernel / "config/qemu.config", "a") as fragment:
                fragment.write(f"{line}\n")
            with self.assertRaises(AssertionError) as refused:
                configuration(pathlib.Path(work, "out"), "x86_64", kernel)
            self.assertFalse(pathlib.Path(work, "out").exists())
            return str(refused.exception)

    def test_a_symbol_that_does_not_stick_is_named(self):
        # It depends on USB, which is off.
        self.assertIn("\n  CONFIG_USB_STORAGE=y\n", self.refusal("CONFIG_USB_STORAGE=y"))

    def test_a_symbol_that_something_else_turns_on_is_named(self):
        self.assertIn("\n  # CONFIG_XFRM is not set\n", self.refusal("# CONFIG_XFRM is not set"))

    def test_a_symbol_that_is_said_twice_is_refused(self):
        self.assertIn("CONFIG_OVERLAY_FS is in another fragment", self.refusal("CONFIG_OVERLAY_FS=y"))

    def test_a_line_of_no_meaning_is_refused(self):
        self.assertIn("qemu.config:", self.refusal("CONFIG_VIRTIO_BLK = y"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
