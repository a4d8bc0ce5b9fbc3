"""The daemon's memory stays what it is, however many jobs it has seen.

The fake host runs 2,000 jobs to warm up and then 10,000 more, with all that the daemon does but
machines: discovery, planning, history, facts, kept logs, metrics and the status page. What it has
in memory then is at most 5 % more than before.    memory.py
"""

import pathlib
import sys
import tempfile
import time

import github
from github import Github, Host

SPEED = 40
WARM, MORE = 2_000, 10_000
GROWTH = 0.05
OWNERS = 2  # of the repositories, each with a token of its own
REPOSITORIES = [f"acme{n % OWNERS}/r{n:02}" for n in range(20)]
A_SECOND = 0.8  # jobs: GitHub is asked about each, one after the other
QUEUED = 200  # at most at once
IN_RUN = 3  # jobs of one run
STUCK = 3600  # seconds in which no job ended


def resident(pid):
    """KiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Memory:
    def __init__(self, root):
        self.github = Github(root)
        scopes = []
        for number in range(OWNERS):
            token = root / f"token{number}"
            token.write_text(f"ghp_memory{number}\n")
            token.chmod(0o600)
            self.github.control("POST", "/tokens", {"token": f"ghp_memory{number}",
                                                    "limit": 1_000_000})
            scopes.append({"organization": f"acme{number}", "token_file": str(token),
                           "discovery": ("poll", "scale-set")[number % 2]})
        for name in REPOSITORIES:
            self.github.control("POST", "/repos", {"repo": name, "private": True})
        self.host = Host(root, self.github, scopes, credentials={}, keeps=True,
                         poll_interval="10s", idle_interval="10s")
        self.added = 0
        self.runs = {}  # by repository: the latest, and how many jobs it has
        self.log = []

    def ended(self):
        looks = self.host.said("looked")
        return looks[-1]["ended"] if looks else 0

    def add(self, repository):
        run, count = self.runs.get(repository, (None, 0))
        job = {"repo": repository, "name": f"job {self.added} 2s", "labels": ["mv-small"]}
        if count < IN_RUN and run:
            job["run_id"] = run
        else:
            count = 0
        run = self.github.control("POST", "/jobs", job)["run_id"]
        self.runs[repository] = (run, count + 1)
        self.added += 1

    def run(self, jobs):
        """Until so many have ended, of all."""
        begun, first = time.monotonic(), self.added
        latest, since = 0, begun
        while (ended := self.ended()) < jobs:
            assert self.host.process.poll() is None, "the fake host ended"
            if ended > latest:
                latest, since = ended, time.monotonic()
            assert time.monotonic() < since + STUCK, f"{ended} of {jobs} jobs ended, and no more"
            due = first + (time.monotonic() - begun) * A_SECOND
            while self.added < min(jobs, ended + QUEUED, due):
                self.add(REPOSITORIES[self.added % len(REPOSITORIES)])
            if len(self.log) <= ended // 1000:
                self.log.append(resident(self.host.process.pid))
                print(f"{ended} jobs: {self.log[-1]} KiB", flush=True)
            time.sleep(2)

    def measure(self):
        # Of several, a while apart: what is being worked on at the moment comes and goes, and what
        # was for a moment only goes back every ten minutes.
        sizes = []
        for _ in range(10):
            time.sleep(70)
            sizes.append(resident(self.host.process.pid))
        return min(sizes)


def main():
    github.begin(SPEED)
    with tempfile.TemporaryDirectory(prefix="mvr-memory-", dir="/var/tmp") as place:
        memory = Memory(pathlib.Path(place))
        try:
            memory.run(WARM)
            before = memory.measure()
            print(f"{before} KiB to begin with", flush=True)
            memory.run(WARM + MORE)
            after = memory.measure()
        finally:
            memory.host.process.terminate()
            memory.host.process.wait()
            memory.github.stop()
    growth = after / before - 1
    print(f"{before} KiB after {WARM} jobs, {after} KiB after {MORE} more: {growth:+.1%}")
    sys.exit(1 if growth > GROWTH else 0)


if __name__ == "__main__":
    main()
