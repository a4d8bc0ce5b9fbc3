"""Boot to the agent's hello with our kernel against the distribution's, measured in one run: bare QEMU
with the command line that mvrunner uses, without disks and network (bench_boot), alternating.

Environment: MVRUNNER, BENCH_BOOT, MVR_AGENT, BENCH_RUNS (7).
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import state  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "7"))


def install(directory, config, *arguments):
    command = [state.MVRUNNER, "--config", config, "kernel", "install", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=directory).stdout.strip()


def boot(directory, kernel):
    command = [os.environ["BENCH_BOOT"], "--state", directory, "--agent", os.environ["MVR_AGENT"],
               "--kernel", kernel, "--runs", "1"]
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return {name: done[name][0] for name in ("hello_ms", "guest_ms", "resident_kib")}


def measure(directory):
    config = pathlib.Path(directory, "mvrunner.yaml")
    config.write_text(json.dumps({"state_dir": directory, "profiles": [{"name": "a", "labels": ["a"]}]}))
    kernels = [install(directory, config), install(directory, config, "--dir", state.own_kernel())]
    times = {kernel: [] for kernel in kernels}
    for _ in range(RUNS):
        for kernel in kernels:
            times[kernel].append(boot(directory, kernel))
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs, {RUNS} boots each\n")
    medians = []
    for kernel in kernels:
        hello, guest, resident = ([run[name] for run in times[kernel]]
                                  for name in ("hello_ms", "guest_ms", "resident_kib"))
        medians.append(statistics.median(hello))
        print(f"{kernel:28} to hello: median {medians[-1]:7.1f} ms  min {min(hello):7.1f}  "
              f"guest's clock {statistics.median(guest):.0f} ms  RSS {statistics.median(resident) / 1024:.0f} MiB")
    print(f"ratio ours/distribution's    {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mvr-bench.") as work:
        measure(work)
