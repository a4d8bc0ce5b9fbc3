"""Real builders for tests: buildah, podman, docker; Dockerfiles as people write them, and a base image for them.

Everything is below one directory: contexts, the state, the builder's storage.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MVRUNNER = pathlib.Path(os.environ.get("MVRUNNER", SOURCE / "build/dev/src/mvrunner"))
BUSYBOX = "/bin/busybox"
STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{0}/store"\nrunroot = "{0}/run"\n'
LIMIT = 900  # seconds for one build on a busy machine
BASE = """
FROM scratch
COPY . /
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /etc /tmp /root && chmod 1777 /tmp && \\
    echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd && echo 'root:x:0:' > /etc/group
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin
CMD ["/bin/sh"]
"""

MULTI_STAGE = """
# What most Dockerfiles look like: a version, a stage that makes, a stage that ships.
ARG VERSION=1
ARG BASE=localhost/base:${VERSION}
FROM ${BASE} AS build
ARG FLAVOUR=plain
WORKDIR /src
COPY src/ .
# A comment in between.
RUN cat main.txt \\
    # and one in the middle of a command

    > /src/out && \\
    echo "$FLAVOUR" >> /src/out

FROM ${BASE}
RUN echo 'app:x:1001:1001::/opt/app:/bin/sh' >> /etc/passwd && echo 'app:x:1001:' >> /etc/group
COPY --from=build --chown=1001:1001 /src/out /opt/app/out
COPY --chown=app:app src/run.sh /opt/app/run.sh
LABEL org.example.name="multi stage"
USER app
WORKDIR /opt/app
ENTRYPOINT ["/opt/app/run.sh"]
"""

CAPABILITIES = """
FROM localhost/base:1
RUN echo 'app:x:1001:1001::/tmp:/bin/sh' >> /etc/passwd && echo 'app:x:1001:' >> /etc/group
RUN cp /bin/busybox /bin/busybox-net && setcap cap_net_raw,cap_net_bind_service+ep /bin/busybox-net
RUN cp /bin/busybox /bin/su-tool && chmod 6755 /bin/su-tool && ln /bin/su-tool /bin/su-link
RUN mkdir -p /srv/team && chown 4000:5000 /srv/team && chmod 3770 /srv/team && \\
    echo big > /srv/team/big && chown 30000:60000 /srv/team/big && \\
    ln -s ../srv/team/big /srv/link && mkfifo /srv/pipe
USER app
"""

SECRET = """
FROM localhost/base:1
SHELL ["/bin/sh", "-ec"]
RUN --mount=type=secret,id=token sha256sum < /run/secrets/token > /token.sha256
RUN --mount=type=secret,id=key,target=/key sha256sum < /key > /key.sha256
RUN test ! -s /run/secrets/token && test ! -s /key
"""


def has(*programs):
    return all(shutil.which(program) for program in programs)


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def add_program(root, program):
    """Copies a program of this host with its libraries."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for name in [program, *re.findall(r"(/\S+) \(0x", listed)]:
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(name), target)


def debugfs(image, request):
    return subprocess.run(["debugfs", "-R", request, image], capture_output=True, text=True,
                          check=True).stdout


def facts(image, path):
    """(mode, owner, group, links) and the names of the attributes."""
    text = debugfs(image, f'stat "{path}"')
    found = re.search(r"Mode: +(\d+).*?User: +(\d+) +Group: +(\d+).*?Links: (\d+)", text, re.S)
    if not found:
        raise AssertionError(f"{path}: {text}")
    mode, user, group, links = found.groups()
    return mode, int(user), int(group), int(links), re.findall(r"^  ([a-z_.]+) \(", text, re.M)


def is_possible():
    return os.geteuid() == 0 and has("buildah", "debugfs") and os.path.exists(BUSYBOX)


