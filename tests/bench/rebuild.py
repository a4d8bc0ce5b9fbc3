"""A rebuild with nothing changed, against the builder's own check that all is cached: a table.

Both look at the same Dockerfile and context in one run, one after the other and several times; the
smallest time of each counts. Needs root and buildah.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MVRUNNER = pathlib.Path(os.environ.get("MVRUNNER", SOURCE / "build/dev/src/mvrunner"))
ROUNDS = 5
FILES, FILE_SIZE = 2000, 32 << 10  # a context of 64 MiB
DOCKERFILE = "FROM scratch\n" + "".join(f"COPY d{n} /d{n}\n" for n in range(10))


def timed(command, environment):
    start = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    return time.monotonic() - start, done.stderr


def main():
    with tempfile.TemporaryDirectory(prefix="mvr-rebuild-", dir="/var/tmp") as name:
        root = pathlib.Path(name)
        context = root / "context"
        for number in range(FILES):
            path = context / f"d{number % 10}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(FILE_SIZE))
        (context / "Dockerfile").write_text(DOCKERFILE)
        (root / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/store"\nrunroot = "{root}/run"\n')
        (root / "mvrunner.yaml").write_text(json.dumps(
            {"state_dir": str(root / "state"), "profiles": [{"name": "small", "labels": ["small"]}]}))
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(root / "storage.conf")}
        ours = [MVRUNNER, "--config", root / "mvrunner.yaml", "image", "build", "--builder",
                "buildah", "--no-smoke", "-t", "bench", context]
        theirs = ["buildah", "bud", "--layers", "--format", "docker", "-t", "bench", context]
        try:
            cold, _ = timed(ours, environment)
            timed(theirs, environment)
            best = {"buildah, all cached": [], "mvrunner, unchanged": []}
            for _ in range(ROUNDS):
                best["buildah, all cached"].append(timed(theirs, environment)[0])
                seconds, said = timed(ours, environment)
                if "nothing changed" not in said:
                    sys.exit(f"it was built again: {said}")
                best["mvrunner, unchanged"].append(seconds)
        finally:
            subprocess.run(["buildah", "rmi", "--all", "--force"], env=environment,
                           capture_output=True)
            subprocess.run(["umount", root / "store/overlay"], capture_output=True)
    print(f"{'the first build':24} {cold:8.2f} s")
    for what, seconds in best.items():
        print(f"{what:24} {min(seconds):8.2f} s")
    above = min(best["mvrunner, unchanged"]) - min(best["buildah, all cached"])
    print(f"{'above the builder':24} {above:8.2f} s (aim: 1 s or less)")
    return 0 if above <= 1 else 1


if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("buildah"):
        sys.exit("needs root and buildah")
    sys.exit(main())
