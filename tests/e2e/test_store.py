"""Images in use: the canary before a tag moves, rollback, prune, export to another host."""

import json
import pathlib
import shutil
import subprocess
import tempfile

import state
from harness import INTERNET, MvrunnerTest, main


class Store(MvrunnerTest):
    def image(self, *arguments):
        done = self.cli("image", *arguments, limit=900)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def images(self):
        return json.loads(self.image("ls", "-o", "json"))

    def id_of(self, ref):
        return json.loads(self.image("inspect", ref))["id"]

    def changed_image(self, name, *commands):
        """The debian-12 image after debugfs did this to it, as a file that import takes."""
        with tempfile.TemporaryDirectory(dir=self.root) as work:
            rootfs = pathlib.Path(work, "rootfs.ext4")
            original = self.state / "images/tags/debian-12/rootfs.ext4"
            subprocess.run(["cp", "--sparse=always", original, rootfs], check=True)
            rootfs.chmod(0o644)
            for command in commands:
                subprocess.run(["debugfs", "-w", "-R", command, rootfs], check=True,
                               capture_output=True)
            place = state.add_image(self.state, name, rootfs)
        file = self.root / f"{name}.tar"
        self.image("export", name, "-f", str(file))
        self.image("rm", name)
        self.assertFalse(place.exists())
        return file

    def test_a_good_image_is_tried_in_a_vm_and_gets_its_tag(self):
        good = self.changed_image("good", "mkdir /new-directory")
        former = self.id_of("debian-12")
        self.start_daemon()
        done = self.cli("image", "import", "-t", "debian-12", str(good), limit=900)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"booted, resolved {INTERNET} and started the runner's listener 2.336.0",
                      done.stderr)
        self.assertNotEqual(self.id_of("debian-12"), former)
        self.wait_no_vm()
        self.assertEqual([vm["cause"] for vm in self.ps()["finished"]], ["finished"])
        # New jobs get it, and what it was comes back by one word.
        job = self.github.add_job("test -d /new-directory", self.gate())
        self.github.wait_job(job, "in_progress")
        vm = self.wait_vm("running")["vm"]
        (used,) = [each for each in self.images() if each["vms"]]
        self.assertEqual((used["tags"], used["vms"]), (["debian-12"], [vm]))
        self.assertIn("added /new-directory\n", self.image("diff", former, "debian-12"))
        self.image("rollback", "debian-12")
        self.assertEqual(self.id_of("debian-12"), former)
        # The one that runs has no tag now, and prune leaves it all the same until it ends.
        prune = ["prune", "--keep", "0", "--older-than", "0s"]
        self.assertIn("0 images", self.image(*prune))
        self.assertEqual(len(self.images()), 2)
        self.open_gate()
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.wait_no_vm()
        self.assertIn("1 image,", self.image(*prune))
        self.assertEqual([each["tags"] for each in self.images()], [["debian-12"]])
        self.check_nothing_left()

    def test_a_bad_image_gets_no_tag_and_a_report_of_the_step(self):
        deaf = self.changed_image("deaf", "rm /bin/bash", "rm /usr/bin/bash")
        mute = self.changed_image("mute", "rm /lib64/ld-linux-x86-64.so.2",
                                  "rm /usr/lib64/ld-linux-x86-64.so.2",
                                  "rm /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                                  "rm /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
        former = self.id_of("debian-12")
        # One without a daemon, which gets one for itself, and the other beside it.
        for file, step in ((mute, "start a shell"), (deaf, "start the listener")):
            done = self.cli("image", "import", "-t", "debian-12", str(file), limit=900)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(f'failed at "{step}"', done.stderr)
            self.assertIn('"debian-12" stays what it was', done.stderr)
            self.assertIn("the last lines of the console of trial-", done.stderr)
            self.assertEqual(self.id_of("debian-12"), former)
            self.assertEqual(len(self.images()), 1, "a bad image was kept")
            if not self.daemon:
                self.start_daemon()
        done = self.cli("image", "import", "--keep", "-t", "new", str(deaf), limit=900)
        self.assertEqual(done.returncode, 1, done.stderr)
        kept = [each for each in self.images() if not each["tags"]]
        self.assertEqual(len(kept), 1)
        self.assertIn(kept[0]["id"][:19], done.stderr)
        # It cost the profile nothing: its jobs run.
        job = self.github.add_job("true")
        self.assertEqual(self.github.wait_job(job, "completed")["conclusion"], "success")
        self.check_nothing_left()


class FreshHost(MvrunnerTest):
    def settings(self):
        return {**super().settings(), "runner": "current"}  # which comes later

    def test_an_image_moves_to_a_host_that_has_none_and_is_tried_there(self):
        file = self.root / "moved.tar.zst"
        exported = self.cli("image", "export", "debian-12", "-f", str(file))
        self.assertEqual(exported.returncode, 0, exported.stderr)
        shutil.rmtree(self.state / "images")
        shutil.rmtree(self.state / "runners")
        kernels = self.state / "kernels"
        kernels.rename(self.state / "away")
        done = self.cli("image", "import", "-t", "debian-12", str(file))
        self.assertEqual(done.returncode, 1, done.stderr)
        for part in ("no VM can boot yet", "mvrunner kernel install", "--no-smoke", "is kept as"):
            self.assertIn(part, done.stderr)
        (self.state / "away").rename(kernels)
        done = self.cli("image", "import", "-t", "debian-12", str(file), limit=900)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no runner release is installed", done.stderr)
        self.assertFalse((self.state / "vms").exists() and any((self.state / "vms").iterdir()))


if __name__ == "__main__":
    main()
