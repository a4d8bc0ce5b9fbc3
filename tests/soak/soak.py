"""One hour: 100 repositories, 2,000 jobs, and a GitHub that fails in every way it is known to.

Every eligible job is served once, none that is not; runners of others are never touched; looking
for jobs stays within its share of the hourly limit.    soak.py poll | scale_set
"""

import collections
import pathlib
import random
import sys
import tempfile
import time

import github
from github import Github, Host

SPEED = 30
REPOSITORIES = [f"acme/r{n:03}" for n in range(100)]
PUBLIC = "acme/r099"
JOBS = 2000
HOUR = 3600
LIMIT = 15_000  # of an organisation of Enterprise Cloud
FOREIGN = 5

# What is made to fail, how often of all requests to match it may; none says when.
FAULTS = [
    {"match": "^GET /repos/.*/runs", "status": 502},
    {"match": "^GET /repos/.*/jobs", "status": 500, "body": "no JSON"},
    {"match": "^GET /repos/.*/runs", "drop": "before"},
    {"match": "^GET /repos/.*/runs", "drop": "after"},
    {"match": "^GET /repos/.*/runs", "delay_ms": 4000},
    {"match": "^GET /repos/.*/runs", "status": 429, "headers": {"retry-after": "9"}},
    {"match": "^GET /repos/.*/runs", "status": 403, "headers": {"retry-after": "7"},
     "body": {"message": "You have exceeded a secondary rate limit."}},
    {"match": "^GET /repos/.*/jobs", "status": 200, "body": {"total_count": 1}},
    {"match": "^POST .*/generate-jitconfig", "drop": "after"},
    {"match": "^POST .*/generate-jitconfig", "drop": "before"},
    {"match": "^POST .*/generate-jitconfig", "status": 503},
    {"match": "^DELETE /", "status": 422},
    {"match": "^DELETE /", "drop": "after"},
    {"match": "^GET /orgs/acme/actions/runners", "status": 500},
    {"match": "^GET /orgs/acme/repos", "status": 502},
    {"match": "^(GET|POST) .*_apis/", "status": 503},
    {"match": "^GET .*_apis/.*message", "drop": "after"},
    {"match": "^POST .*_apis/.*jitconfig", "drop": "after"},
]


