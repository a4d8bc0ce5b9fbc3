"""`mvrunner image build` with real builders: Dockerfiles as people write them, a registry on loopback, an
unprivileged user. No VM: what is in the filesystem is read with debugfs.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

from builders import (BASE, CAPABILITIES, LIMIT, MULTI_STAGE, MVRUNNER, SECRET, STORAGE, BuilderTest, Docker,
                      Podman, debugfs, facts, has, is_possible, write)


class AnyBuilder:
    """What is the same with each of them."""

    # ---- Dockerfiles as people write them --------------------------------------------------------

    def test_multi_stage_with_arguments_owners_and_a_user(self):
        context = self.context("multi", MULTI_STAGE, {
            "src/main.txt": "made\n", "src/run.sh": "#!/bin/sh\ncat /opt/app/out\n",
            "src/big.tmp": "not this", ".dockerignore": "**/*.tmp\n"})
        manifest, image = self.build("multi", context, "--build-arg", "FLAVOUR=strawberry")
        self.assertEqual(debugfs(image, "cat /opt/app/out"), "made\nstrawberry\n")
        self.assertEqual(facts(image, "/opt/app/out")[1:3], (1001, 1001))
        self.assertEqual(facts(image, "/opt/app/run.sh")[:3], ("0755", 1001, 1001))
        self.assertNotIn("big.tmp", debugfs(image, "ls /opt/app"))
        self.assertEqual(manifest["user"], "app")
        self.assertEqual(manifest["workdir"], "/opt/app")
        self.assertEqual(manifest["entrypoint"], ["/opt/app/run.sh"])
        self.assertEqual(manifest["labels"]["org.example.name"], "multi stage")
        (base,) = manifest["bases"]
        self.assertRegex(base, r"^localhost/base:1@sha256:[0-9a-f]{64}$")
        self.assertIn(self.builder.step, self.said)
        self.check_nothing_left()

        # Nothing changed, under another name: found by the key. What stands before the builder proves that
        # no build is begun.
        with self.watched_builder() as (environment, calls):
            again, _ = self.build("multi-again", context, "--build-arg", "FLAVOUR=strawberry",
                                  environment=environment)
        self.assertEqual(again["id"], manifest["id"])
        self.assertIn("nothing changed", self.said)
        self.assertIn("inspect", calls())
        self.assertFalse(self.builder.building & set(calls()), calls())
        # Times do not count, contents do.
        os.utime(context / "src/main.txt", (1, 1))
        write(context / "src/big.tmp", "ignored")
        self.build("multi-again", context, "--build-arg", "FLAVOUR=strawberry")
        self.assertIn("nothing changed", self.said)
        write(context / "src/main.txt", "other\n")
        _, image = self.build("multi", context, "--build-arg", "FLAVOUR=strawberry")
        self.assertEqual(debugfs(image, "cat /opt/app/out"), "other\nstrawberry\n")

        # Named in the configuration it needs no more words.
        with self.configured(name="multi", context=str(context), target="build",
                             build_args={"FLAVOUR": "lemon"}):
            done = subprocess.run([*self.verb(), "multi"], capture_output=True, text=True,
                                  env=self.environment, timeout=LIMIT)
            self.assertEqual(done.returncode, 0, done.stderr)
            place = self.root / "state/images" / self.manifest("multi")["id"].replace(":", "-")
            self.assertEqual(debugfs(place / "rootfs.ext4", "cat /src/out"), "other\nlemon\n")
            done = subprocess.run([*self.verb(), str(context)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn("is not in `images` of the configuration", done.stderr)

        # A stage alone; what it lacks of the rest is not there.
        stage, image = self.build("stage", context, "--target", "build")
        self.assertEqual(debugfs(image, "cat /src/out"), "other\nplain\n")
        self.assertEqual(stage["user"], "")

    @contextlib.contextmanager
    def configured(self, **recipe):
        """With an image in the configuration."""
        path = self.root / "mvrunner.yaml"
        text = path.read_text()
        path.write_text(json.dumps({**json.loads(text), "images": [recipe]}))
        yield
        path.write_text(text)

    @contextlib.contextmanager
    def watched_builder(self):
        """With a program in front of the builder that writes down its verbs."""
        log = self.root / "verbs"
        log.unlink(missing_ok=True)
        name, path = self.builder.name, self.environment["PATH"]
        write(self.root / "watch" / name,
              f'#!/bin/sh\necho "$@" >> {log}\nexec {shutil.which(name, path=path)} "$@"\n', 0o755)
        yield {"PATH": f"{self.root}/watch:{path}"}, lambda: log.read_text().split()

    def check_capabilities(self, image):
        self.assertEqual(facts(image, "/bin/busybox-net")[4], ["security.capability"])
        self.assertEqual(facts(image, "/bin/su-tool")[:4], ("06755", 0, 0, 2))
        self.assertEqual(facts(image, "/srv/team")[:3], ("03770", 4000, 5000))
        self.assertEqual(facts(image, "/srv/team/big")[1:3], (30000, 60000))
        self.assertIn('Fast link dest: "../srv/team/big"', debugfs(image, "stat /srv/link"))
        self.assertIn("Type: FIFO", debugfs(image, "stat /srv/pipe"))
        value = debugfs(image, "ea_get /bin/busybox-net security.capability")
        return [facts(image, path) for path in ("/bin/busybox-net", "/bin/su-link", "/srv", "/etc")], value

    def test_capabilities_links_and_modes(self):
        _, image = self.build("caps", self.context("caps", CAPABILITIES))
        self.check_capabilities(image)

    def test_secrets_reach_the_step_and_nothing_else(self):
        value = "xyzzy-" + os.urandom(8).hex()
        write(self.root / "token", value)
        options = ["--secret", f"id=token,src={self.root}/token", "--secret", "id=key,env=MVR_KEY"]
        manifest, image = self.build("secret", self.context("secret", SECRET), *options,
                                     environment={"MVR_KEY": value})
        digest = subprocess.run(["sha256sum", self.root / "token"], capture_output=True, text=True,
                                check=True).stdout.split()[0]
        self.assertIn(digest, debugfs(image, "cat /token.sha256"))
        self.assertIn(digest, debugfs(image, "cat /key.sha256"))
        self.assertNotIn(value, self.said + json.dumps(manifest))
        found = subprocess.run(["grep", "-c", value, image], capture_output=True, text=True)
        self.assertEqual(found.stdout, "0\n")

    # ---- what does not work ----------------------------------------------------------------------

    def test_a_failing_step_is_named_and_the_former_image_stays(self):
        context = self.context("broken", "FROM localhost/base:1\nRUN echo fine\n")
        manifest, _ = self.build("broken", context)
        write(context / "Dockerfile",
              "FROM localhost/base:1\nRUN echo fine\n\nRUN echo before; \\\n    exit 7\n")
        done = self.run_build("broken", context)
        self.assertEqual(done.returncode, 1)
        self.assertIn('Dockerfile line 4, step 3/3 "RUN echo before; exit 7": exit code 7',
                      done.stderr)
        self.assertEqual(self.manifest("broken")["id"], manifest["id"])
        self.check_nothing_left()

    def test_a_build_that_is_stopped_takes_its_builder_with_it(self):
        context = self.context("slow", "FROM localhost/base:1\nRUN echo begun; sleep 987\n")
        process = subprocess.Popen(self.command("slow", context), stderr=subprocess.PIPE, text=True,
                                   stdout=subprocess.DEVNULL, env=self.environment)
        self.addCleanup(process.kill)
        for line in process.stderr:
            if line.endswith("begun\n"):
                break
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("stopped", said)
        end = time.monotonic() + 30
        while self._sleeps() and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual(self._sleeps(), [])
        self.assertEqual([path for path in (self.root / "state/images").glob(".work*")], [])
        self.builder.remove_containers()  # what it worked in stays with some versions, or goes late

    @staticmethod
    def _sleeps():
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if entry.read_bytes().split(b"\0")[-3:-1] == [b"sleep", b"987"]:
                    found.append(entry)
        return found

    def test_a_heredoc_is_refused_by_name_on_a_builder_that_is_too_old(self):
        version, needed = self.builder.version(), self.builder.knows_heredocs
        if [int(part) for part in version.split(".")[:2]] >= [int(part) for part in needed.split(".")]:
            self.skipTest(f"{self.builder.name} {version} knows heredocs")
        context = self.context("heredoc", "FROM localhost/base:1\n\nRUN <<EOF\ntrue\nEOF\n")
        done = self.run_build("heredoc", context)
        self.assertEqual(done.returncode, 4)
        self.assertIn(f"Dockerfile line 3: RUN with a heredoc needs {self.builder.name} {needed} or newer",
                      done.stderr)
        self.assertNotIn(self.builder.step, done.stderr)

    # ---- a registry ------------------------------------------------------------------------------

    @unittest.skipUnless(has("docker-registry", "skopeo"), "needs docker-registry and skopeo")
    def test_a_base_from_a_registry_and_its_next_version(self):
        write(self.root / "registry.yml", json.dumps({
            "version": 0.1, "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.root / "registry")}},
            "http": {"addr": self.registry.replace("localhost", "127.0.0.1")}}))
        registry = subprocess.Popen([*self.builder.prefix, "docker-registry", "serve",
                                     self.root / "registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(registry.wait)
        self.addCleanup(registry.terminate)
        self._wait_for_registry()
        base = f"{self.registry}/base:1"
        self.builder.push("localhost/base:1", base)
        context = self.context("pulled", f"FROM {base}\nRUN echo one > /made\n")
        first, image = self.build("pulled", context, "--pull")
        self.assertEqual(debugfs(image, "cat /made"), "one\n")
        self.assertEqual(first["bases"][0].split("@")[0], base)
        self.build("pulled", context, "--pull")
        self.assertIn("nothing changed", self.said)

        # A newer base under the same name is taken with --pull alone.
        write(self.root / "base.Dockerfile", BASE + "ENV NEWER=1\n")
        self.builder.build("localhost/base:2", self.root / "base.Dockerfile", self.root / "base")
        self.builder.push("localhost/base:2", base)
        self.builder.forget(base)
        second, _ = self.build("pulled", context, "--pull")
        self.assertIn("NEWER=1", second["env"])
        self.assertNotEqual(second["key"], first["key"])

        registry.terminate()
        registry.wait()
        if not self.builder.keeps_bases:
            done = self.run_build("pulled", context, "--pull")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"load metadata for {base}", done.stderr)
            self.assertEqual(self.manifest("pulled")["id"], second["id"])
            return
        # Without the registry, what the builder has is the base.
        self.build("pulled", context, "--pull")
        self.assertIn("nothing changed", self.said)
        self.assertIn("taking it for what the builder has", self.said)

    def _wait_for_registry(self):
        end = time.monotonic() + 60
        probe = [*self.builder.prefix, "curl", "-s", "-o", "/dev/null", f"http://{self.registry}/v2/"]
        while subprocess.run(probe).returncode:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)


class WithoutRoot:
    @unittest.skipUnless(has("newuidmap", "unshare", "setpriv"), "needs uidmap")
    def test_an_unprivileged_user_gets_the_same(self):
        _, image = self.build("caps-of-root", self.context("caps-of-root", CAPABILITIES))
        self.assertEqual(self.check_capabilities(self.build_rootless()), self.check_capabilities(image))

    def build_rootless(self):
        """Builds the same as a user that exists in a mount namespace of its own only."""
        uid, home, name = 64321, self.root / "home", self.builder.name
        for file, line in (("passwd", f"mvrtest:x:{uid}:{uid}::{home}:/bin/sh"),
                           ("group", f"mvrtest:x:{uid}:"), ("subuid", "mvrtest:700000:65536"),
                           ("subgid", "mvrtest:700000:65536")):
            write(self.root / "etc" / file, pathlib.Path("/etc", file).read_text() + line + "\n")
        write(home / "base.Dockerfile", BASE)
        write(home / "caps/Dockerfile", CAPABILITIES)
        shutil.copytree(self.root / "base", home / "base")
        write(home / "storage.conf", STORAGE.format(home))
        write(home / "mvrunner.yaml", json.dumps(
            {"state_dir": f"{home}/state", "profiles": [{"name": "small", "labels": ["small"]}]}))
        for path in [home, *home.rglob("*")]:
            os.lchown(path, uid, uid)
        script = f"""
        set -e
        for file in passwd group subuid subgid; do
          mount --bind {self.root}/etc/$file /etc/$file
        done
        mount -t tmpfs none /tmp
        mount -t tmpfs none /dev/shm
        mkdir {self.root}/programs
        mount --bind {self.builder.programs or self.root} {self.root}/programs
        cd {home}
        exec setpriv --reuid {uid} --regid {uid} --clear-groups env -i \
          PATH={self.builder.path(self.root / 'programs')}/usr/sbin:/usr/bin:/sbin:/bin \
          HOME={home} USER=mvrtest XDG_RUNTIME_DIR={home} \
          CONTAINERS_STORAGE_CONF={home}/storage.conf sh -ec '
          {name} {" ".join(self.builder.build_verb)} -t localhost/base:1 -f base.Dockerfile base
          {MVRUNNER} --config mvrunner.yaml image build --builder {name} --no-smoke -t caps caps
          {name} rmi --all --force >&2'
        """
        # In a process namespace: podman leaves one that keeps its user namespace.
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        done = subprocess.run([*own, "sh", "-c", script], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        (image,) = home.glob("state/images/sha256-*/rootfs.ext4")
        return image


class WithBuildah(AnyBuilder, WithoutRoot, BuilderTest):
    def test_what_cannot_work_is_refused_before_the_builder_starts(self):
        context = self.context("refused", "FROM localhost/base:1\n")
        for options, text in (
                (["--platform", "linux/s390x"], "this host boots linux/"),
                (["--secret", "id=a,src=/no/such/file"], "there is no file /no/such/file"),
                (["--target", "nope"], 'no stage "nope"')):
            done = self.run_build("refused", context, *options)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)
        write(self.root / "vfs.conf", STORAGE.format(self.root / "vfs").replace("overlay", "vfs"))
        vfs = {"CONTAINERS_STORAGE_CONF": str(self.root / "vfs.conf")}
        done = self.run_build("refused", context, environment=vfs)
        self.assertIn('set driver = "overlay"', done.stderr)


class WithPodman(AnyBuilder, WithoutRoot, BuilderTest):
    driver = Podman


class WithDocker(AnyBuilder, BuilderTest):
    driver = Docker

    def test_a_build_of_the_engine_is_the_first_choice(self):
        context = self.context("chosen", "FROM localhost/base:1\n")
        command = [word if word != "docker" else "auto" for word in self.command("chosen", context)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(self.manifest("chosen")["builder"], r"^docker \d")


if __name__ == "__main__":
    if not is_possible():
        print("skipped: root, buildah, debugfs and busybox-static are needed")
        sys.exit(77)
    unittest.main(verbosity=2)
