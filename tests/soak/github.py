"""The stand-in GitHub and the fake host, for soak tests and benchmarks of discovery.

Time may run faster here: begin() starts the program again under faketime, whose clock all it
starts share.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SERVER = SOURCE / "tests/fakes/github/server.mjs"
TOKEN = "ghp_soak0123456789"


def begin(speed):
    """Makes time run `speed` times as fast; exits with 77 where that cannot be."""
    if shutil.which("node") is None or (speed != 1 and shutil.which("faketime") is None):
        print("skipped: node and faketime are needed")
        sys.exit(77)
    if speed == 1 or os.environ.get("MVR_SPEED") == str(speed):
        return
    environment = {**os.environ, "MVR_SPEED": str(speed)}
    command = ["faketime", "-m", "-f", f"+0 x{speed}", sys.executable, *sys.argv]
    os.execvpe(command[0], command, environment)


class Github:
    """The stand-in GitHub on loopback."""

    def __init__(self, root, openapi=None):
        command = ["node", str(SERVER), "--token", TOKEN]
        if openapi:
            command += ["--openapi", openapi, "--unchecked"]
        with open(root / "github.log", "w") as log:
            self.process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=log)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def request(self, method, path, body=None, token="control"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={
            "Authorization": f"Bearer {token}", "User-Agent": "soak",
            "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def control(self, method, path, body=None):
        return self.request(method, "/_control" + path, body)

    def api(self, method, path, body=None):
        return self.request(method, "/api/v3" + path, body, TOKEN)

    def add_job(self, repository, name, **fields):
        job = {"repo": repository, "name": name, "labels": ["mv-small"], **fields}
        return self.control("POST", "/jobs", job)["job_id"]

    def state(self):
        return self.control("GET", "/state")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class Host:
    """The fake host, and the lines it says."""

    def __init__(self, root, github, scopes, name="host", credentials=None, keeps=False, **settings):
        self.lines = []
        if credentials is None:
            token = root / "token"
            token.write_text(TOKEN + "\n")
            token.chmod(0o600)
            credentials = {"token_file": str(token)}
        config = {
            "state_dir": str(root / "state"),
            "run_dir": str(root / "run"),
            "github": {"url": github.url, "scopes": scopes, **credentials, **settings},
            "host": {"id": "soak", "memory": "256GiB", "cpus": 128, "disk": "4096GiB",
                     "max_vms": 64, "limits": "best-effort"},
            "profiles": [{"name": name, "labels": [f"mv-{name}"], "vcpus": 2, "memory": "2GiB",
                          "boot_timeout": "120s", "listen_timeout": "2m"}
                         for name in ("small", "guarded")],
        }
        path = root / f"{name}.yaml"
        path.write_text(json.dumps(config))
        self.errors = open(root / f"{name}.log", "w")
        command = [os.environ["FAKE_HOST"], str(path), *(["--keep"] if keeps else [])]
        self.process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, event):
        return [line for line in list(self.lines) if line["event"] == event]

    def stop(self):
        """Ends it and returns what it says last; all that it said has been read then."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"the fake host ended with {status}: {self.errors.name}"
        return self.said("end")[0]

    def kill(self):
        self.process.kill()
        self.wait()

    def wait(self):
        status = self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.errors.close()
        return status


def wait_until(when):
    while (left := when - time.time()) > 0:
        time.sleep(min(left, 30))
