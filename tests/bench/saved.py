"""How much sooner a VM is there that begins from a saved state, measured in one run, alternating.

cold      the daemon's launch to `agent_up` of a VM that boots: scratch disk, cgroup, tap and all
restored  the same of one that begins from a state
bare      a machine's state loaded by the same QEMU command line to the agent's hello, without
          disks, network and daemon (bench_boot --restore yes)

Each begins some seconds after the one before has ended: memory that was just freed is cheaper.

Environment: MVRUNNER, BENCH_BOOT, MVR_AGENT, BENCH_RUNS (7).
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time

from boot import RUNS, harness, milliseconds, run


PAUSE = 5  # seconds


class Bench(harness.MvrunnerTest):
    validates = False  # on two cores its work would be measured too

    def switch(self, is_on):
        self.write_config(saved_states={"enabled": is_on})
        self.assertEqual(self.cli("reload").returncode, 0)

    def runTest(self):
        self.start_daemon()
        self.one_job()  # prepares the initramfs and probes the accelerator
        self.switch(True)
        self.one_job()  # is saved
        cold, restored, bare = [], [], []
        for _ in range(RUNS):
            self.switch(False)
            cold.append(self.one_job())
            self.switch(True)
            restored.append(self.one_job())
            bare.append(self.bare()["hello_ms"][0])
        log = self.daemon.text()
        self.assertEqual(log.count("event=vm_restored"), RUNS, log)
        print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs\n")
        for name, values in (("cold boot to hello    ", cold), ("restore to hello      ", restored),
                             ("bare restore to hello ", bare)):
            print(name, milliseconds(values))
        middle = {name: statistics.median(values) for name, values in
                  (("cold", cold), ("restored", restored), ("bare", bare))}
        print(f"ratio cold/restored    {middle['cold'] / middle['restored']:.2f} (aim: at least 5)")
        print(f"ratio restored/bare    {middle['restored'] / middle['bare']:.2f} "
              "(aim: at most 1.3)")

    def bare(self):
        command = [os.environ["BENCH_BOOT"], "--state", self.state, "--agent",
                   os.environ["MVR_AGENT"], "--runs", "1", "--restore", "yes",
                   "--pause", str(PAUSE)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def one_job(self):
        time.sleep(PAUSE)
        before = len(self.daemon.text().splitlines())
        self.github.wait_job(self.github.add_job("true"), "completed")
        self.wait_no_vm()
        lines = "\n".join(self.daemon.text().splitlines()[before:])
        return float(re.search(r" event=agent_up .* since_launch_ms=(\d+)", lines)[1])


if __name__ == "__main__":
    sys.exit(run(Bench))
