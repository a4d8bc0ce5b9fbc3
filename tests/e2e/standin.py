"""Tests with the stand-in VMM (tests/fakes/vmm): for what needs many VMs, not real ones."""

from harness import SOURCE, MvrunnerTest

QEMU = SOURCE / "tests/fakes/vmm/qemu-system-x86_64"


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

    def settings(self):
        return {**super().settings(), "vmm": {"accel": "tcg", "qemu_binary": str(QEMU)}}

    def booted(self):
        """(guest, pid) of each VM that was started, in order."""
        lines = self.boots.read_text().splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]
