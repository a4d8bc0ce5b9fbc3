"""Tests in which mvrunner is a GitHub App."""

import json
import subprocess

import state
from harness import MvrunnerTest

APP = 4711
CLIENT_ID = "Iv23liEndToEnd"
PERMISSIONS = {"actions": "read", "administration": "write", "metadata": "read"}
MAKE_KEYS = """
const {privateKey, publicKey} = require('crypto').generateKeyPairSync('rsa', {modulusLength: 2048});
console.log(JSON.stringify({
  private: privateKey.export({type: 'pkcs1', format: 'pem'}),
  public: publicKey.export({type: 'spki', format: 'pem'})}));
"""


class AppTest(MvrunnerTest):
    def setUp(self):
        super().setUp()
        if not state.openapi_description():
            self.skipTest("npm is needed: it brings what verifies the tokens of Apps")
        done = subprocess.run(["node", "-e", MAKE_KEYS], capture_output=True, text=True, check=True)
        keys = json.loads(done.stdout)
        self.key = self.root / "app.pem"
        self.key.write_text(keys["private"])
        self.key.chmod(0o600)
        self.github.control("POST", "/apps", {"app_id": APP, "client_id": CLIENT_ID,
                                              "public_key": keys["public"]})

    def install(self, **changes):
        body = {"app_id": APP, "account": "acme", "permissions": PERMISSIONS, **changes}
        return self.github.control("POST", "/installations", body)["id"]

    def app(self):
        return {"id": CLIENT_ID, "key_file": str(self.key)}

    def write_scopes(self, *scopes, **github):
        base = {key: value for key, value in self.settings()["github"].items()
                if key != "token_file"}
        self.write_config(github={**base, **github, "scopes": list(scopes)})
