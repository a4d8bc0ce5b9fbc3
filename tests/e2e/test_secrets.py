"""Secrets are where they must be and nowhere else: looked for in every file, log, argument list,
environment and memory that we make, while a job runs and after it."""

import os
import pathlib
import re
import threading

from apps import AppTest
from harness import TOKEN, MvrunnerTest, main

PIECE = 48  # characters; a copy that was partly overwritten counts too
SKIPPED = {"[vvar]", "[vsyscall]", "[vdso]"}


def pieces(text):
    """Some of a secret, from all over it: the first and last bytes may be overwritten."""
    text = text.encode()
    step = max(PIECE, len(text) // 12)
    return [text[at:at + PIECE] for at in range(0, max(1, len(text) - PIECE + 1), step)]


class Needles:
    def __init__(self, secrets):
        self.names = {piece: name for name, text in secrets for piece in pieces(text)}
        self.pattern = re.compile(b"|".join(map(re.escape, self.names)) or b"(?!)")

    def found(self, data):
        return sorted({self.names[match] for match in self.pattern.findall(data)})


def file_data(path):
    """What a file holds, without its holes, in pieces that overlap."""
    with open(path, "rb") as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            except OSError:
                return  # nothing more
            while at < hole:
                count = min(hole - at, 16 << 20)
                yield os.pread(file.fileno(), count + PIECE, at)
                at += count


def memory(pid):
    """The readable memory of a process: (mapping, bytes)."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            place, rights, *rest = line.split(maxsplit=5)
            name = rest[-1].strip() if len(rest) == 4 else ""
            if "r" not in rights or name in SKIPPED:
                continue
            start, end = (int(word, 16) for word in place.split("-"))
            for at in range(start, end, 16 << 20):
                try:
                    yield line, os.pread(mem.fileno(), min(end - at, (16 << 20) + PIECE), at)
                except OSError:
                    break  # gone meanwhile, or never there


class Watcher(threading.Thread):
    """Looks at every argument list and environment for as long as it lives."""

    def __init__(self, ours):
        super().__init__(daemon=True)
        self.ours, self.over, self.looks, self.seen = ours, threading.Event(), 0, {}

    def run(self):
        while not self.over.wait(0.01):
            self.looks += 1
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for name in ("cmdline", "environ") if self.ours(int(pid)) else ():
                    try:
                        data = pathlib.Path("/proc", pid, name).read_bytes()
                    except OSError:
                        continue  # it has ended
                    self.seen[data] = f"{name} of {pid}"

    def stop(self):
        self.over.set()
        self.join()
        return self.seen


class Secrets:
    """What both tests do; `kept` are the files that hold a secret because the user put it there."""

    def ours(self, pid):
        """Is it the daemon, or was it started by it?"""
        daemon = self.daemon.popen.pid
        for _ in range(10):
            if pid == daemon:
                return True
            try:
                pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
                          .split()[1])
            except (OSError, ValueError):
                return False
            if pid <= 1:
                return False
        return False

    def handed_out(self, kind):
        return [(kind, each["text"]) for each in self.github.control("GET", "/secrets")
                if each["kind"] == kind]

    def check_files(self, needles):
        theirs = {self.root / name for name in ("github.log", "requests.log")}
        places = [path for path in self.root.rglob("*")
                  if path.is_file() and not path.is_symlink() and path not in theirs | self.kept]
        self.assertIn(self.root / "daemon.log", places)
        for path in places:
            for data in file_data(path):
                self.assertEqual(needles.found(data), [], f"in {path}")

    def check_memory(self, pid, needles):
        looked = 0
        for mapping, data in memory(pid):
            looked += len(data)
            self.assertEqual(needles.found(data), [], f"in {pid}: {mapping}")
        self.assertGreater(looked, 1 << 20)

    def check_a_job(self, secrets):
        watcher = Watcher(self.ours)
        watcher.start()
        job = self.github.add_job("env", self.gate())
        self.github.wait_job(job, "in_progress")
        (vmm,) = self.vmm_pids()
        jit = self.handed_out("jit_config")
        self.assertEqual(len(jit), 1)
        every = Needles([*secrets, *self.handed_out("token"), *jit])
        standing = Needles([*secrets, *self.handed_out("token")])
        # Our own tools find what there is.
        self.assertTrue(any(standing.found(data)
                            for _, data in memory(self.daemon.popen.pid)), "no secret anywhere?")
        self.assertTrue(any(Needles(jit).found(data) for _, data in memory(vmm)), "no guest?")
        self.check_files(every)
        self.check_memory(vmm, standing)
        self.check_memory(self.daemon.popen.pid, Needles(jit))
        for words in (["ps", "-a", "-o", "json"], ["config", "show"], ["explain", str(job)], ["doctor"]):
            done = self.cli(*words)
            self.assertEqual(every.found((done.stdout + done.stderr).encode()), [], words)
        self.open_gate()
        done = self.github.wait_job(job, "completed")
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.assertEqual(every.found(done["log"].encode()), [], "in the job's log")
        self.wait_no_vm()
        every = Needles([*secrets, *self.handed_out("token"), *jit])
        self.check_files(every)
        self.check_memory(self.daemon.popen.pid, Needles(jit))
        seen = watcher.stop()
        self.assertGreater(watcher.looks, 50)
        self.assertTrue(any(b"qemu" in data or b"firecracker" in data for data in seen))
        for data, where in seen.items():
            self.assertEqual(every.found(data), [], where)
        self.check_nothing_left()
        self.check_files(every)


class WithToken(Secrets, MvrunnerTest):
    def test_a_token_and_what_it_buys(self):
        self.kept = {self.root / "token"}
        self.start_daemon()
        self.check_a_job([("token", TOKEN)])


class WithApp(Secrets, AppTest):
    def test_a_key_and_what_it_signs(self):
        self.install()
        self.write_scopes({"repository": "acme/widgets"}, app=self.app())
        self.kept = {self.root / "token", self.key}
        self.start_daemon()
        body = "".join(self.key.read_text().splitlines()[1:-1])
        self.check_a_job([("key", line) for line in self.key.read_text().splitlines()[1:-1]]
                         + [("key", body)])


if __name__ == "__main__":
    main()
