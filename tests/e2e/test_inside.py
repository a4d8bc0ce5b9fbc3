"""Images of Dockerfiles as people write them, booted and looked at from inside."""

import hashlib
import tarfile

import state
from builders import CAPABILITIES, MULTI_STAGE, SECRET, BuilderTest, is_possible, write
from harness import MvrunnerTest, main

RELEASE = """
ARG VERSION=1
FROM localhost/base:1
ARG VERSION
ENV APP_VERSION=$VERSION APP_HOME=/srv/app
WORKDIR $APP_HOME/releases
ADD release.tar.gz .
COPY conf.d/*.conf /etc/app/
SHELL ["/bin/sh", "-euc"]
RUN ln -s releases/r$VERSION ../current; chmod 0700 r$VERSION; rm -r r0
VOLUME /data
EXPOSE 8080
HEALTHCHECK CMD true
STOPSIGNAL SIGINT
"""


class Builds(BuilderTest):
    """Makes them; has no test of its own."""

    def build_all(self):
        sources = {"src/main.txt": "made\n", "src/run.sh": "#!/bin/sh\ncat /opt/app/out\n"}
        self.build("multi", self.context("multi", MULTI_STAGE, sources))
        self.build("caps", self.context("caps", CAPABILITIES))
        write(self.root / "token", "xyzzy")
        self.build("secret", self.context("secret", SECRET), "--secret",
                   f"id=token,src={self.root}/token", "--secret", "id=key,env=MVR_KEY",
                   environment={"MVR_KEY": "plugh"})
        files = {"conf.d/a.conf": "a\n", "conf.d/b.conf": "b\n", "conf.d/c.txt": "c\n",
                 "r0/old": "old\n", "r2/new": "new\n"}
        context = self.context("release", RELEASE, files)
        with tarfile.open(context / "release.tar.gz", "w:gz") as archive:
            for name in ("r0", "r2"):
                archive.add(context / name, name)
        self.build("release", context, "--build-arg", "VERSION=2")


class Inside(MvrunnerTest):
    @classmethod
    def setUpClass(cls):
        Builds.setUpClass()
        cls.addClassCleanup(Builds.doClassCleanups)
        Builds("build_all").build_all()

    def setUp(self):
        super().setUp()
        state.add_images(self.state, Builds.root / "state")

    def inside(self, image, script):
        """What a shell in a VM of this image says."""
        done = self.cli("run", "--image", image, "--", "sh", "-c", script)
        self.assertEqual(done.returncode, 0, f"{image}: {done.stdout}{done.stderr}")
        return done.stdout

    def test_what_the_dockerfiles_say_is_so_in_their_vms(self):
        self.start_daemon()
        self.assertEqual(self.inside("multi", "id -un; pwd; /opt/app/run.sh; ls -ln out run.sh | "
                                              "awk '{print $1, $3, $4, $9}'; ls -d /src 2>&1"
                                              " || true").splitlines(), [
            "app", "/opt/app", "made", "plain", "-rw-r--r-- 1001 1001 out",
            "-rwxr-xr-x 1001 1001 run.sh", "ls: /src: No such file or directory"])

        # An ordinary user gets what the file's capabilities give, and nothing else.
        said = self.inside("caps", "id -u; /bin/busybox-net grep CapEff /proc/self/status; "
                                   "grep CapEff /proc/self/status; stat -c '%a %u %g' /srv/team; "
                                   "stat -c '%a %h' /bin/su-link; test -p /srv/pipe; readlink /srv/link")
        self.assertEqual(said.replace("\t", " ").splitlines(), [
            "1001", "CapEff: 0000000000002400", "CapEff: 0000000000000000", "3770 4000 5000",
            "6755 2", "../srv/team/big"])

        digests = [hashlib.sha256(text).hexdigest() for text in (b"xyzzy", b"plugh")]
        said = self.inside("secret", "cut -d' ' -f1 /token.sha256 /key.sha256; env; ls /run /")
        self.assertEqual(said.splitlines()[:2], digests)
        self.assertNotIn("xyzzy", said)
        self.assertNotIn("plugh", said)

        said = self.inside("release", 'echo "$APP_VERSION $APP_HOME $PWD"; cat ../current/new; ls; '
                                      "ls /etc/app; stat -c %a ../current/")
        self.assertEqual(said.splitlines(), [
            "2 /srv/app /srv/app/releases", "new", "r2", "a.conf", "b.conf", "700"])

        # The image we ship, a Debian: set-user-id programs work, and names are resolved.
        said = self.inside("debian-12", "id -un; sudo id -u; getent hosts github.test; echo $ImageOS")
        self.assertEqual(said.splitlines()[:2], ["runner", "0"])
        self.assertIn("198.51.100.10", said)
        self.assertTrue(said.endswith("debian12\n"), said)
        self.check_nothing_left()


if __name__ == "__main__":
    if not is_possible():
        print("skipped: root, buildah, debugfs and busybox-static are needed")
        raise SystemExit(77)
    main()
