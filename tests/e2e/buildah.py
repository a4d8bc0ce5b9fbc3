"""A real buildah for tests: Dockerfiles as people write them, and a base image for them.

Everything is below one directory: contexts, the state, buildah's storage.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
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


class BuildahTest(unittest.TestCase):
    """Base of what builds: localhost/base:1 and an empty state, made once for a class."""

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="mvr-images-", dir="/var/tmp"))
        cls.root.chmod(0o755)
        cls.addClassCleanup(cls._remove)
        write(cls.root / "storage.conf", STORAGE.format(cls.root))
        cls.registry = f"localhost:{cls._free_port()}"
        write(cls.root / "registries.conf",
              f'[[registry]]\nlocation = "{cls.registry}"\ninsecure = true\n')
        cls.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(cls.root / "storage.conf"),
                           "CONTAINERS_REGISTRIES_CONF": str(cls.root / "registries.conf")}
        write(cls.root / "mvrunner.yaml", json.dumps(
            {"state_dir": str(cls.root / "state"), "profiles": [{"name": "small", "labels": ["small"]}]}))
        base = cls.root / "base"
        (base / "bin").mkdir(parents=True)
        shutil.copy2(BUSYBOX, base / "bin/busybox")
        add_program(base, shutil.which("setcap"))
        write(cls.root / "base.Dockerfile", BASE)
        # As on any host where the OCI runtime does not work: in a container, with odd cgroups.
        cls._buildah("bud", "--isolation", "chroot", "--layers", "-t", "localhost/base:1", "-f",
                     cls.root / "base.Dockerfile", base)

    @classmethod
    def _remove(cls):
        subprocess.run(["buildah", "rm", "--all"], env=cls.environment, capture_output=True)
        subprocess.run(["buildah", "rmi", "--all", "--force"], env=cls.environment,
                       capture_output=True)
        subprocess.run(["umount", cls.root / "store/overlay"], capture_output=True)
        shutil.rmtree(cls.root, ignore_errors=True)

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @classmethod
    def _buildah(cls, *arguments):
        done = subprocess.run(["buildah", *arguments], env=cls.environment, capture_output=True,
                              text=True, timeout=LIMIT)
        if done.returncode:
            raise AssertionError(f"buildah {arguments}: {done.stdout} {done.stderr}")
        return done.stdout

    # ---- one build -------------------------------------------------------------------------------

    def context(self, name, dockerfile, files=None):
        directory = self.root / "contexts" / name
        shutil.rmtree(directory, ignore_errors=True)
        write(directory / "Dockerfile", dockerfile)
        for path, text in (files or {}).items():
            write(directory / path, text, 0o755 if path.endswith(".sh") else 0o644)
        return directory

    def verb(self):
        return [MVRUNNER, "--config", self.root / "mvrunner.yaml", "image", "build", "--builder",
                "buildah", "--no-smoke"]

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
        self.assertEqual(self._buildah("containers", "--quiet"), "")
        images = self.root / "state/images"
        left = [path.name for path in images.iterdir() if path.name.startswith(".work")]
        self.assertEqual(left, [])
