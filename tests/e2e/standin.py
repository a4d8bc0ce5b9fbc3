"""Tests with the stand-in VMMs (tests/fakes/vmm): for what needs many VMs, not real ones, and for
Firecracker where there is no KVM."""

import os

from harness import SOURCE, MvrunnerTest

VMMS = SOURCE / "tests/fakes/vmm"
QEMU = VMMS / "qemu-system-x86_64"


class StandInVmmTest(MvrunnerTest):
    def setUp(self):
        super().setUp()
        place = self.root / "vmm"
        place.mkdir()
        place.chmod(0o1777)
        self.boots, self.claims = place / "boots.log", place / "claims.log"
        for log in (self.boots, self.claims):
            log.touch()
            log.chmod(0o666)

    def vmm(self):
        return {"accel": "tcg", "qemu_binary": str(QEMU)}

    def settings(self):
        return {**super().settings(), "vmm": self.vmm()}

    def booted(self):
        """(guest, pid) of each VM that was started, in order."""
        lines = self.boots.read_text().splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]


def uncompress_kernels(state):
    """A distribution's is compressed, which no release of Firecracker boots."""
    for kernel in state.glob("kernels/*/vmlinuz"):
        kernel.unlink()
        kernel.write_bytes(b"\x7fELF stand-in of an uncompressed kernel")


class StandInFirecrackerTest(StandInVmmTest):
    def vmm(self):
        return {"backend": "firecracker", "accel": "kvm",
                "firecracker_binary": str(VMMS / "firecracker"),
                "jailer_binary": str(VMMS / "jailer")}

    def setUp(self):
        super().setUp()
        uncompress_kernels(self.state)

    def vmm_pids(self):
        """Its command line names no directory: it is in a jail."""
        return [pid for _, pid in self.booted() if os.path.exists(f"/proc/{pid}/exe")]
