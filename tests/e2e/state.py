"""The prepared state directory the end-to-end tests start from: an image, a kernel and the
stand-in runner, made once by mvrunner itself and kept in a cache outside the tree.

Run as a program it prepares the cache (a ctest fixture).
"""

import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MVRUNNER = pathlib.Path(os.environ.get("MVRUNNER", SOURCE / "build/dev/src/mvrunner"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "mvrunner"
IMAGES = SOURCE / "images"
IMAGE = IMAGES / "debian-12"
IMAGE_CODE = list((SOURCE / "src/image").glob("*.cc"))
RUNNER = SOURCE / "tests/fakes/runner"
STORES = ["images", "kernels", "runners"]
CACHES = ["accel", "initramfs"]  # what a daemon works out at its first start; content-addressed


def _digest(files):
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        digest.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def directory():
    files = [IMAGE / "Dockerfile", IMAGE / "rootfs", *IMAGE_CODE]
    return CACHE / f"e2e-{_digest(files)}"


def runner_name():
    return f"stand-in-{_digest(RUNNER.rglob('*'))}"


def prepare():
    """Makes what is missing of the cache; returns its directory."""
    target = directory()
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "e2e.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix="e2e.new-", dir=CACHE) as work:
                _fill(pathlib.Path(work) / "state")
                for old in CACHE.glob("e2e-*"):
                    shutil.rmtree(old)  # of an older tree
                os.rename(pathlib.Path(work) / "state", target)
        if not (target / "runners" / runner_name()).exists():
            shutil.rmtree(target / "runners", ignore_errors=True)
            _mvrunner(target, "runner", "install", runner_name(), RUNNER)
    return target


def _fill(state):
    state.mkdir()
    if not (IMAGE / "rootfs.tar").exists():
        subprocess.run([IMAGE / "rootfs"], check=True)
    _mvrunner(state, "kernel", "install")
    _mvrunner(state, "image", "build", "--no-smoke", "-t", "debian-12", IMAGE)


def add_engine(state):
    """Adds the image debian-12-docker to a test's state directory; made once, as the others."""
    parts = [*(IMAGES / "shared").iterdir(), *(IMAGES / "debian-12-docker").iterdir()]
    target = CACHE / f"engine-{_digest([IMAGE / 'rootfs', *parts, *IMAGE_CODE])}"
    with open(CACHE / "e2e.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix="engine.new-", dir=CACHE) as work:
                made = pathlib.Path(work) / "state"
                made.mkdir()
                if not (IMAGE / "rootfs.tar").exists():
                    subprocess.run([IMAGE / "rootfs"], check=True)
                _mvrunner(made, "image", "build", "--no-smoke", "-t", "debian-12-docker", "-f",
                          IMAGES / "debian-12-docker/Dockerfile", IMAGES)
                for old in CACHE.glob("engine-*"):
                    shutil.rmtree(old)
                os.rename(made, target)
    add_images(state, target)


def add_images(state, other):
    """Adds all images of another state directory."""
    shutil.copytree(other / "images", state / "images", copy_function=_link, symlinks=True,
                    dirs_exist_ok=True)


def own_kernel():
    """The directory of the kernel of kernel/build, which keeps what it has built."""
    built = subprocess.run([SOURCE / "kernel/build"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(built.stdout.strip())


def add_own_kernel(state):
    """Adds that kernel to a state directory; returns its name."""
    directory = own_kernel()
    _mvrunner(state, "kernel", "install", "--dir", directory)
    return (directory / "release").read_text().strip()


def _mvrunner(state, *arguments):
    profile = {"name": "small", "labels": ["mv-small"]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        json.dump({"state_dir": str(state), "profiles": [profile]}, config)
        config.flush()
        subprocess.run([MVRUNNER, "--config", config.name, *arguments], check=True)


def copy_into(state):
    """Fills a test's state directory with hard links to the cache."""
    source = prepare()
    state.mkdir(mode=0o755)
    for name in STORES + CACHES:
        if (source / name).exists():
            # Tags are links within the store.
            shutil.copytree(source / name, state / name, symlinks=True, copy_function=_link)


def own_image(state):
    """Makes the image a file of its own: what is a link is in use wherever another test uses it."""
    rootfs = state / "images/tags/debian-12/rootfs.ext4"
    copy = state / "copy.ext4"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", "-p", rootfs, copy], check=True)
    copy.replace(rootfs)


def add_image(state, tag, rootfs):
    """Puts an image of these bytes, or of a file, into a state directory; returns its directory."""
    if isinstance(rootfs, bytes):
        source = state / "new.ext4"
        source.write_bytes(rootfs)
        return add_image(state, tag, source)
    with open(rootfs, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (like,) = [path.read_text() for path in (state / "images/tags/debian-12").glob("*.json")]
    manifest = {**json.loads(like), "name": tag, "digest": f"sha256:{digest}",
                "size": rootfs.stat().st_size}
    keys = ["schema", "digest", "size", "architecture", "env", "user", "workdir", "entrypoint",
            "command", "labels"]
    text = json.dumps({key: manifest[key] for key in keys}, separators=(",", ":"),
                      ensure_ascii=False)
    manifest["id"] = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    place = state / "images" / manifest["id"].replace(":", "-")
    place.mkdir()
    rootfs.rename(place / "rootfs.ext4")
    (place / "manifest.json").write_text(json.dumps(manifest))
    (state / "images/tags" / tag).symlink_to(f"../{place.name}")
    return place


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        command = ["cp", "--sparse=always", "--reflink=auto", "-p", source, target]
        subprocess.run(command, check=True)


def keep_caches(state):
    """Keeps what a test's daemon worked out for the tests after it."""
    target = directory()
    for name in CACHES:
        for path in (state / name).glob("*") if target.exists() else []:
            kept = target / name / path.name
            if path.is_file() and not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                shutil.copy2(path, kept)


@functools.cache
def openapi_description():
    """GitHub's published description cut to what we use, or None where npm is missing."""
    if not shutil.which("npm"):
        return None
    script = SOURCE / "tests/contract/prepare.sh"
    done = subprocess.run([script], capture_output=True, text=True)
    if done.returncode:
        print(f"GitHub's description is not available: {done.stderr}", file=sys.stderr)
        return None
    return done.stdout.strip()


def promtool():
    """Prometheus' own checker."""
    return unpacked("prometheus", "usr/bin/promtool")


def unpacked(package, program):
    """A program out of a Debian package, which is unpacked and not installed."""
    target = CACHE / pathlib.Path(program).name
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="package.", dir=CACHE) as work:
            subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True)
            (file,) = pathlib.Path(work).glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", file, "all"], cwd=work, check=True)
            os.rename(f"{work}/all/{program}", target)
    return target


if __name__ == "__main__":
    print(prepare())
