"""How fast a tree becomes an ext4, measured in one run on the same trees.

writer    a tar of the tree through the writer (bench_image), fsync included
tar|      the same with tar(1) reading the tree at the same time: what `image build` does
mke2fs    mke2fs -d TREE, then sync
loop      mke2fs, loop mount, tar -x into it, umount, sync; left out without loop devices
disk      dd of the image the writer made, fsync included: what nothing that writes it can beat

Environment: BENCH_IMAGE, BENCH_RUNS (3), BENCH_DIR (the temporary directory).
"""

import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PROGRAM = os.environ["BENCH_IMAGE"]


def make_tree(root, files, megabytes, seed):
    """Files in directories of 50, their sizes spread as in a root filesystem: many small."""
    chance = random.Random(seed)
    weights = [chance.paretovariate(1.1) for _ in range(files)]
    scale = megabytes * 1e6 / sum(weights)
    noise = chance.randbytes(1 << 20)
    for number, weight in enumerate(weights):
        directory = root / f"d{number // 2500}" / f"e{number // 50 % 50}"
        if number % 50 == 0:
            directory.mkdir(parents=True)
        size = int(weight * scale)
        with open(directory / f"file-of-the-tree-{number}", "wb") as file:
            start = chance.randrange(1 << 19)
            while size > 0:
                size -= file.write(noise[start:start + min(size, 1 << 19)])


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options)


def settle():
    """What was written before is no part of what comes: nobody's sync waits for it."""
    os.sync()


def timed(action):
    settle()
    before = time.monotonic()
    action()
    return time.monotonic() - before


def pack(tree, output):
    run("tar", "--numeric-owner", "--sort=name", "-cf", output, "-C", tree, ".")


def by_writer(tar, output, memory):
    settle()
    seconds, kib = run(PROGRAM, tar, output).stdout.split()
    memory.append(int(kib))
    return float(seconds)


def by_pipe(tree, output):
    tar = subprocess.Popen(["tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
                            "--sort=name", "--blocking-factor=512", "-cf", "-", "-C", tree, "."],
                           stdout=subprocess.PIPE, pipesize=1 << 20)
    run(PROGRAM, "/dev/stdin", output, stdin=tar.stdout)
    tar.stdout.close()
    tar.wait()


def by_disk(image, output):
    run("dd", f"if={image}", f"of={output}", "bs=256K", "conv=fsync,sparse")


def empty(output, size, files):
    with open(output, "wb") as file:
        file.truncate(size)
    return ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E",
            "lazy_itable_init=1,nodiscard,root_owner=0:0", "-N", str(files + 20000)]


def by_mke2fs(tree, output, size, files):
    run(*empty(output, size, files), "-d", tree, output)
    run("sync", output)


def by_loop(tar, output, size, files, mount):
    run(*empty(output, size, files), output)
    run("mount", "-o", "loop", output, mount)
    try:
        run("tar", "--numeric-owner", "-xf", tar, "-C", mount)
    finally:
        run("umount", mount)
    run("sync", output)


def has_loop(directory):
    try:
        output = directory / "probe"
        run(*empty(output, 32 << 20, 0), output)
        (directory / "mount").mkdir(exist_ok=True)
        run("mount", "-o", "loop", output, directory / "mount")
        run("umount", directory / "mount")
        return True
    except (subprocess.CalledProcessError, OSError):
        return False


def bench(directory, name, files, megabytes):
    tree, tar, output = directory / name, directory / f"{name}.tar", directory / "out.ext4"
    tree.mkdir()
    make_tree(tree, files, megabytes, seed=7)
    pack(tree, tar)
    size = (megabytes * 11 // 10 + files // 100 + 400) << 20
    with_loop = has_loop(directory)
    times = {"writer": [], "tar|": [], "mke2fs": [], "loop": [], "disk": []}
    memory = []
    for _ in range(RUNS):  # alternating: what else the machine does hits all alike
        times["writer"].append(by_writer(tar, output, memory))
        copy = directory / "copy.ext4"
        times["disk"].append(timed(lambda: by_disk(output, copy)))
        copy.unlink()
        times["tar|"].append(timed(lambda: by_pipe(tree, output)))
        output.unlink()
        times["mke2fs"].append(timed(lambda: by_mke2fs(tree, output, size, files)))
        output.unlink()
        if with_loop:
            times["loop"].append(
                timed(lambda: by_loop(tar, output, size, files, directory / "mount")))
            output.unlink()
    best = statistics.median(times["writer"])
    print(f"{name}: {files} files, {megabytes} MB; writer's peak memory {max(memory) / 1024:.1f} MiB")
    for way, values in times.items():
        if values:
            middle = statistics.median(values)
            print(f"  {way:8} median {middle:7.2f} s   min {min(values):7.2f}   "
                  f"{middle / best:5.1f} x the writer", flush=True)
        else:
            print(f"  {way:8} not measured: no loop devices here")
    shutil.rmtree(tree)
    tar.unlink()


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        directory = pathlib.Path(directory)
        bench(directory, "mid", 13_500, 473)
        bench(directory, "large", 17_500, 1143)
        bench(directory, "many", 200_000, 200)


main()
