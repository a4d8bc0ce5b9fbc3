"""Hints: webhook deliveries as GitHub's own libraries send them, and the Apps' lists of them."""

import json
import os
import re
import subprocess

import state
from apps import APP, CLIENT_ID, MAKE_KEYS, PERMISSIONS
from harness import SOURCE, Namespaces, main, wait_for
from standin import StandInVmmTest

ADDRESS = "127.0.0.1:9841"
SECRET = "it is a secret to everybody"
LISTED = "GET /repos/acme/widgets/actions/runs?"


class HintTest(StandInVmmTest):
    """With an hour between two looks: whatever is found sooner was found by a hint."""

    def setUp(self):
        super().setUp()
        if not state.openapi_description():
            self.skipTest("npm is needed: it brings what signs and verifies")

    def looks(self):
        lines = (self.root / "requests.log").read_text().splitlines()
        return sum(json.loads(line)["request"].startswith(LISTED) for line in lines)

    def start_and_settle(self):
        self.start_daemon()
        wait_for(self.looks, "the first look at the repository")
        wait_for(lambda: self.cli("explain").returncode == 0, "the daemon answers")


class Webhook(HintTest):
    def settings(self):
        base = super().settings()
        self.secret = self.root / "webhook-secret"
        if not self.secret.exists():
            self.write_secret(SECRET)
        webhook = {"listen": ADDRESS, "secret_file": str(self.secret)}
        return {**base, "github": {**base["github"], "poll_interval": "1h", "webhook": webhook}}

    def write_secret(self, text, mode=0o600):
        self.secret.write_text(text + "\n")
        self.secret.chmod(mode)

    def send(self, *extra, secret=SECRET):
        """Sends GitHub's examples, and these; returns {name: status}."""
        done = subprocess.run(
            [*Namespaces.inside(self.namespaces.host), "node",
             str(SOURCE / "tests/contract/webhook.mjs"), f"http://{ADDRESS}/hook", secret],
            input=json.dumps(extra), capture_output=True, text=True,
            env={**os.environ, "MVR_OPENAPI": state.openapi_description()})
        self.assertEqual(done.returncode, 0, done.stderr)
        return {answer["name"]: answer["status"] for answer in json.loads(done.stdout)}

    def queued(self, job, name="ours", **more):
        body = {"action": "queued", "workflow_job": {"id": job, "run_attempt": 1,
                                                     "status": "queued"},
                "repository": {"full_name": "acme/widgets"}}
        return {"name": name, "body": body, **more}

    def curl(self, *options):
        done = subprocess.run(
            [*Namespaces.inside(self.namespaces.host), "curl", "-s", "-o", "/dev/null", "-w",
             "%{http_code}", *options], capture_output=True, text=True)
        return int(done.stdout)

    def counts(self):
        text = subprocess.run([*Namespaces.inside(self.namespaces.host), "curl", "-s",
                               "http://127.0.0.1:9840/metrics"],
                              capture_output=True, text=True).stdout
        found = re.findall(r'mvrunner_webhook_deliveries_total\{result="(\w+)"\} (\d+)', text)
        return {result: int(count) for result, count in found}

    def test_what_github_signed_is_taken_and_nothing_else(self):
        self.start_and_settle()
        looks = self.looks()
        answers = self.send(
            {"name": "ping", "body": {"zen": "x"}, "headers": {"x-github-event": "ping"}},
            {"name": "push", "body": {"ref": "x"}, "headers": {"x-github-event": "push"}},
            {"name": "no JSON", "body": "no JSON"},
            {"name": "a form", "body": "payload=%7B%7D",
             "type": "application/x-www-form-urlencoded"},
            {"name": "unsigned", "body": "{}", "headers": {"x-hub-signature-256": ""}},
            {"name": "huge", "body": "x" * (1 << 20) + "x"})
        examples = {name for name in answers if name.startswith("example")}
        self.assertEqual(len(examples), 8)
        wanted = {**{name: 202 for name in examples},
                  **{f"flipped {name}": 401 for name in examples},
                  "ping": 202, "push": 202, "no JSON": 400, "a form": 400, "unsigned": 401,
                  "huge": 413}
        self.assertEqual(answers, wanted)
        self.assertEqual(self.curl(f"http://{ADDRESS}/"), 405)
        counts = self.counts()
        self.assertEqual(counts["refused"], 9)
        self.assertEqual(counts["unreadable"], 2)
        # They tell of one job backwards, the last of it that it is queued.
        self.assertEqual(counts["known"], 3)
        self.assertNotIn("hint", counts)
        self.assertEqual(self.looks(), looks)
        self.assertIn("event=webhook_refused", self.daemon.text())
        self.assertNotIn(SECRET, self.daemon.text())
        self.check_nothing_left()

    def test_a_delivery_hastens_the_look_once(self):
        self.start_and_settle()
        job = self.github.add_job("true")
        delivery = self.queued(job, headers={"x-github-delivery": "one-and-the-same"})
        looks = self.looks()
        self.assertEqual(self.send(delivery)["ours"], 202)
        wait_for(lambda: self.looks() > looks, "the repository is looked at", limit=60)
        self.github.wait_job(job, "completed")
        self.wait_no_vm()
        self.assertEqual(self.send(delivery)["ours"], 202)
        other_id = self.queued(job, headers={"x-github-delivery": "another"})
        self.assertEqual(self.send(other_id)["ours"], 202)
        self.assertEqual(self.counts()["hint"], 1)
        self.check_nothing_left()

    def test_a_reload_reads_the_secret_and_refuses_one_that_is_open_to_others(self):
        self.start_and_settle()
        self.write_secret("another secret of the webhook")
        self.assertEqual(self.send(self.queued(1))["ours"], 202)  # not read yet
        self.cli("reload")
        self.assertEqual(self.send(self.queued(2))["ours"], 401)
        self.assertEqual(self.send(self.queued(3), secret="another secret of the webhook")["ours"],
                         202)
        self.write_secret("a third secret of the webhook", mode=0o644)
        refused = self.cli("reload")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"chmod 600 {self.secret}", refused.stdout + refused.stderr)
        self.assertEqual(self.send(self.queued(4), secret="another secret of the webhook")["ours"],
                         202)
        settings = self.settings()
        self.secret.chmod(0o600)
        self.write_config(github={**settings["github"], "webhook": {}})
        self.assertIn("github.webhook: applied", self.cli("reload").stdout)
        self.assertEqual(self.curl(f"http://{ADDRESS}/"), 0)
        self.check_nothing_left()


