"""`kill -9` of the daemon at every state write and between every two effects, with VMs in every
phase: no job is lost, no VM boots or works twice, a warm VM waits on for its job, nothing leaks,
nothing foreign is touched. The scenario and the verdict are in survival_host.py.

The fail points (src/daemon/fail_point.h) are counted by a first pass through the scenario; then
the daemon dies at one after the other, and every second time its successor dies as well, somewhere
in its first passes. Where the core's decisions about a VM's life are carried out, every pass is
died at, since each stands for another moment of another kind of VM; elsewhere the first of one name
and the last of the next. MVR_SURVIVAL=all takes every single pass; MVR_SURVIVAL_VMM=firecracker has
the stand-in of Firecracker under its jailer instead of QEMU's.
"""

import collections
import concurrent.futures
import os
import sys
import threading
import time
import traceback
import unittest

from harness import main
from survival_host import Host

WORKERS = 3
MOST_FAILURES = 5
DECISIVE = [f"before {action}" for action in ("launch", "request_jit", "claim", "warn", "stop",
                                              "kill")]


class Survival(unittest.TestCase):
    def setUp(self):
        self.lock = threading.Lock()
        self.died, self.failures = collections.Counter(), []
        self.seen_after = {}  # what only successors pass: name -> the death and absence before
        self.hosts, self.idle = [], []
        self.addCleanup(lambda: [host.doCleanups() for host in self.hosts])

    def test_the_daemon_may_die_anywhere(self):
        begin = time.monotonic()
        host = self.take_host()
        passes = collections.Counter(host.passes)
        self.give_back(host)
        deaths = [f"{n} {name}" for index, (name, count) in enumerate(passes.items())
                  for n in self.chosen(index, name, count)]
        # Every second time the successor dies as well, at one of its first passes.
        self.live([([death] if index % 2 else [death, str(index * 7 % 45 + 1)],
                    (0, 0.4, 1)[index % 3]) for index, death in enumerate(deaths)], passes)
        # A pass that a death before it took away, or that came under another name this time.
        self.live([([f"1 {name}"], 0) for name in passes if name not in self.died], passes)
        recovery = dict(self.seen_after)
        for _ in range(3):  # what a successor finds depends on how far the VMs have come
            self.live([([death, f"1 {name}"], absence)
                       for name, (death, absence) in recovery.items()
                       if name not in self.died], passes)
        missed = sorted((set(passes) | set(recovery)) - set(self.died))
        print(f"{sum(passes.values())} passes of {len(passes)} fail points, {len(recovery)} more "
              f"in recovery; {sum(self.died.values())} deaths in {time.monotonic() - begin:.0f} s; "
              f"never died at: {missed}", file=sys.stderr)
        self.assertFalse(self.failures, "\n\n".join(self.failures))
        self.assertFalse(set(missed) & set(passes))

    @staticmethod
    def chosen(index, name, count):
        if name in DECISIVE or os.environ.get("MVR_SURVIVAL") == "all":
            return range(1, count + 1)
        return [count if index % 2 else 1]

    def live(self, lives, passes):
        """`lives`: where the daemons die, and how long none is there then."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for life in [pool.submit(self.live_once, *life, passes) for life in lives]:
                life.result()

    def live_once(self, fatal, absence, passes):
        if len(self.failures) >= MOST_FAILURES:
            return
        host = None
        try:
            host = self.take_host()
            deaths = host.survive(fatal, absence)
        except Exception:
            why = f"died at {fatal}, absent {absence} s:\n{traceback.format_exc()}"
            with self.lock:
                self.failures.append(why[:20_000])
                self.hosts = [each for each in self.hosts if each is not host]
            if host:
                host.doCleanups()
            return
        with self.lock:
            self.died.update(deaths)
            if len(deaths) == 1:
                for name in set(host.passes) - set(passes):
                    self.seen_after.setdefault(name, (fatal[0], absence))
        self.give_back(host)

    def take_host(self):
        with self.lock:
            if self.idle:
                return self.idle.pop()
            host = Host()
            self.hosts.append(host)
        host.setUp()
        host.survive()  # it fills caches, and leaves a spec.json to make a stale one of
        host.survive()
        return host

    def give_back(self, host):
        with self.lock:
            self.idle.append(host)


if __name__ == "__main__":
    main()
