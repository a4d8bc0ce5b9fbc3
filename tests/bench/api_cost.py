"""What finding jobs costs at GitHub, and how soon they are found: a table.

For each number of repositories, kind of credentials and way to learn of jobs: requests an hour and
those of them that count against GitHub's limit, idle (up to an hour, 60 times as fast) and with a job
a second (a minute, in real time), with the latency from a job's creation until it is known here.

    api_cost.py idle|load    as the target bench_requests runs both
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/soak"))

import github  # noqa: E402: from the folder named above
from github import Github, Host  # noqa: E402

SIZES = [1, 35, 100, 500]
IDLE_SPEED = 60
LOAD = 60  # seconds
KEYS = """
const {privateKey, publicKey} = require('crypto').generateKeyPairSync('rsa', {modulusLength: 2048});
console.log(JSON.stringify({
  private: privateKey.export({type: 'pkcs1', format: 'pem'}),
  public: publicKey.export({type: 'spki', format: 'pem'})}));
"""
PERMISSIONS = {"actions": "read", "administration": "write", "metadata": "read",
               "organization_self_hosted_runners": "write"}


def app(root, stand_in):
    """Installs a GitHub App; returns its credentials."""
    keys = json.loads(subprocess.run(["node", "-e", KEYS], capture_output=True, text=True,
                                     check=True).stdout)
    key = root / "app.pem"
    key.write_text(keys["private"])
    key.chmod(0o600)
    stand_in.control("POST", "/apps", {"app_id": 7, "client_id": "Iv1.bench",
                                       "public_key": keys["public"]})
    stand_in.control("POST", "/installations",
                     {"app_id": 7, "account": "acme", "permissions": PERMISSIONS})
    return {"app": {"id": "Iv1.bench", "key_file": str(key)}}


def count(stand_in):
    """Requests of the REST API so far, and those that count."""
    all_of_them = charged = 0
    for name, answers in stand_in.state()["requests"].items():
        if "/_" in name or "_apis" in name:
            continue
        all_of_them += sum(answers.values())
        charged += sum(number for status, number in answers.items() if status != "304")
    return all_of_them, charged


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def measure(size, is_app, feed, is_idle, openapi):
    with tempfile.TemporaryDirectory(prefix="mvr-bench-", dir="/var/tmp") as place:
        root = pathlib.Path(place)
        stand_in = Github(root, openapi)
        stand_in.control("POST", "/tokens", {"token": github.TOKEN, "limit": 15_000})
        names = [f"acme/r{number:03}" for number in range(size)]
        for name in names:
            stand_in.control("POST", "/repos", {"repo": name})
        credentials = app(root, stand_in) if is_app else None
        host = Host(root, stand_in, [{"organization": "acme", "discovery": feed}],
                    credentials=credentials)
        try:
            # The first look at all, which nothing is known of yet, is no part of an hour like others.
            github.wait_until(time.time() + (400 if is_idle else 15 + size / 3))
            before = count(stand_in)
            begun = time.time()
            # What an App's token costs comes once in an hour.
            length = LOAD if not is_idle else 3600 if is_app and feed == "poll" else 900
            number = 0
            while not is_idle and time.time() < begun + length:
                stand_in.add_job(names[number % size], f"job {number} 3s")
                number += 1
                github.wait_until(begun + number)
            github.wait_until(begun + length)
            after = count(stand_in)
            factor = 3600 / (time.time() - begun)
            created = {job["name"]: job["times_ms"]["created"] for job in stand_in.state()["jobs"]}
            if not is_idle:
                time.sleep(20)
            seen = {line["name"]: line["at_ms"] for line in reversed(host.said("seen"))}
        finally:
            host.stop()
            stand_in.stop()
        waits = [(seen[job] - when) / 1000 for job, when in created.items() if job in seen]
        return [round((after[n] - before[n]) * factor) for n in (0, 1)], waits, len(created)


def main():
    is_idle = sys.argv[1] == "idle"
    github.begin(IDLE_SPEED if is_idle else 1)
    openapi = subprocess.run([SOURCE / "tests/contract/prepare.sh"], capture_output=True, text=True,
                             check=True).stdout.strip()
    sizes = [int(word) for word in sys.argv[2:]] or SIZES
    print("| repositories | as | discovery | requests/h | charged/h |"
          + ("" if is_idle else " p50 s | p95 s | seen |"))
    print("|---|---|---|---|---|" + ("" if is_idle else "---|---|---|"))
    kinds = [(is_app, feed) for is_app in (False, True) for feed in ("poll", "scale-set")]
    # In real time they hardly use the machine.
    with ThreadPoolExecutor(1 if is_idle else len(kinds)) as pool:
        for size in sizes:
            rows = pool.map(lambda kind: measure(size, *kind, is_idle, openapi), kinds)
            for (is_app, feed), (requests, waits, jobs) in zip(kinds, rows):
                row = [size, "App" if is_app else "PAT", feed, *requests]
                if not is_idle:
                    row += [f"{percentile(waits, 0.5):.2f}", f"{percentile(waits, 0.95):.2f}",
                            f"{len(waits)}/{jobs}"]
                print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


if __name__ == "__main__":
    main()
