"""What a VM costs the host beside its VMM: the steps of a launch and of a removal, fifty VMs at
once, and what a thousand of them leave behind. The VMM is a stand-in that does nothing, so that
only the daemon's own work is there.

Environment: MVRUNNER, BENCH_LAUNCH, BENCH_RUNS (50), BENCH_CYCLES (1000).
"""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from boot import milliseconds, run  # noqa: E402

STAND_IN = """#!/bin/sh
[ "$1" != --version ] || { echo "QEMU emulator version 7.2.22"; exit; }
exec sleep 1000
"""


class Launch(harness.MvrunnerTest):
    validates = False
    profiles = [{"name": "small", "labels": ["mv-small"]}]

    def settings(self):
        self.root.chmod(0o755)
        qemu = self.root / "qemu"
        qemu.write_text(STAND_IN)
        qemu.chmod(0o755)
        settings = super().settings()
        host = {**settings["host"], "max_vms": 64}
        return {**settings, "host": host, "vmm": {"accel": "tcg", "qemu_binary": str(qemu)}}

    def runTest(self):
        command = [*harness.Namespaces.inside(self.namespaces.host), os.environ["BENCH_LAUNCH"],
                   "--config", self.config, "--runs", os.environ.get("BENCH_RUNS", "50"),
                   "--cycles", os.environ.get("BENCH_CYCLES", "1000")]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs\n")
        for what in ("launch", "remove"):
            print(f"{what}, one at a time    ", milliseconds(found[f"{what}_ms"]))
            for step in found[f"{what}_steps"]:
                print(f"    {step['ms']:7.2f} ms until {step['until']}")
            print(f"{what}, of 50 VMs        ", milliseconds(found[f"together_{what}_ms"]))
        print(f"50 launches in all       {found['together_all_ms']:7.1f} ms")
        print("left after all cycles   ", found["leaks"])


if __name__ == "__main__":
    sys.exit(run(Launch))