class Soak:
    def __init__(self, feed, root):
        self.feed = feed
        self.random = random.Random(4711)
        self.github = Github(root)
        self.github.control("POST", "/tokens", {"token": github.TOKEN, "limit": LIMIT})
        self.github.control("POST", "/settings", {"stale_listing_ms": 5000})
        for name in REPOSITORIES:
            self.github.control("POST", "/repos", {"repo": name, "private": name != PUBLIC})
        self.eligible, self.refused, self.taken = set(), set(), set()
        for number in range(FOREIGN):
            self.github.api("POST", "/orgs/acme/actions/runners/generate-jitconfig", {
                "name": f"other-soak-{number}", "runner_group_id": 1, "labels": ["mv-small"]})
        scope = {"organization": "acme", "discovery": feed.replace("_", "-")}
        self.host = Host(root, self.github, [scope])

    def add(self, number):
        """One job; some of a kind that must not be served, or that somebody else takes."""
        repository = REPOSITORIES[self.random.randrange(len(REPOSITORIES) - 1)]
        name = f"job {number} {self.random.randrange(5, 60)}s"
        # Of labels no other job has: GitHub gives any job to any idle runner that has its labels.
        guarded = {"labels": ["mv-guarded"]}
        kind = self.random.random()
        polled = self.feed == "poll"
        if polled and kind < 0.01:
            self.refused.add(self.github.add_job(repository, name, fork=True, **guarded))
        elif polled and kind < 0.02:
            self.refused.add(self.github.add_job(PUBLIC, name, **guarded))
        elif kind < 0.03:
            old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90_000))
            if polled:
                job = self.github.add_job(repository, name, created_at=old, **guarded)
                self.refused.add(job)
        elif kind < 0.04:
            self.refused.add(self.github.add_job(repository, name, labels=["gpu"]))
        elif polled and kind < 0.06:
            job = self.github.add_job(repository, name)
            self.taken.add(job)
            self.github.control("PATCH", f"/jobs/{job}",
                                {"status": "in_progress", "runner_name": "other"})
        else:
            self.eligible.add(self.github.add_job(repository, name))

    def disturb(self):
        fault = dict(self.random.choice(FAULTS))
        self.github.control("POST", "/faults", {**fault, "count": self.random.randrange(1, 4)})

    def run(self):
        begun = time.time()
        for number in range(JOBS):
            github.wait_until(begun + number * (HOUR - 600) / JOBS)
            self.add(number)
            if number % 8 == 0:
                self.disturb()
        self.github.control("DELETE", "/faults")
        while time.time() < begun + HOUR + 900:
            state = self.github.state()
            left = [job for job in state["jobs"]
                    if job["id"] in self.eligible and job["status"] != "completed"]
            if not left and time.time() > begun + HOUR:
                break
            time.sleep(20)
        # The sweep comes every five minutes.
        github.wait_until(time.time() + 400)

    def judge(self):
        state = self.github.state()
        end = self.host.stop()
        jobs = {job["id"]: job for job in state["jobs"]}
        runs = collections.Counter(line["job"] for line in self.host.said("started"))
        problems = []
        for job in sorted(self.eligible):
            ran = jobs[job]
            if ran["conclusion"] != "success" or runs[job] != 1:
                problems.append(f"{ran['name']}: {ran['status']}, ran {runs[job]} times")
        for job in sorted(self.refused | self.taken):
            if runs[job]:
                problems.append(f"{jobs[job]['name']} was not ours and ran {runs[job]} times")
        foreign = [each for each in state["runners"] if each["name"].startswith("other-")]
        if len(foreign) != FOREIGN:
            problems.append(f"{len(foreign)} of {FOREIGN} runners of others are left")
        ours = [each["name"] for each in state["runners"] if each not in foreign]
        if ours:
            problems.append(f"runners are left behind: {ours[:5]}")
        for account in end["accounts"]:
            if account["limit"] and account["charged"] > account["allowance"]:
                problems.append(f"polling used {account['charged']} of {account['allowance']}")
        return problems, end

    def waits(self):
        # By name: a message queue has ids of its own.
        created = {job["name"]: job["times_ms"]["created"] for job in self.github.state()["jobs"]
                   if job["id"] in self.eligible}
        seen = {line["name"]: line["at_ms"] for line in reversed(self.host.said("seen"))}
        waits = sorted((seen[job] - created[job]) / 1000 for job in created if job in seen)
        if not waits:
            return "none seen"
        return f"seen after {waits[len(waits) // 2]:.1f} s (median), {waits[-1]:.1f} s (longest)"


def main():
    github.begin(SPEED)
    with tempfile.TemporaryDirectory(prefix="mvr-soak-", dir="/var/tmp") as place:
        soak = Soak(sys.argv[1], pathlib.Path(place))
        try:
            soak.run()
            waits = soak.waits()
            problems, end = soak.judge()
        finally:
            if soak.host.process.poll() is None:
                soak.host.process.kill()
            soak.github.stop()
        for account in end["accounts"]:
            print(f"{account['name']}: {account['charged']} of {account['allowance']} charged,",
                  f"{account['remaining']} of {account['limit']} left")
        failures = collections.Counter(
            line["error"].split(":")[1][:40] for line in soak.host.said("discovery_failed"))
        print(f"{len(soak.eligible)} jobs to serve, {len(soak.refused)} not, {waits};",
              f"{sum(failures.values())} looks failed: {dict(failures.most_common(6))}")
        for problem in problems[:40]:
            print("WRONG:", problem)
        print(f"{len(problems)} problems")
        sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
