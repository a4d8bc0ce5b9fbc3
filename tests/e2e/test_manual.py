"""Every example of the README and the manual is run, as it stands, with a daemon, a VM and a history.

What cannot be run here stands in ELSEWHERE with the place that does."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import state
from harness import SOURCE, MvrunnerTest, main, wait_for

# By a part of the example: who runs it.
ELSEWHERE = {
    "scripts/demo": "a person, on a fresh machine",
    "scripts/test": "this is it",
    "cmake -S": "scripts/test, in several flavours",
    "cmake --build": "e2e.systemd, which installs the package",
    "mvrunner init": "e2e.init",
    "debian-12/rootfs": "e2e.prepare",
    "mvrunner image build": "e2e.prepare",
    "mvrunner kernel install": "e2e.prepare",
    "systemctl enable --now mvrunner": "e2e.systemd",
    "ssh -F vms -N -L": "e2e.debug, which uses the same configuration for scp",
    "mvrunner top": "e2e.debug, in a terminal",
    "mvrunner doctor": "e2e.doctor",
    "mvrunner runner update": "e2e.runner_update",
    "mvrunner runner rollback": "e2e.runner_update",
    "mvrunner action update": "e2e.actions",
    "mvrunner egress": "e2e.egress, after a job that was listened to",
    "mvrunner firecracker install": "e2e.firecracker",
}
# They end the VM the others look at.
LAST = ["mvrunner kill", "mvrunner drain"]


def is_elsewhere(example):
    return any(part in example for part in ELSEWHERE)


def unescaped(text):
    return text.replace("\\(dq", '"').replace("\\&", "").replace("\\e", "\\")


def man_examples(page):
    """The lines of .Dl and the blocks of .Bd in the section EXAMPLES."""
    text = page.read_text()
    section = re.search(r"^\.Sh EXAMPLES\n(.*?)(?=^\.Sh )", text, re.S | re.M)
    if not section:
        return []
    found = re.findall(r"^\.Dl ([^\n]*)$|^\.Bd [^\n]*\n(.*?)^\.Ed$", section[1], re.S | re.M)
    return [unescaped(line or block) for line, block in found]


def readme_examples():
    """The indented blocks under the headings that tell what to type, a line each."""
    text = (SOURCE / "README.md").read_text()
    examples = []
    for heading in ("## Two commands", "## Use it"):
        part = text[text.index(heading):]
        part = part[:part.index("\n## ", 1)]
        # What follows a comment sign explains the line; further lines of it stand deeper.
        lines = re.findall(r"^    (?! )(\S.*)$", part, re.M)
        examples += [re.sub(r"\s{2,}#.*$", "", line) for line in lines]
    return examples


class Manual(MvrunnerTest):
    validates = False

    def setUp(self):
        super().setUp()
        self.place = self.root / "place"
        self.place.mkdir()
        (self.place / "images").symlink_to(SOURCE / "images")
        shutil.copy(self.config, self.place / "mvrunner.yaml")
        programs = self.root / "bin"
        programs.mkdir()
        wrapper = programs / "mvrunner"
        words = " ".join(f"'{word}'" for word in self.mvrunner())
        wrapper.write_text(f"#!/bin/sh\nexec {words} \"$@\"\n")
        wrapper.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}",
                            "HOME": str(self.root / "home"), "TERM": "xterm"}
        self.environment.pop("XDG_RUNTIME_DIR", None)

    def run_example(self, example, limit=300):
        return subprocess.run(["bash", "-ec", example], cwd=self.place, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit)

    def check_file(self, example):
        """True for an example that is a part of a file: its reader has taken it."""
        file = self.root / "example"
        text = example
        if re.match(r"[a-z_]+:\n", example):
            command = self.mvrunner("config", "check", file)
        elif "reverse_proxy" in example:
            command = [state.unpacked("caddy", "usr/bin/caddy"), "validate", "--adapter",
                       "caddyfile", "--config", file]
        elif example.startswith("location"):
            places = " ".join(f"{kind}_temp_path {self.root}/{kind};" for kind in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            text = (f"pid {self.root}/nginx.pid; events {{}} http {{ access_log off; {places} "
                    f"server {{ listen 127.0.0.1:1; {example} }} }}")
            command = [state.unpacked("nginx", "usr/sbin/nginx"), "-t", "-p", self.root, "-e",
                       "stderr", "-c", file]
        elif "mvrunner_" in example:
            rules = [{"alert": "Example", "expr": example}]
            text = json.dumps({"groups": [{"name": "examples", "rules": rules}]})
            command = [state.promtool(), "check", "rules", file]
        else:
            return False
        file.write_text(text)
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        self.assertEqual(done.returncode, 0, f"{example}\n{done.stdout}{done.stderr}")
        return True

    def check(self, example):
        with self.subTest(example=example):
            if is_elsewhere(example) or self.check_file(example):
                return
            # Lists and reports take moments; what follows or waits ends with the job.
            done = self.run_example(example.replace(" VM", f" {self.environment['VM']}")
                                    if example.split()[-1] == "VM" else example)
            self.assertEqual(done.returncode, 0, f"{example}\n{done.stdout}\n{done.stderr}")

    def start_job(self):
        job = self.github.add_job("echo begun", self.gate("go"))
        self.github.wait_job(job, "in_progress")
        self.environment["VM"] = self.wait_vm("running")["vm"]

    def test_every_example_does_what_it_says(self):
        examples = readme_examples()
        for page in sorted((SOURCE / "man").glob("*.[1-8]")):
            examples += man_examples(page)
        self.assertGreater(len(examples), 40)
        for part in ELSEWHERE:
            self.assertTrue(any(part in each for each in examples),
                            f"nothing has the example {part!r} any more")
        with tarfile.open(self.place / "actions-runner-linux-x64-2.336.0.tar.gz", "w:gz") as tar:
            tar.add(state.RUNNER, arcname=".")
        self.start_daemon()
        done = self.github.add_job("true", name="first")  # for a history
        self.github.wait_job(done, "completed")
        self.wait_no_vm()
        self.start_job()
        last, others = [], []
        for example in examples:
            (last if any(word in example for word in LAST) else others).append(example)
        following = [e for e in others if re.search(r"logs -f|events -f", e)]
        for example in others:
            if example not in following:
                self.check(example)
        started = [subprocess.Popen(["bash", "-ec", example.replace(" VM", " $VM")],
                                    cwd=self.place, env=self.environment,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                   for example in following]
        self.run_example('mvrunner hold --off "$VM"')
        self.open_gate("go")
        for process, example in zip(started, following):
            self.assertEqual(process.wait(300), 0, f"{example}: {process.communicate()[1]}")
        self.wait_no_vm()
        (self.root / "web" / "go").unlink()
        self.start_job()
        for example in sorted(last):  # drain goes before kill, which needs a VM
            if "kill" in example:
                self.check(example)
        self.wait_no_vm()
        for example in last:
            if "drain" in example:
                self.check(example)
        self.assertEqual(self.run_example("mvrunner undrain").returncode, 0)
        wait_for(lambda: not self.github.runners(), "the runners are gone")
        self.github.control("POST", "/reset")
        self.check_nothing_left()


class Pages(MvrunnerTest):
    def setUp(self):
        pass  # nothing runs

    def test_pages_are_sound_and_there_is_one_for_each_verb(self):
        pages = sorted((SOURCE / "man").glob("*.[1-8]"))
        for page in pages:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page],
                                  capture_output=True, text=True)
            said = [line for line in done.stdout.splitlines()
                    if "referenced manual not found" not in line]
            self.assertEqual(said, [], page)
        names = {page.name for page in pages}
        top = subprocess.run([state.MVRUNNER, "--help"], capture_output=True, text=True).stdout
        verbs = re.findall(r"^  ([a-z-]+) {2,}", top[top.index("Subcommands:"):], re.M)
        self.assertGreater(len(verbs), 15)
        missing = [verb for verb in verbs if verb not in ("version", "undrain", "completion")
                   and f"mvrunner-{verb}.1" not in names]
        self.assertEqual(missing, [])
        overview = (SOURCE / "man/mvrunner.1").read_text()
        for name in names - {"mvrunner.1"}:
            self.assertIn(name.rsplit(".", 1)[0], overview + "mvrunner.yaml.5")


if __name__ == "__main__":
    main()