class AppDeliveries(HintTest):
    def start_as_app(self, webhook):
        done = subprocess.run(["node", "-e", MAKE_KEYS], capture_output=True, text=True, check=True)
        keys = json.loads(done.stdout)
        key = self.root / "app.pem"
        key.write_text(keys["private"])
        key.chmod(0o600)
        self.github.control("POST", "/apps", {"app_id": APP, "client_id": CLIENT_ID,
                                              "public_key": keys["public"], "webhook": webhook})
        self.github.control("POST", "/installations", {"app_id": APP, "account": "acme",
                                                       "permissions": PERMISSIONS})
        base = {name: value for name, value in self.settings()["github"].items()
                if name != "token_file"}
        self.write_config(github={**base, "poll_interval": "1h", "app_deliveries": True,
                                  "app": {"id": CLIENT_ID, "key_file": str(key)}})
        self.start_and_settle()

    def requests(self, route):
        return sum(self.github.control("GET", "/state")["requests"].get(route, {}).values())

    def test_a_job_is_found_by_the_list_of_deliveries(self):
        self.start_as_app(webhook=True)
        listed = "GET /app/hook/deliveries"
        wait_for(lambda: self.requests(listed), "the list is read")
        for _ in range(2):  # the second time, the name of the repository is known
            job = self.github.add_job("true")
            self.github.wait_job(job, "completed")
        self.wait_no_vm()
        self.assertEqual(self.requests("GET /app/hook/deliveries/{delivery_id}"), 1)
        self.check_nothing_left()

    def test_an_app_without_a_webhook_is_said_once(self):
        self.start_as_app(webhook=False)
        wait_for(lambda: "event=deliveries_not_listed" in self.daemon.text(), "it is said")
        self.assertIn("Workflow job", self.daemon.text())
        self.assertEqual(self.requests("GET /app/hook/deliveries"), 1)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