def unpacked(*packages):
    """Directories with the programs of Debian's packages: installed they would run daemons on the host, and be
    what `--builder auto` takes in all tests."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "mvrunner"
    target = cache / f"programs-{packages[0]}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "programs.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix="programs.new-", dir=cache) as work:
                subprocess.run(["apt-get", "-q", "download", *packages], cwd=work, check=True,
                               capture_output=True)
                for package in pathlib.Path(work).glob("*.deb"):
                    subprocess.run(["dpkg", "-x", package, f"{work}/root"], check=True)
                os.rename(f"{work}/root", target)
    return target


class Buildah:
    """How a test speaks to buildah itself."""

    name = "buildah"
    building = {"bud", "from", "mount"}  # verbs that only a build needs
    step = "STEP"  # how it begins to say which one it is at
    knows_heredocs = "1.33"  # from this version on
    prefix = ()  # where everything runs that speaks to it
    # As on any host where the OCI runtime does not work: in a container, with odd cgroups.
    build_verb = ("bud", "--isolation", "chroot", "--layers")
    keeps_bases = True  # those it pulls for a build are images like others
    _containers = ("containers", "--quiet")
    _force = ()
    _program, _packages = name, ()  # unpacked where the host has none

    def __init__(self, root):
        self.root = root
        write(root / "storage.conf", STORAGE.format(root))
        self.programs = None if shutil.which(self._program) else unpacked(*self._packages)
        self.environment = {**os.environ, "PATH": self.path(self.programs) + os.environ["PATH"],
                            "CONTAINERS_STORAGE_CONF": str(root / "storage.conf"), "HOME": str(root)}

    @staticmethod
    def path(programs):
        return f"{programs}/usr/bin:{programs}/usr/sbin:" if programs else ""

    def start(self):
        pass

    def stop(self):
        for verb in (["rm", "--all"], ["rmi", "--all", "--force"]):
            subprocess.run([self.name, *verb], env=self.environment, capture_output=True)
        subprocess.run(["umount", self.root / "store/overlay"], capture_output=True)

    def __call__(self, *arguments):
        done = subprocess.run([*self.prefix, self.name, *arguments], env=self.environment,
                              capture_output=True, text=True, timeout=LIMIT)
        if done.returncode:
            raise AssertionError(f"{self.name} {arguments}: {done.stdout} {done.stderr}")
        return done.stdout

    def version(self):
        return self("--version").split()[2]

    def build(self, tag, dockerfile, context):
        self(*self.build_verb, "-t", tag, "-f", dockerfile, context)

    def push(self, image, reference):
        self("push", image, f"docker://{reference}")

    def forget(self, image):
        self("rmi", "--force", image)

    def containers(self):
        return self(*self._containers)

    def remove_containers(self):
        end = time.monotonic() + 30
        while left := self.containers().split():
            subprocess.run([self.name, "rm", *self._force, *left], env=self.environment, capture_output=True)
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} keeps {left}")


class Podman(Buildah):
    name = "podman"
    building = {"build", "create", "mount"}
    knows_heredocs = "4.8"
    _program, _packages = name, ("podman", "conmon")
    build_verb = ("build", "--isolation", "chroot", "--layers")
    _containers = ("ps", "--all", "--external", "--quiet")
    _force = ("--force",)

    def start(self):
        # Wherever its storage is, these are here.
        self.traces = [path for path in (pathlib.Path("/dev/shm/libpod_lock"), pathlib.Path("/run/libpod"))
                       if not path.exists()]

    def stop(self):
        super().stop()
        for path in self.traces:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class Docker(Buildah):
    """With an engine of its own, in a network namespace of its own: it would change the host's firewall."""

    name = "docker"
    building = {"build"}
    step = "#"
    knows_heredocs = "23.0"
    keeps_bases = False
    build_verb = ("build",)
    _containers = ("ps", "--all", "--quiet")
    _program, _packages = "dockerd", ("docker.io", "containerd", "runc", "tini")

    def __init__(self, root):
        super().__init__(root)
        self.namespace = f"mvr-docker-{os.getpid()}"
        self.cgroup = self.namespace
        self.prefix = ("nsenter", f"--net=/run/netns/{self.namespace}")
        self.environment |= {"DOCKER_HOST": f"unix://{root}/docker.sock", "DOCKER_BUILDKIT": "1",
                             "DOCKER_CONFIG": str(root / "docker-config")}
        self.engine = None

    def start(self):
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"], check=True)
        self.log = open(self.root / "dockerd.log", "w")
        # ip-netns-exec would hide the cgroups.
        self.engine = subprocess.Popen(
            [*self.prefix, "dockerd", "--data-root", self.root / "docker", "--exec-root",
             self.root / "docker-run", "--pidfile", self.root / "docker.pid", "--cgroup-parent", self.cgroup,
             "--iptables=false", "--ip-forward=false", "-H", self.environment["DOCKER_HOST"]],
            env=self.environment, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while subprocess.run(["docker", "info"], env=self.environment, capture_output=True).returncode:
            if self.engine.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"dockerd: {(self.root / 'dockerd.log').read_text()}")
            time.sleep(0.2)

    def stop(self):
        if self.engine:
            self.engine.terminate()
            try:
                self.engine.wait(60)
            except subprocess.TimeoutExpired:
                self.engine.kill()
                self.engine.wait()
            self.log.close()
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)
        for directory in sorted(pathlib.Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}/**"), reverse=True):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def version(self):
        return self("version", "--format", "{{.Server.Version}}").strip()

    def push(self, image, reference):
        self("tag", image, reference)
        self("push", reference)


class BuilderTest(unittest.TestCase):
    """Base of what builds: localhost/base:1 and an empty state, made once for a class."""

    driver = Buildah

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="mvr-images-", dir="/var/tmp"))
        cls.root.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.builder = cls.driver(cls.root)
        cls.addClassCleanup(cls.builder.stop)
        cls.builder.start()
        cls.environment = cls.builder.environment
        cls.registry = f"localhost:{cls._free_port()}"
        write(cls.root / ".config/containers/registries.conf",  # skopeo looks nowhere else
              f'[[registry]]\nlocation = "{cls.registry}"\ninsecure = true\n')
        write(cls.root / "mvrunner.yaml", json.dumps(
            {"state_dir": str(cls.root / "state"), "profiles": [{"name": "small", "labels": ["small"]}]}))
        base = cls.root / "base"
        (base / "bin").mkdir(parents=True)
        shutil.copy2(BUSYBOX, base / "bin/busybox")
        add_program(base, shutil.which("setcap"))
        write(cls.root / "base.Dockerfile", BASE)
        cls.builder.build("localhost/base:1", cls.root / "base.Dockerfile", base)

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    # ---- one build -------------------------------------------------------------------------------

    def context(self, name, dockerfile, files=None):
        directory = self.root / "contexts" / name
        shutil.rmtree(directory, ignore_errors=True)
        write(directory / "Dockerfile", dockerfile)
        for path, text in (files or {}).items():
            write(directory / path, text, 0o755 if path.endswith(".sh") else 0o644)
        return directory

    def verb(self):
        return [*self.builder.prefix, MVRUNNER, "--config", self.root / "mvrunner.yaml", "image", "build",
                "--builder", self.builder.name, "--no-smoke"]

    def command(self, name, context, *options):
        return [*self.verb(), "-t", name, *options, context]

    def run_build(self, name, context, *options, environment=None):
        return subprocess.run(self.command(name, context, *options), capture_output=True, text=True,
                              timeout=LIMIT, env={**self.environment, **(environment or {})},
                              stdin=subprocess.DEVNULL)

    def build(self, name, context, *options, environment=None):
        """Builds; returns the manifest and the image's file."""
        done = self.run_build(name, context, *options, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.said = done.stderr
        manifest = self.manifest(name)
        place = self.root / "state/images" / manifest["id"].replace(":", "-") / "rootfs.ext4"
        check = subprocess.run(["e2fsck", "-fn", place], capture_output=True, text=True)
        self.assertEqual(check.returncode, 0, check.stdout)
        return manifest, place

    def manifest(self, name):
        shown = subprocess.run([MVRUNNER, "--config", self.root / "mvrunner.yaml", "image",
                                "inspect", name], capture_output=True, text=True, check=True)
        return json.loads(shown.stdout)

    def check_nothing_left(self):
        self.assertEqual(self.builder.containers(), "")
        images = self.root / "state/images"
        left = [path.name for path in images.iterdir() if path.name.startswith(".work")]
        self.assertEqual(left, [])
